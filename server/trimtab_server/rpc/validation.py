"""Holds a message against the rules, twice: `is_plainly_valid` says quickly that nothing is wrong
(it may be wrong about bad luck, never about good), `violations` says slowly what is.
"""

import math
import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from trimtab.v1 import event_pb2
from trimtab_server.domain.events import Violation
from trimtab_server.rpc import rules
from trimtab_server.rpc.rules import PAYLOADS, Rule, Shape

VIOLATIONS_MAX = 16
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
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


def is_traceparent(words: str) -> bool:
    """Whether `words` is a W3C trace context of version 00."""
    return _TRACEPARENT.fullmatch(words) is not None


# -- slowly: what is wrong ----------------------------------------------------------------------


def violations(message: Message, table: dict[str, Rule], path: str) -> Iterator[Violation]:
    """What is wrong with `message`, field by field; `path` is empty or ends with a dot."""
    descriptor: Descriptor = message.DESCRIPTOR
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
    if (check := _BINDINGS.get(message.DESCRIPTOR.name)) is not None:
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


def _wrong(value: Any, rule: Rule, field: FieldDescriptor) -> str | None:
    shape = rule.shape
    if shape in _NUMERIC:
        return _wrong_number(value, shape)
    if shape is Shape.ENUM:
        if value not in field.enum_type.values_by_number:
            return f"{value} is no value of {field.enum_type.name}"
        return None
    if shape in (Shape.TIME, Shape.DURATION, Shape.POSITIVE_DURATION):
        return _wrong_time(value, shape)
    if shape is Shape.UUID:
        return None if is_uuid(value) else f"{_shown(value)} is no lower-case UUID"
    if shape is Shape.TRACEPARENT:
        return None if is_traceparent(value) else f"{_shown(value)} is no W3C traceparent"
    if shape in (Shape.FLAG, Shape.SERVER):
        return None
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


def _wrong_time(value: Any, shape: Shape) -> str | None:
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
    return repr(words if len(words) <= 80 else words[:77] + "...")


# -- what binds fields of one payload -----------------------------------------------------------


def _bind_outcome(outcome: Any, path: str) -> Iterator[Violation]:
    if outcome.status != event_pb2.OUTCOME_STATUS_CENSORED and not outcome.HasField(
        "return_fraction"
    ):
        yield Violation(path + "return_fraction", "is required unless the status is CENSORED")


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


def _bind_tick(tick: Any, path: str) -> Iterator[Violation]:
    if not any(tick.HasField(name) for name in ("bid", "ask", "last_price")):
        yield Violation(path + "last_price", "is required, or bid or ask is")


_BINDINGS: dict[str, Callable[[Any, str], Iterator[Violation]]] = {
    "Outcome": _bind_outcome,
    "Decision": _bind_decision,
    "Horizon": _bind_horizon,
    "MarketTick": _bind_tick,
}


# -- quickly: nothing is wrong ------------------------------------------------------------------


class _Plan:
    """The rules of one message, grouped so that each group is one read and one comparison."""

    def __init__(self, descriptor: Descriptor, table: dict[str, Rule]) -> None:
        def names(*shapes: Shape) -> list[str]:
            return [
                name
                for name, rule in table.items()
                if rule.shape in shapes and not descriptor.fields_by_name[name].is_repeated
            ]

        fields = descriptor.fields_by_name
        self.numbers = _reader(names(*_NUMERIC))
        self.not_negative = _reader(names(*(set(_NUMERIC) - {Shape.NUMBER})))
        self.at_most_one = _reader(names(Shape.FRACTION, Shape.PROPENSITY))
        above = names(*_ABOVE_LOW)
        self.above_zero = [(name, fields[name].has_presence) for name in above]
        self.read_above_zero = _reader(above)
        self.required_above_zero = _reader([n for n in above if table[n].required])
        self.strings = _reader(names(Shape.NAME, Shape.ID, Shape.TEXT, Shape.UUID))
        self.required = _reader(
            [n for n in names(Shape.NAME, Shape.ID, Shape.TEXT, Shape.ENUM) if table[n].required]
        )
        self.enums = [(n, fields[n].enum_type.values_by_number) for n in names(Shape.ENUM)]
        self.spans = [
            (name, table[name].required, table[name].shape is Shape.POSITIVE_DURATION)
            for name in names(Shape.DURATION, Shape.POSITIVE_DURATION)
        ]
        self.times = names(Shape.TIME)
        self.parts = [(n, table[n].required) for n in names(Shape.MESSAGE)]
        self.repeated = [
            (name, rule.entries_max)
            for name, rule in table.items()
            if rule.shape is Shape.MESSAGE and fields[name].is_repeated
        ]
        self.number_maps = [n for n, rule in table.items() if rule.shape is Shape.NUMBERS]
        self.binding = _BINDINGS.get(descriptor.name)


