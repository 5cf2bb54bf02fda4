"""Watching the signal gate: a snapshot, each change, renewals, and an end that says why."""

import itertools
import statistics
import time
from collections.abc import Callable

import grpc
from google.protobuf.duration_pb2 import Duration

from tests.conftest import Sidecar
from tests.faults.process import free_address
from tests.faults.stalls import metric, open_narrow_channel
from tests.faults.waiting import until
from tests.rpc.gate_calls import LIVE, SOURCE, Operator, at, operator, until_revision
from tests.rpc.statuses import refused
from trimtab.v1 import signal_gate_service_pb2 as pb

Code = grpc.StatusCode
WATCHERS = "trimtab_gate_watchers"
DENY = pb.GATE_VERDICT_DENY
LOSSES = pb.BREAKER_KIND_CONSECUTIVE_LOSSES
DRAWDOWN = pb.BREAKER_KIND_DRAWDOWN
# A change reaches other sidecars within a second; the machine of a test may be slow.
HEARD_S_MAX = 5.0


def test_a_snapshot_holds_what_concerns_its_source(run: Operator) -> None:
    """Everything but the rules of other sources; breakers stand there OPEN, without figures."""
    run.ask(signal_time=at(1_000))
    own = run.halt(source=SOURCE).current
    run.halt(source="beta")
    run.trip(DRAWDOWN, cool_down=Duration(seconds=1))
    run.trip(LOSSES, {"source": "beta"})
    snapshot = next(run.watch()).snapshot
    assert snapshot.trading_states[:] == [own]
    (breaker,) = snapshot.breakers
    assert (breaker.kind, breaker.state) == (DRAWDOWN, pb.BREAKER_STATE_OPEN)
    assert breaker.open_until == at(1_001)
    assert snapshot.fail_policy == pb.FAIL_POLICY_AS_BUILT
    assert snapshot.fallback.max_position_fraction == 0.02
    assert snapshot.revision == run.breakers().revision


def test_renewals_come_within_the_lease_and_without_a_snapshot(ruled: Operator) -> None:
    """Each with the server's clock, its uptime and the lease; one comes every third of it."""
    stream = ruled.watch()
    messages = list(itertools.islice(stream, 8))
    assert messages[0].HasField("snapshot")
    assert not any(each.HasField("snapshot") for each in messages[1:])
    assert {each.lease_ttl.ToMilliseconds() for each in messages} == {900}
    times = [each.server_time.ToNanoseconds() for each in messages]
    assert times == sorted(times)
    uptimes = [each.uptime.ToNanoseconds() for each in messages]
    assert uptimes == sorted(uptimes)
    assert 0 < uptimes[-1] - uptimes[0] < 1.5 * (times[-1] - times[0])
    third_ns = messages[0].lease_ttl.ToNanoseconds() / 3
    # A machine that is busy delays some, and the one behind them comes early; most are in time.
    rest_ns = statistics.median(after - before for before, after in itertools.pairwise(times))
    assert third_ns / 1.5 < rest_ns < third_ns * 1.5
    assert {each.boot_id for each in messages} == {messages[0].boot_id}
    stream.cancel()


def test_a_client_is_spared_the_snapshot_that_it_holds(run: Operator) -> None:
    """Same log, same start, same revision: a renewal is enough. Else it gets the snapshot; above
    ours it is told that an older backup was put back."""
    run.halt()
    held = next(run.watch())
    told = {"log_id": held.log_id, "boot_id": held.boot_id, "revision": held.revision}
    assert not next(run.watch(**told)).HasField("snapshot")
    for other in ({"boot_id": "another"}, {"log_id": "another"}, {"revision": held.revision - 1}):
        assert next(run.watch(**{**told, **other})).HasField("snapshot")
    with refused(Code.OUT_OF_RANGE, "REVISION_AHEAD", "revision"):
        next(run.watch(**{**told, "revision": held.revision + 1}))
    next(run.watch(**{**told, "revision": held.revision + 1, "log_id": "another"}))


