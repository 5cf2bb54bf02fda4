"""Requests to the signal gate, checked by checks written out: most answer while a trade waits."""

import base64
import hashlib
import json
import math
import re
from typing import Any, NamedTuple

from google.protobuf import text_format

from trimtab.v1 import event_pb2
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_server.domain.events import Environment, Violation
from trimtab_server.domain.gate.gate_world import BreakerKey, Order
from trimtab_server.domain.gate.signal_gate import BreakerKind, Intent, Query, Scope, World
from trimtab_server.errors import InvalidRequest
from trimtab_server.rpc.convert import to_ns
from trimtab_server.rpc.rules import ID_LENGTH_MAX, NAME_LENGTH_MAX, Shape
from trimtab_server.rpc.validation import is_uuid, wrong_time

SIGNALS_MAX = 256
_REASON_LENGTH_MAX = 1_024
_COOL_DOWN_S_MAX = 366 * 86_400
_TOKEN_LENGTH_MAX = 4_096
_VIOLATIONS_MAX = 16
_BACKTEST = int(Environment.BACKTEST)
_ENVIRONMENTS = frozenset(int(each) for each in Environment)
_SIDES = frozenset(event_pb2.Side.values())
_INTENTS = {0: Intent.ENTRY} | {int(each): each for each in Intent}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Place(NamedTuple):
    """A scope in its world."""

    world: World
    scope: Scope


class Asked(NamedTuple):
    """What ShouldAllowSignals asks: where, at which event time (None = now), of which signals."""

    place: Place
    time_ns: int | None
    queries: list[Query]


def asked(request: pb.ShouldAllowSignalsRequest) -> Asked:
    """The question. Raises InvalidRequest that names each field at fault."""
    found: list[Violation] = []
    environment, run_id = request.environment, request.run_id
    source, strategy, symbol = request.source, request.strategy, request.symbol
    time_ns = None
    _check_world(environment, run_id, "", found)
    _check_name(source, "source", found, required=True)
    _check_name(strategy, "strategy", found)
    _check_name(symbol, "symbol", found)
    if environment == _BACKTEST:
        time_ns = _time(request, "signal_time", found)
        if time_ns is None and not found:
            found.append(Violation("signal_time", "is required for ENVIRONMENT_BACKTEST"))
    else:
        run_id = ""
    signals = request.signals
    if len(signals) > SIGNALS_MAX:
        words = f"has {len(signals)} entries; {SIGNALS_MAX} are allowed"
        raise InvalidRequest(Violation("signals", words))
    queries = []
    for index, signal in enumerate(signals):
        name, signal_id = signal.model_name, signal.signal_id
        confidence = signal.confidence if signal.HasField("confidence") else None
        intent = _INTENTS.get(signal.intent)
        if (
            intent is None
            or signal.side not in _SIDES
            or not (0 < len(signal_id) <= ID_LENGTH_MAX and signal_id.isprintable())
            or not (len(name) <= NAME_LENGTH_MAX and name.isprintable())
            or not (confidence is None or 0.0 <= confidence <= 1.0)
        ):
            _check_signal(signal, f"signals[{index}].", found)
            intent = intent or Intent.ENTRY
        queries.append(Query(Scope(source, strategy, symbol, name), signal_id, intent, confidence))
    _raise(found)
    return Asked(
        Place(World(environment, run_id), Scope(source, strategy, symbol)), time_ns, queries
    )


def _check_signal(signal: pb.SignalQuery, path: str, found: list[Violation]) -> None:
    """What is wrong with a signal that looked odd; perhaps nothing."""
    _check_name(signal.signal_id, path + "signal_id", found, ID_LENGTH_MAX, required=True)
    if signal.side not in _SIDES:
        found.append(Violation(path + "side", f"{signal.side} is no value of Side"))
    if signal.intent not in _INTENTS:
        found.append(Violation(path + "intent", f"{signal.intent} is no value of Intent"))
    _check_name(signal.model_name, path + "model_name", found)
    if signal.HasField("confidence") and not 0.0 <= signal.confidence <= 1.0:
        is_finite = math.isfinite(signal.confidence)
        words = "must be from 0 to 1" if is_finite else "must be finite"
        found.append(Violation(path + "confidence", f"{words}, is {signal.confidence:g}"))