def _reader(names: list[str]) -> Callable[[Message], tuple[Any, ...]] | None:
    """Reads several fields as one tuple; None for none."""
    if not names:
        return None
    # attrgetter gives a bare value for a single name.
    return attrgetter(*names, names[0])


_PLANS = {
    name: _Plan(event_pb2.DESCRIPTOR.message_types_by_name[name], table)
    for name, table in PAYLOADS.items()
}


def is_plainly_valid(message: Any) -> bool:
    """True when `violations_of_payload` would find nothing; False when it has to look."""
    plan = _PLANS[message.DESCRIPTOR.name]
    return (
        _numbers_fit(message, plan)
        and _words_fit(message, plan)
        and _parts_fit(message, plan)
        and (plan.binding is None or next(plan.binding(message, ""), None) is None)
    )


def _numbers_fit(message: Any, plan: _Plan) -> bool:
    if plan.numbers is None:
        return True
    if not math.isfinite(sum(plan.numbers(message))):
        return False
    if plan.not_negative is not None and min(plan.not_negative(message)) < 0:
        return False
    if plan.at_most_one is not None and max(plan.at_most_one(message)) > 1:
        return False
    if plan.read_above_zero is not None and 0 in plan.read_above_zero(message):
        if plan.required_above_zero is not None and 0 in plan.required_above_zero(message):
            return False
        for name, has_presence in plan.above_zero:
            if has_presence and getattr(message, name) == 0 and message.HasField(name):
                return False
    return True


def _words_fit(message: Any, plan: _Plan) -> bool:
    if plan.strings is not None:
        words = plan.strings(message)
        # A longer text is rare and goes the slow way.
        if max(map(len, words)) > 16 and not _lengths_fit(words):
            return False
        if not "".join(words).isprintable():
            return False
    if plan.required is not None and not all(plan.required(message)):
        return False
    for name, numbers in plan.enums:
        if getattr(message, name) not in numbers:
            return False
    return True


def _lengths_fit(words: tuple[str, ...]) -> bool:
    return max(map(len, words)) <= rules.NAME_LENGTH_MAX


def _parts_fit(message: Any, plan: _Plan) -> bool:
    for name, required, positive in plan.spans:
        span = getattr(message, name)
        seconds, nanos = span.seconds, span.nanos
        if not 0 <= seconds <= rules.DURATION_SECONDS_MAX or not 0 <= nanos < 10**9:
            return False
        if not seconds and not nanos and (required or (positive and message.HasField(name))):
            return False
    for name in plan.times:
        if message.HasField(name) and _wrong_time(getattr(message, name), Shape.TIME):
            return False
    for name, required in plan.parts:
        if message.HasField(name):
            if not is_plainly_valid(getattr(message, name)):
                return False
        elif required:
            return False
    for name, entries_max in plan.repeated:
        several = getattr(message, name)
        if len(several) > entries_max or not all(map(is_plainly_valid, several)):
            return False
    return all(_map_fits(getattr(message, name)) for name in plan.number_maps)


def _map_fits(numbers: Any) -> bool:
    if not numbers:
        return True
    return (
        len(numbers) <= rules.MAP_ENTRIES_MAX
        and math.isfinite(sum(numbers.values()))
        and max(map(len, numbers)) <= rules.NAME_LENGTH_MAX
        and min(map(len, numbers)) > 0
        and "".join(numbers).isprintable()
    )
