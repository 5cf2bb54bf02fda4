from __future__ import annotations

import socket
import threading
from functools import partial
from typing import Any

import grpc
import pytest

from tests.client.conftest import Connect, eventually, record, values
from trimtab.v1 import event_pb2
from trimtab_client import EventBuilder, FakeSidecar, Rejection, Trimtab
from trimtab_client.fake_log import BatchResult, Producer, Refusal


def test_events_arrive_once_in_order_and_flush_says_durable(fake: FakeSidecar, tt: Trimtab) -> None:
    """The plain case: accepted, numbered, stored, acknowledged."""
    record(tt, 0, 2_500)
    result = tt.flush()
    assert (result.durable, result.pending_count, result.durable_count) == (True, 0, 2_500)
    assert values(fake) == list(range(2_500))


def test_a_batch_closes_by_count(fake: FakeSidecar, connected: Connect) -> None:
    """No batch is larger than the settings and the server allow."""
    tt = connected(limits={"batch_events_max": 7})
    record(tt, 0, 50)
    assert tt.flush().durable
    assert max(fake.batch_sizes) <= 7
    fake.limits.batch_events_max = 3
    other = connected(source="alpha-2")
    fake.batch_sizes.clear()
    record(other, 0, 20)
    assert other.flush().durable
    assert max(fake.batch_sizes) <= 3


def test_a_batch_closes_by_bytes(fake: FakeSidecar, connected: Connect) -> None:
    """Large events travel in small batches."""
    tt = connected(limits={"batch_bytes_max": 4_000})
    for _ in range(20):
        tt.execution_failure(error_type="e", message="x" * 1_500)
    assert tt.flush().durable
    assert max(fake.batch_sizes) == 2


def test_a_batch_closes_by_age(fake: FakeSidecar, tt: Trimtab) -> None:
    """Nobody has to flush for an event to arrive."""
    record(tt, 0, 1)
    assert fake.wait_for_events(1)


def test_a_batch_waits_for_company_only_as_long_as_told(
    fake: FakeSidecar, connected: Connect
) -> None:
    """A long linger is cut short by a flush."""
    tt = connected(limits={"linger_s": 3_600})
    record(tt, 0, 3)
    assert tt.flush().durable
    assert fake.batch_sizes == [3]


def test_what_was_in_flight_is_sent_again_after_a_cut(fake: FakeSidecar, tt: Trimtab) -> None:
    """At-least-once delivery, exactly-once storage, order kept."""

    def opened_more_than(count: int) -> bool:
        return fake.opened_count > count

    for cut_count, start in enumerate(range(0, 2_000, 400)):
        record(tt, start, 400)
        assert eventually(partial(opened_more_than, cut_count))
        fake.cut_streams()
        assert eventually(partial(opened_more_than, cut_count + 1))
    assert tt.flush().durable
    assert values(fake) == list(range(2_000))
    assert tt.stats.reconnect_count >= 5


def test_a_restarted_sidecar_gets_everything_once(fake: FakeSidecar, tt: Trimtab) -> None:
    """The ring bridges the time without a sidecar."""
    record(tt, 0, 100)
    assert tt.flush().durable
    fake.stop()
    record(tt, 100, 100)
    assert eventually(lambda: tt.stats.state == "BACKOFF")
    assert tt.stats.last_error
    fake.start()
    assert tt.flush().durable
    assert values(fake) == list(range(200))
    assert tt.stats.last_error == ""


