"""Hypothesis strategies for events over every field of the contract, read from its descriptors and
the table of rules: valid ones, and ones where any field may hold anything."""

import math
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from tests.rpc.samples import RECENT_S
from trimtab.v1 import event_pb2 as ev
from trimtab_server.rpc.rules import DURATION_SECONDS_MAX, ENVELOPE, PAYLOADS, Rule, Shape

_INT_MAX = {FieldDescriptor.CPPTYPE_INT32: 2**31 - 1, FieldDescriptor.CPPTYPE_INT64: 2**63 - 1}
_END_S = 7_258_118_400
_PLAIN_WORDS = st.sampled_from(("a", "BTC", "é", "日本", "😀", "a b", "ﷺ", "x" * 17))
_RARE_WORDS = st.just("\u202eright to left") | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12
)
# Most events are plain: one rare word among a dozen fields sends an event the slow way.
_SOME_WORDS = st.integers(0, 24).flatmap(lambda n: _PLAIN_WORDS if n else _RARE_WORDS)
_ANY_WORDS = (
    st.sampled_from(("", "\x00", "a\x00", "\x7f", "\x9f", "\n", "\u2028", " "))
    | st.sampled_from([letter * n for letter in ("x", "😀") for n in (64, 65, 128, 129, 1_025)])
    | st.text(max_size=20)
)
_SECONDS = st.sampled_from((-(2**63), -1, 0, 1, RECENT_S, _END_S - 1, _END_S, 2**62, 2**63 - 1))
_NANOS = st.sampled_from((-(2**31), -1, 0, 1, 999_999_999, 10**9, 2**31 - 1))
_ANY_NUMBER = st.floats() | st.sampled_from(
    (0.0, -0.0, 1.0, math.nextafter(1, 2), -5e-324, 5e-324, 1.7e308, math.inf, math.nan)
)
_FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)
_NUMBERS = {
    Shape.NUMBER: _FINITE,
    Shape.POSITIVE: st.floats(5e-324, 1e12),
    Shape.NON_NEGATIVE: st.floats(0, 1e12),
    Shape.FRACTION: st.floats(0, 1),
    Shape.PROPENSITY: st.floats(5e-324, 1),
}
_UUIDS = st.uuids().map(str)
_TRACEPARENT = st.sampled_from((f"00-{'4' * 32}-{'b' * 16}-01", f"00-{'1' * 32}-{'f' * 16}-00"))


def _any_value(field: Any) -> st.SearchStrategy[Any]:
    """Whatever the wire can carry in this field."""
    if field.cpp_type in _INT_MAX:
        limit = _INT_MAX[field.cpp_type]
        return st.sampled_from((-limit - 1, -1, 0, 1, limit)) | st.integers(-limit - 1, limit)
    return {
        FieldDescriptor.CPPTYPE_DOUBLE: _ANY_NUMBER,
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_ENUM: st.integers(-1, 30) | st.just(2**31 - 1),
        FieldDescriptor.CPPTYPE_STRING: _ANY_WORDS | _UUIDS | _TRACEPARENT,
    }[field.cpp_type]


def _valid_value(field: Any, rule: Rule) -> st.SearchStrategy[Any]:
    """What the rule allows."""
    shape = rule.shape
    if shape in _NUMBERS:
        return _NUMBERS[shape]
    if shape in (Shape.COUNT, Shape.SERVER):
        return st.integers(0, _INT_MAX[field.cpp_type])
    if shape is Shape.ENUM:
        numbers = field.enum_type.values_by_number
        return st.sampled_from([n for n in numbers if n or not rule.required])
    limit = {Shape.NAME: 64, Shape.ID: 128}.get(shape, rule.length_max)
    words = _SOME_WORDS.map(lambda value: value[:limit])
    to_limit = st.integers(0, 24).flatmap(lambda n: words if n else st.just("x" * limit))
    return {Shape.UUID: _UUIDS, Shape.TRACEPARENT: _TRACEPARENT, Shape.FLAG: st.booleans()}.get(
        shape, to_limit
    )


