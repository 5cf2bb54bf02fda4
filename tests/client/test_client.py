from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from trimtab_client import (
    Aborted,
    Breaker,
    Client,
    DeadlineExceeded,
    Event,
    EventBuilder,
    FakeSidecar,
    IdReused,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TrimtabError,
    Unavailable,
    event_filter,
    uuid7,
)


class Clock:
    """A clock that only `sleep` moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Now, seconds."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Moves the clock instead of waiting."""
        self.slept.append(seconds)
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    """The client's time."""
    return Clock()


@pytest.fixture
def client(fake: FakeSidecar, clock: Clock) -> Iterator[Client]:
    """A client of the fake that never really sleeps."""
    with Client(fake.address, timeout_s=30, clock=clock, sleep=clock.sleep) as made:
        yield made


BUILDER = EventBuilder(source="alpha-1", environment="PAPER")


def metrics(count: int) -> list[Event]:
    """Events a nanosecond apart."""
    return [BUILDER.metric(name="n", value=float(n), event_time_ns=n + 1) for n in range(count)]


def test_an_event_is_recorded_once(client: Client) -> None:
    """The same id and content again is a duplicate with the first sequence."""
    event = metrics(1)[0]
    first = client.record_event(event)
    again = client.record_event(event)
    assert (first.sequence, first.duplicate) == (1, False)
    assert (again.sequence, again.duplicate) == (1, True)
    assert client.get_event(event.event_id).metric_recorded.name == "n"


def test_a_reused_id_and_a_bad_field_are_typed_errors(client: Client) -> None:
    """With the reason, and the path of the field."""
    event = metrics(1)[0]
    client.record_event(event)
    event.metric_recorded.name = "other"
    with pytest.raises(IdReused) as reused:
        client.record_event(event)
    assert reused.value.reason == "ID_REUSED"
    bad = BUILDER.signal(signal_id="s", side="BUY", confidence=7.0)
    with pytest.raises(InvalidArgument) as refused:
        client.record_event(bad)
    assert refused.value.field_violations[0].field == "signal.confidence"


def test_several_events_get_a_result_each(client: Client) -> None:
    """A bad one is refused alone."""
    events = [*metrics(2), BUILDER.signal(signal_id="", side="BUY")]
    results = client.record_events(events)
    assert [r.WhichOneof("result") for r in results] == ["recorded", "recorded", "rejection"]
    assert results[2].rejection.violations[0].field == "signal_id"


def test_pages_follow_each_other_to_the_end(client: Client) -> None:
    """Iterating asks for every page, with filter and order."""
    client.record_events(metrics(25))
    seen = [e.sequence for e in client.iter_events(order="SEQUENCE_DESC", page_size=10)]
    assert seen == list(range(25, 0, -1))
    some = event_filter(start_time=3, end_time=6, kinds=["METRIC_RECORDED"])
    assert [e.sequence for e in client.iter_events(some)] == [3, 4, 5]
    assert list(client.iter_events(event_filter(environment="LIVE"))) == []
    with pytest.raises(ValueError, match="order"):
        client.list_events(order="RANDOM")


def test_what_does_not_exist_is_not_found(client: Client) -> None:
    """And is not tried again."""
    with pytest.raises(NotFound) as missing:
        client.get_event(uuid7())
    assert missing.value.reason == "NOT_FOUND"


def test_stats_info_and_health_are_answered(client: Client, fake: FakeSidecar) -> None:
    """Everything an operator asks first."""
    client.record_events(metrics(3))
    stats = client.get_stats(source="alpha-1", environment="PAPER")
    assert (stats.event_count, stats.counts[0].event_count) == (3, 3)
    assert client.get_stats(environment="LIVE").event_count == 0
    info = client.get_server_info()
    assert (info.last_sequence, info.log_id) == (3, fake.log.log_id)
    assert client.check_health() == client.check_health("trimtab.v1.EventService") == "SERVING"
    fake.serving = False
    assert client.check_health() == "NOT_SERVING"
    with pytest.raises(NotFound):
        client.check_health("trimtab.v1.Nothing")
    assert list(client.list_rejected_events().rejected_events) == []


def test_health_tells_each_condition(client: Client, fake: FakeSidecar) -> None:
    """Ready as check_health says, with the reason when it is not."""
    assert client.get_health().ready
    fake.serving = False
    found = client.get_health()
    assert not found.ready
    assert [(each.name, each.message) for each in found.conditions] == [
        ("serving", "as the test told")
    ]


def test_unavailable_is_tried_again_within_the_budget(
    client: Client, fake: FakeSidecar, clock: Clock
) -> None:
    """Always, with growing delays; RetryInfo is respected."""
    fake.fail_next("UNAVAILABLE", "SHUTTING_DOWN", count=2, retry_after_s=3.0)
    assert client.get_stats().event_count == 0
    assert len(clock.slept) == 2
    assert min(clock.slept) >= 3.0


def test_the_budget_ends_the_attempts(client: Client, fake: FakeSidecar, clock: Clock) -> None:
    """The last error is raised before a delay would pass the deadline."""
    fake.fail_next("UNAVAILABLE", "STORE_UNAVAILABLE", count=99)
    with pytest.raises(Unavailable) as failed:
        client.get_stats(timeout_s=2.0)
    assert failed.value.reason == "STORE_UNAVAILABLE"
    assert clock.now_s < 2.0
    assert len(clock.slept) >= 2