def test_watchers_are_limited_and_make_room(ruled: Operator) -> None:
    """One too many is told to come back; who leaves makes room."""
    run = Operator(ruled.stub)
    streams = [run.watch() for _ in range(3)]
    for stream in streams:
        next(stream)
    with refused(Code.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS"):
        next(run.watch())
    for stream in streams:
        stream.cancel()
    deadline = time.monotonic() + 20
    while True:
        try:
            assert next(run.watch()).HasField("snapshot")
            break
        except grpc.RpcError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_watcher_hears_that_the_server_stops(sidecar: Callable[..., Sidecar]) -> None:
    """UNAVAILABLE with a delay, at once; the process ends with 0."""
    one = sidecar()
    with grpc.insecure_channel(one.address) as channel:
        stream = operator(channel, LIVE).watch()
        next(stream)
        one.process.terminate()
        with refused(Code.UNAVAILABLE, "SHUTTING_DOWN"):
            for _ in stream:
                pass
    assert one.process.wait(20) == 0


def test_a_halt_through_one_sidecar_is_told_by_the_other(
    sidecar: Callable[..., Sidecar], postgres_url: str
) -> None:
    """Two on one Postgres: a watcher of the second hears of an order to the first, and a client
    that comes over with the newer revision is not refused."""
    first, second = (sidecar(database=postgres_url) for _ in range(2))
    with (
        grpc.insecure_channel(first.address) as one_channel,
        grpc.insecure_channel(second.address) as two_channel,
    ):
        one, two = operator(one_channel, LIVE), operator(two_channel, LIVE)
        stream = two.watch()
        next(stream)
        for count in range(1, 6):
            revision = one.halt(strategy=f"s-{count}").revision
            held = {"log_id": next(one.watch()).log_id, "revision": revision}
            assert next(two.watch(**held)).revision >= revision
            assert two.verdict(strategy=f"s-{count}").verdict == DENY
            told = until_revision(stream, revision)
            assert len(told.snapshot.trading_states) == revision == count
        # And by itself, when nobody comes over to make it look.
        for count in range(6, 9):
            ordered_s = time.monotonic()
            revision = one.halt(strategy=f"s-{count}").revision
            for message in stream:
                assert time.monotonic() - ordered_s < HEARD_S_MAX
                if message.revision >= revision:
                    break
            assert two.verdict(strategy=f"s-{count}").verdict == DENY


def _halt_with_many_words(run: Operator, strategy: str) -> int:
    """A halt with a long reason; its revision."""
    told = {"reason": "r" * 1_024}
    return run.set_state(pb.TRADING_STATE_HALTED, {"strategy": strategy}, **told).revision


def test_a_watcher_that_does_not_read_is_cut_and_holds_up_nobody(
    sidecar: Callable[..., Sidecar],
) -> None:
    """SLOW_READER, while orders are answered and others are told; whoever reads on finds a few
    states, not every change since. So it is with one that does not even take its first."""
    metrics = free_address()
    one = sidecar("--slow-reader-s", "0.5", "--prometheus-listen", metrics)
    with open_narrow_channel(one.address) as narrow, grpc.insecure_channel(one.address) as wide:
        stalled, run = operator(narrow, LIVE), operator(wide, LIVE)
        slow, quick = stalled.watch(), run.watch()
        next(slow)
        for count in range(150):
            revision = _halt_with_many_words(run, f"s-{count}")
            assert until_revision(quick, revision).snapshot.revision == revision
        # Reading on: else it would be cut too.
        until(lambda: bool(next(quick)) and metric(metrics, WATCHERS) == 1, "the cut")
        for late in (slow, stalled.watch()):
            until(lambda: bool(next(quick)) and metric(metrics, WATCHERS) == 1, "the next cut")
            told = 0
            with refused(Code.RESOURCE_EXHAUSTED, "SLOW_READER"):
                for _ in late:
                    told += 1
            assert told < 150


def test_many_watchers_are_all_told_of_a_halt(sidecar: Callable[..., Sidecar]) -> None:
    """Three hundred, each with its snapshot, and the halt with the next message; leaving, they
    leave nothing behind."""
    metrics = free_address()
    one = sidecar("--prometheus-listen", metrics)
    with grpc.insecure_channel(one.address) as channel:
        run = operator(channel, LIVE)
        streams = [run.watch(f"engine-{i % 7}") for i in range(300)]
        assert {next(each).snapshot.revision for each in streams} == {0}
        assert metric(metrics, WATCHERS) == 300
        revision = run.halt().revision
        for each in streams:
            assert len(until_revision(each, revision).snapshot.trading_states) == 1
        for each in streams:
            each.cancel()
        until(lambda: metric(metrics, WATCHERS) == 0, "the end of the watchers")