@st.composite
def _messages(draw: st.DrawFn, message: Message, table: dict[str, Rule], oddness: int) -> Message:
    """The message with its fields drawn: each, with `oddness` in sixteen, anything at all."""
    for name, rule in table.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        is_odd = draw(st.integers(1, 16)) > 16 - oddness
        if not is_odd and not rule.required and draw(st.booleans()):
            continue
        if is_odd and draw(st.booleans()):
            message.ClearField(name)
        elif field.is_repeated:
            _draw_repeated(draw, getattr(message, name), rule, oddness if is_odd else 0)
        elif rule.shape is Shape.MESSAGE:
            part = getattr(message, name)
            part.SetInParent()
            draw(_messages(part, PAYLOADS[part.DESCRIPTOR.name], oddness))
        elif field.message_type is not None:
            getattr(message, name).CopyFrom(draw(_a_time(rule.shape, is_odd)))
        else:
            value = _any_value(field) if is_odd else _valid_value(field, rule)
            setattr(message, name, draw(value))
    return message


def _draw_repeated(draw: st.DrawFn, several: Any, rule: Rule, oddness: int) -> None:
    if rule.shape is Shape.MESSAGE:
        for _ in range(draw(st.integers(0, 2))):
            part = several.add()
            draw(_messages(part, PAYLOADS[part.DESCRIPTOR.name], oddness))
    else:
        words, numbers = (_ANY_WORDS, _ANY_NUMBER) if oddness else (_SOME_WORDS, _FINITE)
        values = words if rule.shape is Shape.TEXTS else numbers
        several.update(draw(st.dictionaries(words, values, max_size=3)))


@st.composite
def _a_time(draw: st.DrawFn, shape: Shape, is_odd: bool) -> Timestamp | Duration:
    make = Timestamp if shape in (Shape.TIME, Shape.SERVER) else Duration
    if is_odd:
        return make(seconds=draw(_SECONDS), nanos=draw(_NANOS))
    latest = RECENT_S if make is Timestamp else DURATION_SECONDS_MAX
    seconds = draw(st.integers(1, latest))
    return make(seconds=seconds, nanos=draw(st.integers(0, 999_999_999)))


_KINDS = [
    field.name
    for field in ev.Event.DESCRIPTOR.oneofs_by_name["payload"].fields
    if field.name != "recorder_loss"
]


@st.composite
def events(draw: st.DrawFn, oddness: int = 1) -> ev.Event:
    """Events of every kind, each field odd with `oddness` in sixteen."""
    event = ev.Event()
    if oddness == 0 or draw(st.integers(0, 30)):
        payload = getattr(event, draw(st.sampled_from(_KINDS)))
        draw(_messages(payload, PAYLOADS[payload.DESCRIPTOR.name], oddness))
        payload.SetInParent()
    draw(_messages(event, ENVELOPE, oddness))
    if draw(st.integers(0, 3)):
        # As most are: what only some engines send sends an event the slow way.
        for name in ("attributes", "available_time", "corrects_event_id"):
            event.ClearField(name)
    if draw(st.integers(1, 16)) > oddness:
        _bind(event, event.WhichOneof("payload") or "")
    return event


def _bind(event: ev.Event, kind: str) -> None:
    """Makes true what binds fields to each other."""
    event.signal_id = event.signal_id or "s"
    event.symbol = event.symbol or "S"
    event.run_id = event.run_id or "r"
    known, happened = event.available_time, event.event_time
    if (known.seconds, known.nanos) < (happened.seconds, happened.nanos):
        event.ClearField("available_time")
    if kind == "decision":
        for number, verdict in enumerate(event.decision.guard_verdicts):
            verdict.guard = f"g{number}"
    if kind == "corporate_action":
        action = event.corporate_action
        action.ratio, action.cash_amount, action.new_symbol = 2.0, 0.5, "NEW"
    if kind == "market_tick":
        event.market_tick.last_price = 1.0
    for name in ("outcome", "shadow_outcome", "prediction"):
        if kind == name:
            _bind_outcome(event, getattr(event, name))


def _bind_outcome(event: ev.Event, payload: Any) -> None:
    outcome = payload.outcome if isinstance(payload, ev.ShadowOutcome) else payload
    if isinstance(outcome, ev.Outcome):
        if not outcome.HasField("return_fraction"):
            outcome.return_fraction = 0.5
        if outcome.status == ev.OUTCOME_STATUS_CORRECTED:
            event.corrects_event_id = event.corrects_event_id or str(UUID(int=7))
    horizons = [outcome.horizon] if outcome.HasField("horizon") else []
    if isinstance(payload, ev.ShadowOutcome):
        horizons += [markout.age for markout in payload.markouts]
    for horizon in horizons:
        horizon.trading_days = 5
        horizon.calendar = "XNYS"
