"""A WatchEvents reader that does not read is cut, resumes without a gap, and costs no memory."""

from collections.abc import Callable
from contextlib import ExitStack

import grpc
import pytest

from tests.conftest import Sidecar
from tests.faults.driver import CALL_S_MAX, Load
from tests.faults.process import free_address, resident_bytes
from tests.faults.readers import entry, watched_log
from tests.faults.stalls import (
    DEAF_PRODUCER,
    fill,
    metric,
    open_narrow_channel,
    stalled_recorder,
    stalled_watch,
)
from tests.faults.waiting import until
from tests.rpc.statuses import Answer, answer_of
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

WATCHERS = "trimtab_watchers_open"
STREAMS = "trimtab_streams_open"
STALLED = 100
# What a hundred stalled watchers may add to the process, as a share of what it had.
GROWTH_MAX = 1.4


def test_a_stalled_reader_is_cut_and_resumes_without_a_gap(
    sidecar: Callable[..., Sidecar],
) -> None:
    """The server lets go of it; reading on, it finds SLOW_READER with RetryInfo after the pages
    that were under way, and resumes behind the last of them."""
    metrics = free_address()
    server = sidecar("--slow-reader-s", "0.5", "--prometheus-listen", metrics)
    with open_narrow_channel(server.address) as channel:
        stub = EventServiceStub(channel)
        fill(stub)
        watch = stalled_watch(stub)
        assert metric(metrics, WATCHERS) == 1
        until(lambda: metric(metrics, WATCHERS) == 0, "the server to let go of the watcher")
        pages: list[pb.WatchEventsResponse] = []
        with pytest.raises(grpc.RpcError) as cut:
            pages.extend(watch)
        assert cut.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert answer_of(cut.value).reason == "SLOW_READER"
        assert answer_of(cut.value).retry_after_s is not None
    seen = [entry(one) for page in pages for one in page.events]
    rest = watched_log(server.address, pages[-1].through_sequence, pages[-1].log_id)
    assert seen
    assert rest, "the reader was cut before the end of the log"
    assert seen + rest == watched_log(server.address)


def test_a_cut_reader_gives_its_place_to_another(sidecar: Callable[..., Sidecar]) -> None:
    """With room for one watcher, the next one gets in after the stalled one was cut."""
    server = sidecar("--slow-reader-s", "0.5", "--watchers-max", "1")
    with open_narrow_channel(server.address) as channel:
        stub = EventServiceStub(channel)
        fill(stub)
        stalled = stalled_watch(stub)

        def refusal() -> Answer | None:
            watch = stub.WatchEvents(pb.WatchEventsRequest(from_now=True), timeout=CALL_S_MAX)
            try:
                next(watch)
            except grpc.RpcError as error:
                return answer_of(error)
            watch.cancel()
            return None

        first = refusal()
        assert first is not None
        assert first.reason == "TOO_MANY_STREAMS"
        assert first.retry_after_s is not None
        until(lambda: refusal() is None, "a free place")
        stalled.cancel()


def test_a_hundred_stalled_readers_cost_little_memory_and_no_events(
    sidecar: Callable[..., Sidecar],
) -> None:
    """Memory stays flat while they stall, and recording goes on as if they were not there."""
    metrics = free_address()
    server = sidecar("--slow-reader-s", "3600", "--prometheus-listen", metrics)
    with ExitStack() as closing:
        channel = closing.enter_context(open_narrow_channel(server.address))
        stub = EventServiceStub(channel)
        fill(stub, calls=16)
        watched_log(server.address)
        before = resident_bytes(server.pid)
        stalled = []
        for _ in range(STALLED):
            one = closing.enter_context(open_narrow_channel(server.address))
            stalled.append(stalled_watch(EventServiceStub(one)))
        assert metric(metrics, WATCHERS) == STALLED
        with Load(server.address, seed=3, producers=2, unary=1) as load:
            until(lambda: load.record.acknowledged_count > 2_000, "recording to go on")
            load.drain()
        growth = resident_bytes(server.pid) / before
        print(f"{before >> 20} MiB before, times {growth:.2f} with {STALLED} stalled readers")
        assert growth < GROWTH_MAX
        assert metric(metrics, WATCHERS) == STALLED, "they were cut, and nothing was measured"
        for watch in stalled:
            watch.cancel()
        until(lambda: metric(metrics, WATCHERS) == 0, "the watchers to be gone")
    assert server.terminate() == 0
    assert "Traceback" not in server.log


def test_a_deaf_engine_s_stream_ends_when_it_is_taken_over(
    sidecar: Callable[..., Sidecar],
) -> None:
    """A superseded stream gives up its place and writes nothing more, though its client reads no
    acknowledgement and not even its end."""
    metrics = free_address()
    server = sidecar("--prometheus-listen", metrics)
    with open_narrow_channel(server.address) as deaf, open_narrow_channel(server.address) as other:
        kept = stalled_recorder(EventServiceStub(deaf))
        assert metric(metrics, STREAMS) == 1
        opening = pb.Open(producer_id=DEAF_PRODUCER, producer_epoch=1, source="deaf")
        said = iter([pb.StreamEventsRequest(open=opening)])
        answers = EventServiceStub(other).StreamEvents(said, timeout=CALL_S_MAX)
        assert next(answers).opened.next_expected_seq > 1
        until(lambda: metric(metrics, STREAMS) == 0, "both streams to give up their places")
        assert kept.is_active()  # its client has not noticed
