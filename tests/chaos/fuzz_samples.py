"""Valid requests of every RPC, drawn from a seeded generator: what the fuzzer mutates.

A method of any service that is not in `SAMPLES` fails the fuzzer's tests.
"""

import importlib
import pkgutil
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import trimtab.v1
from tests.chaos import fuzz_reports
from tests.rpc.edges import full_event
from tests.rpc.samples import KINDS, SOURCE, an_event
from trimtab.v1 import admin_service_pb2, event_pb2
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1 import signal_gate_service_pb2 as gate

Sample = Callable[[random.Random], Message]

EVENTS = "trimtab.v1.EventService"
ADMIN = "trimtab.v1.AdminService"
GATE = "trimtab.v1.SignalGateService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
STREAM_EVENTS = f"/{EVENTS}/StreamEvents"
# Not the present: the bytes that a seed makes must be the same tomorrow.
_FIXED_S = 1_767_225_600
_KNOWN_IDS = 64
_KNOWN_PRODUCERS = 8


def methods() -> dict[str, MethodDescriptor]:
    """Every method that a sidecar serves, by its path: /package.Service/Method."""
    ours = [
        importlib.import_module(module.name).DESCRIPTOR
        for module in pkgutil.iter_modules(trimtab.v1.__path__, "trimtab.v1.")
        if module.name.endswith("_service_pb2")
    ]
    return {
        f"/{service.full_name}/{method.name}": method
        for file in (*ours, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
    }


def a_uuid(rng: random.Random, known: int = _KNOWN_IDS) -> str:
    """A UUID: half of them new, half from a few that come back."""
    number = rng.randrange(known) if rng.random() < 0.5 else rng.getrandbits(128)
    return str(UUID(int=number, version=4))


def sample_event(rng: random.Random) -> event_pb2.Event:
    """A valid event of any kind, plain or with every field set."""
    event = event_pb2.Event()
    event.CopyFrom(rng.choice(_EVENTS))
    event.event_id = a_uuid(rng)
    return event


def _fixed(message: Message) -> None:
    """Takes the present out of a message: every time in it becomes the same one."""
    for field, value in message.ListFields():
        if isinstance(value, Timestamp):
            value.seconds = _FIXED_S
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for part in value if field.is_repeated else (value,):
                _fixed(part)


def _events() -> list[event_pb2.Event]:
    made = [make(kind) for kind in KINDS for make in (an_event, full_event)]
    for event in made:
        _fixed(event)
    return made


_EVENTS = _events()


def _filter(rng: random.Random) -> pb.EventFilter:
    """A filter on a few of its fields."""
    every: dict[str, Any] = {
        "kinds": [rng.randrange(1, 17)],
        "source": SOURCE,
        "environment": event_pb2.ENVIRONMENT_PAPER,
        "run_id": "r-1",
        "strategy": "momentum-1h",
        "symbol": "BTC-USDT",
        "signal_id": "s-1",
        "start_time": Timestamp(seconds=_FIXED_S - 60),
        "end_time": Timestamp(seconds=_FIXED_S + 60),
        "known_at_time": Timestamp(seconds=_FIXED_S + 60),
    }
    names = rng.sample(sorted(every), rng.randrange(4))
    return pb.EventFilter(**{name: every[name] for name in names})


def _list_events(rng: random.Random) -> Message:
    return pb.ListEventsRequest(
        filter=_filter(rng),
        order=rng.choice(list(pb.EventOrder.keys())),
        page_size=rng.randrange(50),
        page_token=rng.choice(("", "", "", "WyJhIiwgMV0")),
    )


def _list_rejected(rng: random.Random) -> Message:
    return pb.ListRejectedEventsRequest(
        source=rng.choice(("", SOURCE)),
        producer_id=rng.choice(("", a_uuid(rng, _KNOWN_PRODUCERS))),
        page_size=rng.randrange(20),
    )


def _watch_events(rng: random.Random) -> Message:
    if rng.random() < 0.5:
        return pb.WatchEventsRequest(from_now=True, filter=_filter(rng))
    return pb.WatchEventsRequest(filter=_filter(rng))


def opening(rng: random.Random) -> pb.StreamEventsRequest:
    """The first message of a stream: half of the producers come back, so that streams meet."""
    return pb.StreamEventsRequest(
        open=pb.Open(
            producer_id=a_uuid(rng, _KNOWN_PRODUCERS),
            producer_epoch=2 if rng.random() < 0.02 else 1,
            source=SOURCE,
            client_info=pb.ClientInfo(name="fuzz", version="1", runtime="python", process_id=1),
        )
    )


def streamed(rng: random.Random, next_seq: int) -> pb.StreamEventsRequest:
    """A later message of a stream that was settled up to `next_seq` - 1."""
    kind = rng.random()
    if kind < 0.1:
        return pb.StreamEventsRequest(flush=pb.Flush())
    if kind < 0.2:
        lost = pb.Lost(
            first_seq=next_seq,
            last_seq=next_seq + rng.randrange(9),
            reason=rng.choice(list(event_pb2.LossReason.keys())[1:]),
        )
        return pb.StreamEventsRequest(lost=lost)
    events = [sample_event(rng) for _ in range(rng.randint(1, 4))]
    return pb.StreamEventsRequest(batch=pb.Batch(first_seq=next_seq, events=events))


def _scope(rng: random.Random) -> gate.GateScope:
    """A scope in LIVE or in one of a few runs."""
    is_live = rng.random() < 0.3
    return gate.GateScope(
        environment=event_pb2.ENVIRONMENT_LIVE if is_live else event_pb2.ENVIRONMENT_BACKTEST,
        run_id="" if is_live else f"r-{rng.randrange(8)}",
        source=rng.choice(("", SOURCE)),
        strategy=rng.choice(("", "momentum-1h", "carry")),
        symbol=rng.choice(("", "", "BTC-USDT")),
    )


def _ordered(rng: random.Random) -> dict[str, Any]:
    return {
        "scope": _scope(rng),
        "reason": "fuzzed",
        "actor": "fuzz",
        "request_id": a_uuid(rng),
        "etag": rng.choice(("", "", "", "1")),
    }


def _ask(rng: random.Random) -> Message:
    scope = _scope(rng)
    signals = [
        gate.SignalQuery(
            signal_id=f"s-{rng.randrange(9)}",
            intent=rng.choice(list(event_pb2.Intent.keys())),
            confidence=rng.random(),
        )
        for _ in range(rng.randrange(4))
    ]
    return gate.ShouldAllowSignalsRequest(
        source=SOURCE,
        environment=scope.environment,
        run_id=scope.run_id,
        strategy=scope.strategy,
        symbol=scope.symbol,
        signal_time=Timestamp(seconds=_FIXED_S + rng.randrange(9_999)),
        signals=signals,
    )


def _watch_gate(rng: random.Random) -> Message:
    scope = _scope(rng)
    return gate.WatchSignalGateRequest(
        source=SOURCE, environment=scope.environment, run_id=scope.run_id
    )


def _set_state(rng: random.Random) -> Message:
    state = rng.choice(
        (gate.TRADING_STATE_ACTIVE, gate.TRADING_STATE_REDUCING, gate.TRADING_STATE_HALTED)
    )
    has_end = state != gate.TRADING_STATE_ACTIVE and rng.random() < 0.5
    return gate.SetTradingStateRequest(
        state=state,
        block_exits=state == gate.TRADING_STATE_HALTED and rng.random() < 0.3,
        until=Timestamp(seconds=4 * 10**9) if has_end else None,
        **_ordered(rng),
    )


def _trip(rng: random.Random) -> Message:
    return gate.TripBreakerRequest(
        kind=rng.randint(1, 6),  # type: ignore[arg-type]  # the numbers of the kinds
        cool_down=Duration(seconds=rng.randint(1, 999)) if rng.random() < 0.7 else None,
        **_ordered(rng),
    )


def _reset(rng: random.Random) -> Message:
    return gate.ResetBreakerRequest(
        kind=rng.randint(0, 6),  # type: ignore[arg-type]  # as above
        include_narrower=rng.random() < 0.5,
        validate_only=rng.random() < 0.3,
        **_ordered(rng),
    )


def _list_breakers(rng: random.Random) -> Message:
    scope = _scope(rng)
    return gate.ListBreakersRequest(
        environment=scope.environment,
        run_id=scope.run_id,
        include_closed=rng.random() < 0.5,
        page_size=rng.randrange(20),
        page_token=rng.choice(("", "", "WyJhIiwgMV0")),
    )


SAMPLES: dict[str, Sample] = {
    f"/{EVENTS}/RecordEvent": lambda rng: pb.RecordEventRequest(event=sample_event(rng)),
    f"/{EVENTS}/RecordEvents": lambda rng: pb.RecordEventsRequest(
        events=[sample_event(rng) for _ in range(rng.randint(1, 4))]
    ),
    # The first message; `streamed` draws those that follow.
    STREAM_EVENTS: opening,
    f"/{EVENTS}/GetEvent": lambda rng: pb.GetEventRequest(event_id=a_uuid(rng)),
    f"/{EVENTS}/ListEvents": _list_events,
    f"/{EVENTS}/ListRejectedEvents": _list_rejected,
    f"/{EVENTS}/WatchEvents": _watch_events,
    f"/{EVENTS}/GetStats": lambda rng: pb.GetStatsRequest(source=rng.choice(("", SOURCE))),
    f"/{GATE}/ShouldAllowSignals": _ask,
    f"/{GATE}/WatchSignalGate": _watch_gate,
    f"/{GATE}/SetTradingState": _set_state,
    f"/{GATE}/TripBreaker": _trip,
    f"/{GATE}/ResetBreaker": _reset,
    f"/{GATE}/ListBreakers": _list_breakers,
    **fuzz_reports.SAMPLES,
    f"/{ADMIN}/GetServerInfo": lambda _: admin_service_pb2.GetServerInfoRequest(),
    f"/{ADMIN}/GetHealth": lambda _: admin_service_pb2.GetHealthRequest(),
    f"/{HEALTH}/Check": lambda rng: health_pb2.HealthCheckRequest(
        service=rng.choice(("", EVENTS, ADMIN, "unknown"))
    ),
    f"/{HEALTH}/List": lambda _: health_pb2.HealthListRequest(),
    f"/{HEALTH}/Watch": lambda rng: health_pb2.HealthCheckRequest(
        service=rng.choice(("", EVENTS, ADMIN, "unknown"))
    ),
    f"/{REFLECTION}/ServerReflectionInfo": lambda rng: reflection_pb2.ServerReflectionRequest(
        host="localhost", file_containing_symbol=rng.choice((EVENTS, ADMIN, "unknown"))
    ),
}
