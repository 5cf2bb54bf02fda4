"""Says quickly that nothing is wrong with a payload: the usual case, for every event.

The table of rules is written out once as one Python function per message (as `dataclasses` does
with its methods), because the loop over the table cost three times as much as the checks. True is
a promise; False only means that `validation` has to look.
"""

import math
from collections.abc import Callable, Collection
from typing import Any

from trimtab.v1 import event_pb2
from trimtab_server.rpc import rules
from trimtab_server.rpc.rules import PAYLOADS, Rule, Shape
from trimtab_server.rpc.validation import BINDINGS, wrong_time

Check = Callable[[Any], bool]

# What holds for a value `v` of a field that is there; {absent} lets an unset zero pass.
_BOUNDS = {
    Shape.NON_NEGATIVE: "{v} >= 0",
    Shape.COUNT: "{v} >= 0",
    Shape.FRACTION: "0 <= {v} <= 1",
    Shape.POSITIVE: "({v} > 0{absent})",
    Shape.PROPENSITY: "(0 < {v} <= 1{absent})",
}
_FLOATS = {
    Shape.NUMBER,
    Shape.NON_NEGATIVE,
    Shape.FRACTION,
    Shape.POSITIVE,
    Shape.PROPENSITY,
}
_STRINGS = {Shape.NAME, Shape.ID, Shape.TEXT}


def words_fit(words: Collection[str], length_max: int) -> bool:
    """Whether each is printable, and short enough."""
    joined = "".join(words)
    return not joined or (
        (len(joined) <= length_max or max(map(len, words)) <= length_max) and joined.isprintable()
    )


def texts_fit(texts: Any) -> bool:
    """Whether a map of texts is plainly valid."""
    return _keys_fit(texts) and max(map(len, texts.values())) <= rules.TEXT_VALUE_LENGTH_MAX


def _map_fits(numbers: Any) -> bool:
    """Whether a map of numbers is plainly valid."""
    return math.isfinite(sum(numbers.values())) and _keys_fit(numbers)


def _keys_fit(filled: Any) -> bool:
    keys = list(filled)
    return (
        len(keys) <= rules.MAP_ENTRIES_MAX
        and "" not in keys
        and words_fit(keys, rules.NAME_LENGTH_MAX)
    )


def _time_fits(when: Any) -> bool:
    return wrong_time(when, Shape.TIME) is None