def watched(request: pb.WatchSignalGateRequest) -> Place:
    """Which world and source. Raises InvalidRequest."""
    found: list[Violation] = []
    _check_world(request.environment, request.run_id, "", found)
    _check_name(request.source, "source", found, required=True)
    if request.revision < 0:
        found.append(Violation("revision", f"must not be negative, is {request.revision}"))
    for name in ("log_id", "boot_id"):
        _check_name(getattr(request, name), name, found)
    _raise(found)
    run_id = request.run_id if request.environment == _BACKTEST else ""
    return Place(World(request.environment, run_id), Scope(request.source))


def listed(request: pb.ListBreakersRequest) -> World:
    """Which world. Raises InvalidRequest."""
    found: list[Violation] = []
    _check_world(request.environment, request.run_id, "", found, strict=True)
    _raise(found)
    return World(request.environment, request.run_id)


# -- orders -------------------------------------------------------------------------------------


def order_of(request: Any, what: str, found: list[Violation]) -> tuple[Order, Scope]:
    """The order, and the scope that it is for; what is wrong with its common fields goes into
    `found`, and raises InvalidRequest already where the rest cannot be read."""
    scope = request.scope
    if not request.HasField("scope"):
        found.append(Violation("scope", "is required"))
    else:
        _check_world(scope.environment, scope.run_id, "scope.", found, strict=True)
    for name in ("source", "strategy", "symbol", "model_name"):
        _check_name(getattr(scope, name), f"scope.{name}", found)
    _check_name(request.reason, "reason", found, _REASON_LENGTH_MAX, required=True)
    _check_name(request.actor, "actor", found, required=True)
    _check_name(request.etag, "etag", found)
    if not is_uuid(request.request_id):
        words = "is no lower-case UUID" if request.request_id else "is required"
        found.append(Violation("request_id", words))
        _raise(found)
    body = request.SerializeToString(deterministic=True)
    order = Order(
        World(scope.environment, scope.run_id),
        bytes.fromhex(request.request_id.replace("-", "")),
        hashlib.blake2b(what.encode() + b"\0" + body, digest_size=16).digest(),
        request.etag,
        request.actor,
        f"{what} {text_format.MessageToString(request, as_one_line=True, as_utf8=True)}",
    )
    return order, Scope(scope.source, scope.strategy, scope.symbol, scope.model_name)


def state_order(request: pb.SetTradingStateRequest) -> tuple[Order, Scope, int | None]:
    """The order, its scope, and until when. Raises InvalidRequest."""
    found: list[Violation] = []
    order, scope = order_of(request, "SetTradingState", found)
    state = request.state
    if state not in pb.TradingState.values():
        found.append(Violation("state", f"{state} is no value of TradingState"))
    elif state == pb.TRADING_STATE_UNSPECIFIED:
        found.append(Violation("state", "is required"))
    if request.block_exits and state != pb.TRADING_STATE_HALTED:
        found.append(Violation("block_exits", "is for TRADING_STATE_HALTED only"))
    until_ns = _time(request, "until", found)
    if request.HasField("until") and state == pb.TRADING_STATE_ACTIVE:
        found.append(Violation("until", "is not for TRADING_STATE_ACTIVE"))
    _raise(found)
    return order, scope, until_ns


def trip_order(request: pb.TripBreakerRequest) -> tuple[Order, BreakerKey, int | None]:
    """The order, which breaker, and for how long (nanoseconds). Raises InvalidRequest."""
    found: list[Violation] = []
    order, scope = order_of(request, "TripBreaker", found)
    kind = _kind(request.kind, found)
    if kind is None and not found:
        found.append(Violation("kind", "is required"))
    cool_down_ns = None
    if request.HasField("cool_down"):
        words = wrong_time(request.cool_down, Shape.POSITIVE_DURATION)
        if request.kind == pb.BREAKER_KIND_STALE_DATA:
            words = "must not be told for STALE_DATA: nothing probes it, a reset ends it"
        elif words is None and request.cool_down.seconds >= _COOL_DOWN_S_MAX:
            words = None if _is_longest(request.cool_down) else "must be at most 366 days"
        if words is not None:
            found.append(Violation("cool_down", words))
        cool_down_ns = request.cool_down.seconds * 10**9 + request.cool_down.nanos
    _raise(found)
    assert kind is not None
    return order, BreakerKey(scope, kind, ""), cool_down_ns


