"""Pages of a list and start-up, with few and with many events stored."""

import time
from statistics import median
from typing import Any

from tests.conftest import Sidecar
from tests.load import databases, mix
from tests.load.context import SEED, Bench
from tests.load.raw_stream import LIST_EVENTS, open_channel
from tests.load.table import Report, Row
from trimtab.v1 import event_pb2
from trimtab.v1 import event_service_pb2 as pb

TARGET = 1.5
_FILTER = pb.EventFilter(kinds=[event_pb2.EVENT_KIND_MARKET_BAR], symbol=mix.SYMBOLS[7])
_ORDERS = {"ascending": pb.EVENT_ORDER_SEQUENCE, "descending": pb.EVENT_ORDER_SEQUENCE_DESC}
_CALL_S_MAX = 60.0


def measure_list(bench: Bench, report: Report) -> None:
    """ListEvents by kind and symbol, and start-up, on a small and on a large database."""
    small, large = bench.sizes.list_events
    stored = []
    for count in (small, large):
        bench.say(f"list: filling a database with {count:,} events")
        path = bench.new_database()
        databases.fill(path, count, SEED)
        stored.append(path)
    starts: list[tuple[float, float]] = []
    pages: dict[str, list[tuple[float, float]]] = {}
    for _ in range(bench.rounds):
        few, few_s = _started(bench, stored[0])
        many, many_s = _started(bench, stored[1])
        starts.append((many_s, few_s))
        for name, pair in _paged(bench, many, few).items():
            pages.setdefault(name, []).append(pair)
        bench.stop(few)
        bench.stop(many)
        bench.say(f"list: { ({name: pairs[-1] for name, pairs in pages.items()}) } ms")
    size = bench.sizes.list_page
    for page, pairs in pages.items():
        name = f"list: {size:,} of {large:,} events by kind and symbol, {page}"
        report.rows.append(Row(name, "ms", f"of {small:,}", pairs, TARGET))
    name = f"start-up with {large:,} events"
    report.rows.append(Row(name, "s", f"with {small:,}", starts, TARGET))


def _started(bench: Bench, database: Any) -> tuple[Sidecar, float]:
    start_s = time.perf_counter()
    sidecar = bench.start(database)
    return sidecar, time.perf_counter() - start_s


def _paged(bench: Bench, many: Sidecar, few: Sidecar) -> dict[str, tuple[float, float]]:
    """Median milliseconds of each page, many and few, asked for in turns."""
    took: dict[str, tuple[list[float], list[float]]] = {}
    with open_channel(many.address) as many_channel, open_channel(few.address) as few_channel:
        calls: list[Any] = [
            channel.unary_unary(LIST_EVENTS, request_serializer=None, response_deserializer=None)
            for channel in (many_channel, few_channel)
        ]
        requests = [_requests(bench, call, side) for side, call in enumerate(calls)]
        for name in requests[0]:
            took[name] = ([], [])
            for _ in range(bench.sizes.list_calls):
                for side, call in enumerate(calls):
                    start_s = time.perf_counter()
                    call(requests[side][name], timeout=_CALL_S_MAX)
                    took[name][side].append((time.perf_counter() - start_s) * 1e3)
    return {name: (median(pair[0]), median(pair[1])) for name, pair in took.items()}


def _requests(bench: Bench, call: Any, side: int) -> dict[str, bytes]:
    """The first page, the one in the middle, and the first from the end. Raises RuntimeError when
    a page is not full."""
    found = {}
    size = bench.sizes.list_page
    # Seven of ten events are bars, of twenty symbols.
    matching = bench.sizes.list_events[1 - side] * 0.7 / len(mix.SYMBOLS)
    for name, order in _ORDERS.items():
        request = pb.ListEventsRequest(filter=_FILTER, order=order, page_size=size)
        found[f"first page, {name}"] = request.SerializeToString()
        if name == "ascending":
            for _ in range(max(1, int(matching / size / 2))):
                answer = pb.ListEventsResponse.FromString(
                    call(request.SerializeToString(), timeout=_CALL_S_MAX)
                )
                if len(answer.events) != size or not answer.next_page_token:
                    raise RuntimeError(f"a page holds {len(answer.events)} events, not {size}")
                request.page_token = answer.next_page_token
            found["middle page"] = request.SerializeToString()
    return found