class _Writer:
    """Writes the check of one message, and remembers what its lines refer to."""

    def __init__(self, descriptor: Any) -> None:
        self._fields = descriptor.fields_by_name
        self._table = PAYLOADS[descriptor.name]
        self._names: dict[str, Any] = {
            "isfinite": math.isfinite,
            "map_fits": _map_fits,
            "time_fits": _time_fits,
        }
        self._lines = ["def check(m):"]
        self._numbers()
        self._strings()
        for name, rule in self._table.items():
            self._other(name, rule, self._fields[name])
        for oneof in descriptor.oneofs:
            parts = [f for f in oneof.fields if f.message_type and f.message_type.name in PAYLOADS]
            self._choice(oneof.name, parts)
        if (binding := BINDINGS.get(descriptor.name)) is not None:
            self._names["binding"] = binding
            self._unless("next(binding(m, ''), None) is None")
        self._lines.append("    return True")

    def compiled(self) -> Check:
        """The check. Its source is made of the contract's own names only."""
        exec("\n".join(self._lines), self._names)  # noqa: S102 - see above
        check: Check = self._names["check"]
        return check

    def _unless(self, condition: str) -> None:
        self._lines.append(f"    if not ({condition}): return False")

    def _numbers(self) -> None:
        numbers = {
            name: rule
            for name, rule in self._table.items()
            if rule.shape in _FLOATS or rule.shape is Shape.COUNT
        }
        if not numbers:
            return
        self._lines += [f"    v_{name} = m.{name}" for name in numbers]
        floats = [f"v_{name}" for name, rule in numbers.items() if rule.shape in _FLOATS]
        # One infinite or missing number makes the sum so.
        conditions = [f"isfinite({' + '.join(floats)})"] if floats else []
        for name, rule in numbers.items():
            if rule.shape in _BOUNDS:
                optional = self._fields[name].has_presence and not rule.required
                absent = f" or v_{name} == 0 and not m.HasField('{name}')" if optional else ""
                conditions.append(_BOUNDS[rule.shape].format(v=f"v_{name}", absent=absent))
        conditions += [
            f"m.HasField('{name}')"
            for name, rule in numbers.items()
            if rule.required and self._fields[name].has_presence
        ]
        self._unless(" and ".join(conditions))

    def _strings(self) -> None:
        strings = [name for name, rule in self._table.items() if rule.shape in _STRINGS]
        if not strings:
            return
        limits = [self._table[name].length_max or rules.NAME_LENGTH_MAX for name in strings]
        limit = min(rules.NAME_LENGTH_MAX, *limits)
        required = [name for name in strings if self._table[name].required]
        for name in required:
            self._lines.append(f"    s_{name} = m.{name}")
            self._unless(f"s_{name}")
        # Short and printable together, they are so one by one.
        values = [f"s_{name}" if name in required else f"m.{name}" for name in strings]
        self._lines.append("    words = " + " + ".join(values))
        self._unless(f"not words or len(words) <= {limit} and words.isprintable()")

    def _other(self, name: str, rule: Rule, field: Any) -> None:
        shape = rule.shape
        if shape is Shape.ENUM:
            numbers = set(field.enum_type.values_by_number)
            self._names[f"known_{name}"] = frozenset(numbers - {0} if rule.required else numbers)
            self._unless(f"m.{name} in known_{name}")
        elif shape is Shape.TIME:
            self._unless(f"not m.HasField('{name}') or time_fits(m.{name})")
        elif shape in (Shape.DURATION, Shape.POSITIVE_DURATION):
            self._span(name, rule)
        elif shape is Shape.NUMBERS:
            self._lines.append(f"    numbers = m.{name}")
            self._unless("not numbers or map_fits(numbers)")
        elif shape is Shape.MESSAGE and field.containing_oneof is None:
            self._part(name, rule, field)

    def _span(self, name: str, rule: Rule) -> None:
        fits = f"0 <= seconds <= {rules.DURATION_SECONDS_MAX} and 0 <= nanos < 1_000_000_000"
        if rule.shape is Shape.POSITIVE_DURATION:
            fits += " and (seconds or nanos)"
        self._lines += [
            f"    if m.HasField('{name}'):",
            f"        span = m.{name}; seconds = span.seconds; nanos = span.nanos",
            f"        if not ({fits}): return False",
        ]
        if rule.required:
            self._lines.append("    else: return False")

    def _part(self, name: str, rule: Rule, field: Any) -> None:
        self._names[f"check_{name}"] = _Writer(field.message_type).compiled()
        if field.is_repeated:
            self._lines.append(f"    several = m.{name}")
            self._unless(f"len(several) <= {rule.entries_max} and all(map(check_{name}, several))")
        elif rule.required:
            self._unless(f"m.HasField('{name}') and check_{name}(m.{name})")
        else:
            self._unless(f"not m.HasField('{name}') or check_{name}(m.{name})")

    def _choice(self, oneof: str, fields: list[Any]) -> None:
        """Messages of a oneof: at most one is there."""
        if not fields:
            return
        # A message of nothing but flags cannot be wrong.
        checks = {
            field.name: _Writer(field.message_type).compiled()
            for field in fields
            if {rule.shape for rule in PAYLOADS[field.message_type.name].values()} != {Shape.FLAG}
        }
        self._names[f"checks_{oneof}"] = checks
        self._lines.append(f"    chosen = m.WhichOneof('{oneof}')")
        self._unless(f"chosen not in checks_{oneof} or checks_{oneof}[chosen](getattr(m, chosen))")


_PAYLOAD: Any = event_pb2.Event.DESCRIPTOR.oneofs_by_name["payload"]
PLAINLY_VALID: dict[str, Check] = {
    field.name: _Writer(field.message_type).compiled()
    for field in _PAYLOAD.fields
    if field.message_type.name in PAYLOADS
}
"""The quick check of each payload by its name in the event."""
