"""Says what is wrong with a message, field by field, by the table of rules.

`quick_check` reads the same table for a quick answer; what it doubts comes here.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from trimtab.v1 import event_pb2
from trimtab_server.domain.events import Violation
from trimtab_server.rpc import rules
from trimtab_server.rpc.rules import PAYLOADS, Rule, Shape

VIOLATIONS_MAX = 16
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_ZERO_ID = re.compile(r"-0{32}-|-0{16}-")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NAMES = {Shape.NAME: rules.NAME_LENGTH_MAX, Shape.ID: rules.ID_LENGTH_MAX}
_NUMERIC = {
    Shape.NUMBER: (-math.inf, math.inf),
    Shape.POSITIVE: (0.0, math.inf),
    Shape.NON_NEGATIVE: (0.0, math.inf),
    Shape.FRACTION: (0.0, 1.0),
    Shape.PROPENSITY: (0.0, 1.0),
    Shape.COUNT: (0.0, math.inf),
}
_ABOVE_LOW = {Shape.POSITIVE, Shape.PROPENSITY}


def is_uuid(words: str) -> bool:
    """Whether `words` is a UUID in canonical lower-case form."""
    return _UUID.fullmatch(words) is not None


def uuids(words: Sequence[str]) -> list[bytes] | None:
    """The 16 bytes of each, or None when one is no UUID in canonical lower-case form.

    A pattern and `uuid.UUID` cost several times as much for each."""
    count, joined = len(words), "".join(words)
    if (
        set(map(len, words)) - {36}
        or any(joined[at::36] != "-" * count for at in (8, 13, 18, 23))
        or joined != joined.lower()
    ):
        return None
    try:
        # More dashes or spaces would leave fewer bytes.
        value = bytes.fromhex(joined.replace("-", ""))
    except ValueError:
        return None
    if len(value) != 16 * count:
        return None
    return [value[start : start + 16] for start in range(0, len(value), 16)]


def is_traceparent(words: str) -> bool:
    """Whether `words` is a W3C trace context of version 00."""
    return _TRACEPARENT.fullmatch(words) is not None and not _ZERO_ID.search(words)


def violations(message: Message, table: dict[str, Rule], path: str) -> Iterator[Violation]:
    """What is wrong with `message`, field by field; `path` is empty or ends with a dot."""
    descriptor: Any = message.DESCRIPTOR
    for name, rule in table.items():
        field = descriptor.fields_by_name[name]
        value = getattr(message, name)
        here = path + name
        if field.is_repeated:
            yield from _in_repeated(value, rule, here)
        elif _is_absent(message, field, value):
            if rule.required:
                yield Violation(here, "is required")
        elif rule.shape is Shape.MESSAGE:
            yield from violations_of_payload(value, here + ".")
        elif (words := _wrong(value, rule, field)) is not None:
            yield Violation(here, words)


def violations_of_payload(message: Message, path: str) -> Iterator[Violation]:
    """What is wrong with a payload or a part of one, fields first, then what binds them."""
    yield from violations(message, PAYLOADS[message.DESCRIPTOR.name], path)
    if (check := BINDINGS.get(message.DESCRIPTOR.name)) is not None:
        yield from check(message, path)


def _is_absent(message: Message, field: FieldDescriptor, value: Any) -> bool:
    if field.has_presence:
        return not message.HasField(field.name)
    # Without presence zero is absence, except that a -0.0 or NaN was sent.
    return value in (0, "", b"", False)


def _in_repeated(value: Any, rule: Rule, path: str) -> Iterator[Violation]:
    limit = rule.entries_max or rules.MAP_ENTRIES_MAX
    if len(value) > limit:
        yield Violation(path, f"has {len(value)} entries; {limit} are allowed")
        return
    if rule.shape is Shape.MESSAGE:
        for index, part in enumerate(value):
            yield from violations_of_payload(part, f"{path}[{index}].")
        return
    for key, entry in value.items():
        here = f"{path}[{_shown(key)}]"
        if not key or len(key) > rules.NAME_LENGTH_MAX or _CONTROL.search(key):
            yield Violation(here, "a key has 1 to 64 characters, none of them a control character")
        elif rule.shape is Shape.NUMBERS and not math.isfinite(entry):
            yield Violation(here, f"must be finite, is {entry}")
        elif rule.shape is Shape.TEXTS and len(entry) > rules.TEXT_VALUE_LENGTH_MAX:
            yield Violation(here, f"has {len(entry)} characters; 1,024 are allowed")


def _wrong(value: Any, rule: Rule, field: Any) -> str | None:
    shape = rule.shape
    if shape in _NUMERIC:
        return _wrong_number(value, shape)
    if shape in (Shape.TIME, Shape.DURATION, Shape.POSITIVE_DURATION):
        return wrong_time(value, shape)
    if shape in (Shape.FLAG, Shape.SERVER):
        return None
    if shape is Shape.ENUM:
        known = value in field.enum_type.values_by_number
        return None if known else f"{value} is no value of {field.enum_type.name}"
    return _wrong_words(value, rule)


def _wrong_words(value: str, rule: Rule) -> str | None:
    shape = rule.shape
    if shape is Shape.UUID:
        return None if is_uuid(value) else f"{_shown(value)} is no lower-case UUID"
    if shape is Shape.TRACEPARENT:
        return None if is_traceparent(value) else f"{_shown(value)} is no W3C traceparent"
    limit = _NAMES.get(shape) or rule.length_max
    if len(value) > limit:
        return f"has {len(value)} characters; {limit} are allowed"
    if shape is not Shape.TEXT and _CONTROL.search(value):
        return "holds a control character"
    return None


def _wrong_number(value: float, shape: Shape) -> str | None:
    low, high = _NUMERIC[shape]
    if not math.isfinite(value):
        return f"must be finite, is {value}"
    if shape in _ABOVE_LOW and value <= low:
        return f"must be above {low:g}, is {value:g}"
    if value < low or value > high:
        return f"must be from {low:g} to {high:g}, is {value:g}"
    return None


def wrong_time(value: Any, shape: Shape) -> str | None:
    """What is wrong with a Timestamp or Duration, None when it is fine."""
    if shape is Shape.TIME:
        if not 0 <= value.seconds < rules.TIME_SECONDS_MAX or not 0 <= value.nanos < 10**9:
            return "must lie from 1970-01-01 to 2200-01-01"
        return None
    if value.seconds < 0 or value.nanos < 0 or value.nanos >= 10**9:
        return "must not be negative, with nanos from 0 to 999,999,999"
    if value.seconds > rules.DURATION_SECONDS_MAX:
        return "must be at most 100 years"
    if shape is Shape.POSITIVE_DURATION and not value.seconds and not value.nanos:
        return "must be above zero"
    return None


def _shown(words: str) -> str:
    # Escapes lengthen words tenfold: what is cut is what is shown.
    shown = repr(words[:80])
    return shown if len(shown) <= 80 and len(words) <= 80 else shown[:77] + "..."


# -- what binds fields of one payload -----------------------------------------------------------


def _bind_outcome(outcome: Any, path: str) -> Iterator[Violation]:
    if (
        outcome.status != event_pb2.OUTCOME_STATUS_CENSORED
        and not outcome.HasField("return_fraction")
        and not outcome.HasField("won")
    ):
        yield Violation(
            path + "return_fraction", "is required unless the status is CENSORED or `won` is told"
        )


def _bind_decision(decision: Any, path: str) -> Iterator[Violation]:
    seen = set()
    for index, verdict in enumerate(decision.guard_verdicts):
        if verdict.guard in seen:
            yield Violation(
                f"{path}guard_verdicts[{index}].guard",
                f"{_shown(verdict.guard)} has a verdict already",
            )
        seen.add(verdict.guard)


def _bind_horizon(horizon: Any, path: str) -> Iterator[Violation]:
    if horizon.HasField("trading_days"):
        if horizon.trading_days == 0:
            yield Violation(path + "trading_days", "must be above 0, is 0")
        if not horizon.calendar:
            yield Violation(path + "calendar", "is required with trading_days")
    elif not horizon.HasField("duration"):
        yield Violation(path + "duration", "is required, or trading_days is")


def _bind_action(action: Any, path: str) -> Iterator[Violation]:
    needed = _NEEDED_BY_ACTION.get(action.action)
    # A ratio of zero is told by its own rule.
    is_told = needed == "ratio" and action.HasField("ratio")
    if needed is not None and not is_told and not getattr(action, needed):
        yield Violation(path + needed, "is required for this kind of action")


def _bind_tick(tick: Any, path: str) -> Iterator[Violation]:
    if not any(tick.HasField(name) for name in ("bid", "ask", "last_price")):
        yield Violation(path + "last_price", "is required, or bid or ask is")


_NEEDED_BY_ACTION = {
    event_pb2.CORPORATE_ACTION_KIND_SPLIT: "ratio",
    event_pb2.CORPORATE_ACTION_KIND_ROLL: "ratio",
    event_pb2.CORPORATE_ACTION_KIND_DIVIDEND: "cash_amount",
    event_pb2.CORPORATE_ACTION_KIND_RENAME: "new_symbol",
}
BINDINGS: dict[str, Callable[[Any, str], Iterator[Violation]]] = {
    "Outcome": _bind_outcome,
    "Decision": _bind_decision,
    "Horizon": _bind_horizon,
    "MarketTick": _bind_tick,
    "CorporateAction": _bind_action,
}