@pytest.mark.parametrize(
    ("code", "retry_after_s", "kind"),
    [
        ("RESOURCE_EXHAUSTED", None, ResourceExhausted),
        ("ABORTED", 0.1, Aborted),
        ("INTERNAL", 0.1, TrimtabError),
    ],
)
def test_what_the_table_does_not_list_is_not_tried_again(
    client: Client,
    fake: FakeSidecar,
    clock: Clock,
    code: str,
    retry_after_s: float | None,
    kind: type[TrimtabError],
) -> None:
    """One attempt, one error."""
    fake.fail_next(code, "OVERLOADED", retry_after_s=retry_after_s)
    with pytest.raises(kind):
        client.get_stats()
    assert clock.slept == []


@pytest.mark.parametrize(
    ("code", "retry_after_s"), [("RESOURCE_EXHAUSTED", 0.1), ("DEADLINE_EXCEEDED", None)]
)
def test_what_the_table_lists_is_tried_again(
    client: Client, fake: FakeSidecar, clock: Clock, code: str, retry_after_s: float | None
) -> None:
    """Recording is idempotent by event_id, reading anyway."""
    fake.fail_next(code, "OVERLOADED", retry_after_s=retry_after_s)
    assert client.record_event(metrics(1)[0]).sequence == 1
    assert len(clock.slept) == 1


def test_a_dead_sidecar_fails_fast(clock: Clock) -> None:
    """Three transport failures open the breaker; then no call goes out until the probe."""
    breaker = Breaker(clock=clock, rng=lambda: 1.0)
    with Client(
        "127.0.0.1:1", timeout_s=30, breaker=breaker, clock=clock, sleep=clock.sleep
    ) as client:
        with pytest.raises(Unavailable, match="did not answer"):
            client.get_stats()
        assert breaker.state == "OPEN"
        assert len(clock.slept) == 3
        with pytest.raises(Unavailable) as refused:
            client.get_stats()
        assert len(clock.slept) == 3
        assert refused.value.code is grpc.StatusCode.UNAVAILABLE
        assert refused.value.retry_after_s is not None


def test_the_probe_closes_the_breaker_when_the_sidecar_is_back(
    client: Client, fake: FakeSidecar, clock: Clock
) -> None:
    """Recovery needs no restart of the engine."""
    fake.fail_next("UNAVAILABLE", count=3)
    with pytest.raises(Unavailable):
        client.get_stats()
    assert client.breaker.state == "OPEN"
    clock.now_s += 1.1
    assert client.get_stats().event_count == 0
    assert client.breaker.state == "CLOSED"


def test_every_call_has_a_deadline() -> None:
    """Even one to a port that takes connections and says nothing."""
    import socket

    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with (
            Client(address, timeout_s=0.05) as client,
            pytest.raises((DeadlineExceeded, Unavailable)),
        ):
            client.get_stats()


def test_a_watch_sees_old_and_new_events(client: Client) -> None:
    """Gapless from any sequence."""
    client.record_events(metrics(3))
    watch = client.watch_events(log_id=client.get_server_info().log_id, after_sequence=1)
    assert [next(watch).sequence for _ in range(2)] == [2, 3]
    client.record_events(metrics(2))
    assert [next(watch).sequence for _ in range(2)] == [4, 5]
    watch.close()  # type: ignore[attr-defined]


def test_a_watch_from_now_skips_the_past(client: Client) -> None:
    """The first page tells the position."""
    client.record_events(metrics(3))
    pages = client.watch_pages(from_now=True)
    assert next(pages).through_sequence == 3
    client.record_events(metrics(1))
    while not (page := next(pages)).events:
        pass
    assert [e.sequence for e in page.events] == [4]
    pages.close()  # type: ignore[attr-defined]


def test_a_watch_resumes_where_it_was(client: Client, fake: FakeSidecar) -> None:
    """After a restart of the sidecar, and after having been too slow."""
    client.record_events(metrics(3))
    watch = client.watch_events()
    assert [next(watch).sequence for _ in range(3)] == [1, 2, 3]
    fake.stop()
    fake.fail_next("RESOURCE_EXHAUSTED", "SLOW_READER", rpc="WatchEvents", retry_after_s=0.01)
    fake.start()
    assert client.wait_ready(1e9)
    client.record_events(metrics(2))
    assert [next(watch).sequence for _ in range(2)] == [4, 5]
    watch.close()  # type: ignore[attr-defined]


def test_a_watch_of_another_log_is_aborted(client: Client, fake: FakeSidecar) -> None:
    """A restored database is never tailed as if it were the old one."""
    with pytest.raises(Aborted) as changed:
        next(client.watch_events(log_id="another", after_sequence=5))
    assert changed.value.reason == "LOG_CHANGED"


def test_a_watch_ends_when_its_time_is_up(fake: FakeSidecar) -> None:
    """With every event that came until then."""
    with Client(fake.address) as client:
        client.record_events(metrics(2))
        assert len(list(client.watch_events(timeout_s=0.3))) == 2


def test_a_closed_client_says_so(fake: FakeSidecar) -> None:
    """A programming error, not a transport failure."""
    client = Client(fake.address)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.get_stats()