def test_events_recorded_before_the_sidecar_starts_arrive(connected: Connect) -> None:
    """The order of starting things does not matter."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tt = connected(address=f"127.0.0.1:{port}")
    record(tt, 0, 10)
    with FakeSidecar(f"127.0.0.1:{port}") as late:
        assert tt.flush(30).durable
        assert values(late) == list(range(10))
        tt.close()


def test_a_lost_acknowledgement_costs_nothing(fake: FakeSidecar, connected: Connect) -> None:
    """A stream without answers is cut, and the next one learns what is durable already."""
    tt = connected(limits={"ack_timeout_s": 0.2})
    fake.drop_acks = True
    record(tt, 0, 100)
    result = tt.flush()
    assert (result.durable, result.durable_count) == (True, 100)
    assert values(fake) == list(range(100))
    assert tt.stats.reconnect_count >= 1


def test_rejections_of_a_lost_acknowledgement_are_told_all_the_same(
    fake: FakeSidecar, connected: Connect
) -> None:
    """Nothing is refused silently, even when the stream dies at the wrong moment."""
    told: list[Rejection] = []
    tt = connected(limits={"ack_timeout_s": 0.2}, on_rejected=told.append)
    fake.drop_acks = True
    tt.signal(signal_id="s1", side="BUY", confidence=float("nan"))
    record(tt, 0, 1)
    result = tt.flush()
    assert (result.settled, result.durable_count, result.rejected_count) == (True, 1, 1)
    assert eventually(lambda: told)
    assert told[0].violations[0].field == "signal.confidence"


def test_the_window_is_respected(fake: FakeSidecar, connected: Connect) -> None:
    """Never more in flight than the server allows."""
    fake.window.event_count = 5
    fake.drop_acks = True
    tt = connected(limits={"ack_timeout_s": 3_600, "linger_s": 0})
    record(tt, 0, 50)
    assert fake.wait_for_events(5)
    assert sum(fake.batch_sizes) == 5
    fake.drop_acks = False
    fake.cut_streams()
    assert tt.flush().durable
    assert values(fake) == list(range(50))


@pytest.mark.parametrize(("events", "size"), [(0, 0), (1, 1), (10, 1)])
def test_a_closed_window_still_lets_one_batch_through(
    fake: FakeSidecar, tt: Trimtab, events: int, size: int
) -> None:
    """With nothing in flight one batch is always allowed: the stream never deadlocks."""
    fake.window.event_count = events
    fake.window.bytes = size
    record(tt, 0, 10)
    assert tt.flush().durable
    assert values(fake) == list(range(10))


def test_after_a_go_away_the_client_comes_back(fake: FakeSidecar, tt: Trimtab) -> None:
    """A server that restarts in good order loses nothing."""
    record(tt, 0, 10)
    assert tt.flush().durable
    fake.go_away(retry_after_s=0.02)
    assert eventually(lambda: fake.opened_count == 2)
    record(tt, 10, 10)
    assert tt.flush().durable
    assert values(fake) == list(range(20))
    assert len(set(fake.producer_ids)) == 1


def test_numbers_forgotten_by_a_restored_server_are_declared_lost(
    fake: FakeSidecar, tt: Trimtab
) -> None:
    """They cannot be sent again, but nobody has to guess which ones are missing."""
    record(tt, 0, 10)
    assert tt.flush().durable
    fake.restore(through_sequence=4)
    record(tt, 10, 5)
    assert tt.flush().settled
    losses = fake.events("RECORDER_LOSS")
    assert len(losses) == 1
    loss = losses[0].recorder_loss
    assert (loss.first_seq, loss.last_seq) == (5, 10)
    assert loss.reason == event_pb2.LOSS_REASON_SERVER_RESTORED
    assert values(fake) == [0, 1, 2, 3, 10, 11, 12, 13, 14]
    assert tt.stats.lost_count == 6


def test_a_loss_is_counted_once_though_told_twice(fake: FakeSidecar, connected: Connect) -> None:
    """A stream that dies before the Ack of the loss tells it again."""
    tt = connected()
    record(tt, 0, 10)
    assert tt.flush().durable
    fake.stop()
    with fake.log.changed:
        fake.log.restore(4)
    fake.fail_next("UNAVAILABLE", rpc="StreamEvents", count=2)
    fake.start()
    record(tt, 10, 1)
    assert tt.flush().settled
    fake.cut_streams()
    record(tt, 11, 1)
    assert tt.flush().settled
    assert tt.stats.lost_count == 6


@pytest.mark.parametrize(
    ("code", "reason"), [("ALREADY_EXISTS", "SEQUENCE_REUSED"), ("OUT_OF_RANGE", "SEQUENCE_GAP")]
)
def test_numbers_that_disagree_three_times_get_a_new_producer(
    fake: FakeSidecar, tt: Trimtab, code: str, reason: str
) -> None:
    """The events keep their ids, so none is stored twice under new numbers."""
    record(tt, 0, 5)
    assert tt.flush().durable
    fake.fail_next(code, reason, rpc="StreamEvents", count=3)
    fake.cut_streams()
    record(tt, 5, 5)
    assert tt.flush().durable
    assert values(fake) == list(range(10))
    assert len(set(fake.producer_ids)) == 2


def test_a_number_that_was_never_given_gets_a_new_producer(fake: FakeSidecar, tt: Trimtab) -> None:
    """A server that expects more than this recorder ever accepted means another recorder."""
    with fake.log.changed:
        fake.log.producer(tt.recorder.producer_id).mark = 50
    record(tt, 0, 5)
    assert tt.flush().durable
    assert values(fake) == list(range(5))


def test_events_resent_under_another_producer_are_counted_as_duplicates(
    fake: FakeSidecar, tt: Trimtab
) -> None:
    """Exactly-once storage rests on the event's id, not on its number."""
    event = tt.builder.metric(name="n", value=1.0)
    assert tt.record(event) == tt.record(event) == event.event_id
    assert tt.flush().durable
    assert len(fake.events()) == 1
    assert tt.stats.duplicate_count == 1


