from __future__ import annotations

import pytest

from tests.client.conftest import Connect, eventually, record, values
from trimtab_client import Client, FakeSidecar, InvalidArgument, Trimtab, Unavailable


def test_events_are_found_by_kind(fake: FakeSidecar, tt: Trimtab) -> None:
    """What a user's test asserts on."""
    tt.signal(signal_id="s1", symbol="AAPL", side="BUY")
    tt.outcome(signal_id="s1", return_fraction=0.1)
    assert tt.flush().durable
    assert [e.symbol for e in fake.events(kind="SIGNAL")] == ["AAPL"]
    assert len(fake.events()) == 2
    assert fake.events(kind="DECISION") == []


def test_stop_and_start_keep_memory_and_address(fake: FakeSidecar, tt: Trimtab) -> None:
    """As a sidecar that was restarted on its disk."""
    record(tt, 0, 5)
    assert tt.flush().durable
    address = fake.address
    fake.stop()
    fake.stop()
    fake.start()
    fake.start()
    assert fake.address == address
    assert values(fake) == list(range(5))
    with Client(address) as client:
        assert client.get_stats().event_count == 5


def test_a_fault_hits_the_call_it_is_meant_for_and_then_is_spent(fake: FakeSidecar) -> None:
    """A test arranges exactly one failure."""
    fake.fail_next("INVALID_ARGUMENT", "INVALID_FIELD", rpc="GetStats")
    with Client(fake.address) as client:
        assert client.check_health() == "SERVING"
        with pytest.raises(InvalidArgument):
            client.get_stats()
        assert client.get_stats().event_count == 0


def test_a_restore_forgets_what_came_later_and_changes_the_log(
    fake: FakeSidecar, tt: Trimtab
) -> None:
    """Sequences go on behind what is left."""
    record(tt, 0, 5)
    assert tt.flush().durable
    log_id = fake.log.log_id
    fake.restore(2)
    assert fake.log.log_id != log_id
    assert values(fake) == [0, 1]


def test_a_newer_stream_of_a_producer_supersedes_the_older(
    fake: FakeSidecar, connected: Connect
) -> None:
    """As the contract says: the older one ends; its recorder then opens a newer one itself."""
    one, two = connected(), connected()
    record(one, 0, 1)
    assert one.flush().durable
    two.recorder._stream.producer_id = one.recorder.producer_id
    two.recorder.start()
    # Its recorder never gave number 1: it then opens again, under an id of its own.
    assert eventually(lambda: fake.opened_count >= 2)
    one.metric(name="n")
    assert one.flush().durable
    assert one.stats.reconnect_count == 1


def test_rejected_events_are_kept_for_their_owner(fake: FakeSidecar, tt: Trimtab) -> None:
    """With the reason and the beginning of the event."""
    tt.bar(symbol="", interval_s=60, close=-1.0)
    assert tt.flush().settled
    rejected = fake.rejected[0]
    assert [v.field for v in rejected.rejection.violations] == ["symbol", "market_bar.close"]
    assert rejected.source == "alpha-1"


def test_a_stopped_fake_is_unavailable(fake: FakeSidecar) -> None:
    """As a crashed sidecar."""
    fake.stop()
    with Client(fake.address, timeout_s=0.2) as client, pytest.raises(Unavailable):
        client.get_stats()


@pytest.mark.parametrize("token", ["x", "-1", "٣", "9" * 30])
def test_a_token_that_is_none_names_its_field(fake: FakeSidecar, token: str) -> None:
    """As the server answers it, never UNKNOWN."""
    with Client(fake.address) as client, pytest.raises(InvalidArgument) as refused:
        client.list_events(page_token=token)
    assert [violation.field for violation in refused.value.field_violations] == ["page_token"]