def reset_order(request: pb.ResetBreakerRequest) -> tuple[Order, Scope, BreakerKind | None]:
    """The order, its scope, and which kind (None = all). Raises InvalidRequest."""
    found: list[Violation] = []
    order, scope = order_of(request, "ResetBreaker", found)
    kind = _kind(request.kind, found)
    _raise(found)
    return order, scope, kind


def _kind(number: int, found: list[Violation]) -> BreakerKind | None:
    if number and number not in pb.BreakerKind.values():
        found.append(Violation("kind", f"{number} is no value of BreakerKind"))
        return None
    return BreakerKind(number) if number else None


def _is_longest(duration: Any) -> bool:
    return bool(duration.seconds == _COOL_DOWN_S_MAX and not duration.nanos)


# -- page tokens --------------------------------------------------------------------------------


def breaker_token(request: pb.ListBreakersRequest, log_id: str, last: BreakerKey) -> str:
    """An opaque token of the place behind `last`, good for the same question on the same log."""
    place = [_question(request, log_id), *last.scope, int(last.kind), last.rule]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def breaker_position(request: pb.ListBreakersRequest, log_id: str) -> BreakerKey | None:
    """The place in the request's token, None for an empty one. Raises InvalidRequest when it is
    damaged or belongs to another question or log."""
    token = request.page_token
    if not token:
        return None
    wrong = InvalidRequest(
        Violation("page_token", "is damaged, or belongs to another question or log")
    )
    if len(token) > _TOKEN_LENGTH_MAX:
        raise wrong
    try:
        words = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        question, *names, kind, rule = json.loads(words)
        scope = Scope(*names)
        key = BreakerKey(scope, BreakerKind(kind), rule)
    except (ValueError, TypeError, RecursionError) as error:
        raise wrong from error
    texts = (*scope, rule)
    if question != _question(request, log_id) or not all(
        isinstance(each, str) and not _CONTROL.search(each) for each in texts
    ):
        raise wrong
    return key


def _question(request: pb.ListBreakersRequest, log_id: str) -> str:
    place = f"{request.environment}\0{request.run_id}\0{request.include_closed}\0{log_id}"
    return hashlib.blake2b(place.encode(), digest_size=9).hexdigest()


# -- single fields ------------------------------------------------------------------------------


def _check_world(
    environment: int, run_id: str, path: str, found: list[Violation], *, strict: bool = False
) -> None:
    if environment not in _ENVIRONMENTS:
        words = f"{environment} is no value of Environment" if environment else "is required"
        found.append(Violation(path + "environment", words))
    is_backtest = environment == _BACKTEST
    _check_name(run_id, path + "run_id", found, ID_LENGTH_MAX)
    if is_backtest and not run_id:
        found.append(Violation(path + "run_id", "is required for ENVIRONMENT_BACKTEST"))
    elif strict and run_id and not is_backtest:
        found.append(Violation(path + "run_id", "is for ENVIRONMENT_BACKTEST only"))


def _check_name(
    words: str,
    path: str,
    found: list[Violation],
    length_max: int = NAME_LENGTH_MAX,
    *,
    required: bool = False,
) -> None:
    if not words:
        if required:
            found.append(Violation(path, "is required"))
    elif len(words) > length_max:
        found.append(Violation(path, f"has {len(words)} characters; {length_max} are allowed"))
    elif not words.isprintable() and _CONTROL.search(words):
        found.append(Violation(path, "holds a control character"))


def _time(message: Any, name: str, found: list[Violation]) -> int | None:
    if not message.HasField(name):
        return None
    when = getattr(message, name)
    words = wrong_time(when, Shape.TIME)
    if words is not None:
        found.append(Violation(name, words))
    return to_ns(when)


def _raise(found: list[Violation]) -> None:
    if found:
        raise InvalidRequest(*found[:_VIOLATIONS_MAX])