def test_one_bad_event_is_rejected_alone(fake: FakeSidecar, connected: Connect) -> None:
    """Its neighbours are stored, its owner is told field and number."""
    told: list[Rejection] = []
    tt = connected(on_rejected=told.append)
    record(tt, 0, 3)
    bad = tt.signal(signal_id="s1", side="BUY", confidence=7.0)
    record(tt, 3, 3)
    result = tt.flush()
    assert (result.settled, result.durable_count, result.rejected_count) == (True, 6, 1)
    assert values(fake) == list(range(6))
    assert eventually(lambda: told)
    assert (told[0].producer_seq, told[0].event_id) == (4, bad)
    kept = tt.client.list_rejected_events(source="alpha-1").rejected_events
    assert [k.rejection.event_id for k in kept] == [bad]


def test_a_callback_that_raises_does_not_end_the_stream(
    fake: FakeSidecar, connected: Connect
) -> None:
    """The user's mistakes stay the user's."""

    def explode(_: Rejection) -> None:
        raise RuntimeError("mine")

    tt = connected(on_rejected=explode)
    tt.signal(signal_id="s1", side="BUY", confidence=7.0)
    record(tt, 0, 3)
    assert tt.flush().settled
    assert values(fake) == [0, 1, 2]


def test_an_event_above_the_servers_limit_is_rejected_alone(connected: Connect) -> None:
    """As long as it fits a batch, the server keeps its beginning for the owner."""
    with FakeSidecar(event_bytes_max=2_000, batch_bytes_max=10_000) as small:
        tt = connected(address=small.address)
        record(tt, 0, 1)
        tt.execution_failure(error_type="e", message="x" * 5_000)
        record(tt, 1, 1)
        result = tt.flush()
        assert (result.settled, result.rejected_count, result.lost_count) == (True, 1, 0)
        assert values(small) == [0, 1]


def test_an_event_that_fits_no_batch_is_declared_lost(connected: Connect) -> None:
    """It would end every stream that carries it, and hold up all others for ever."""
    with FakeSidecar(event_bytes_max=2_000, batch_bytes_max=4_000) as small:
        tt = connected(address=small.address)
        record(tt, 0, 1)
        tt.execution_failure(error_type="e", message="x" * 5_000)
        record(tt, 1, 1)
        result = tt.flush()
        assert (result.settled, result.durable_count, result.lost_count) == (True, 2, 1)
        loss = small.events("RECORDER_LOSS")[0].recorder_loss
        assert (loss.first_seq, loss.reason) == (2, event_pb2.LOSS_REASON_UNSENDABLE)
        assert values(small) == [0, 1]


def test_an_event_that_ends_every_stream_is_found_and_declared_lost(
    fake: FakeSidecar, tt: Trimtab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poison event that nobody foresaw costs itself, not its neighbours."""
    store = fake.log.append_batch

    def poisoned(producer: Producer, opened: Any, batch: Any) -> BatchResult:
        if any(e.metric_recorded.value == 7.0 for e in batch.events):
            # Without a reason, as the transport itself refuses what is too large for it.
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "")
        return store(producer, opened, batch)

    monkeypatch.setattr(fake.log, "append_batch", poisoned)
    record(tt, 0, 20)
    assert tt.flush(30).settled
    assert values(fake) == [n for n in range(20) if n != 7]
    assert tt.stats.lost_count == 1


def test_flushes_of_many_threads_all_come_back(fake: FakeSidecar, tt: Trimtab) -> None:
    """A flush answers for what was accepted before it."""
    done: list[bool] = []

    def work(first: int) -> None:
        for start in range(first, first + 100, 10):
            record(tt, start, 10)
            done.append(tt.flush().durable)

    threads = [threading.Thread(target=work, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 40
    assert sorted(values(fake)) == list(range(400))


def test_a_unix_socket_works(tmp_path: object, connected: Connect) -> None:
    """The shortest way to a sidecar on the same machine."""
    with FakeSidecar(f"unix:{tmp_path}/s") as local:
        tt = connected(address=local.address)
        record(tt, 0, 3)
        assert tt.flush().durable
        assert values(local) == [0, 1, 2]
        tt.close()


def test_the_builder_is_free_of_the_stream(tt: Trimtab) -> None:
    """Building an event records nothing."""
    assert isinstance(tt.builder, EventBuilder)
    tt.builder.metric(name="n")
    assert tt.stats.accepted_count == 0
