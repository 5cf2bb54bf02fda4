"""Takes a record of another design to events of the contract and back, by field_map.toml alone.

A row's conversion is a pair of functions: `to` gives the contract's value (a tuple where the row
names several paths of different meaning), `back` gives the original's. Both see the other fields
of the record. A derived conversion has no `to`: the field repeats others, and `back` says how.
"""

import json
import tomllib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from tests.contract.paths import get_path, set_path
from trimtab.v1 import event_pb2

HERE = Path(__file__).parent
Record = dict[str, Any]
Events = dict[str, event_pb2.Event]
Lookup = Callable[[str], Any]
Row = dict[str, Any]
To = Callable[[Any, Lookup, Row], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Conversion:
    """How a field goes there and back. `to` None: derived; `several`: one value per path."""

    to: To | None
    back: To
    several: bool = False


def _scaled(value: float, factor: str) -> float:
    """Exact for the decimal digits that were written: 2.35 % is 0.0235 and again 2.35."""
    return float(Decimal(repr(value)) * Decimal(factor))


def _instant_ns(text: str) -> int:
    whole = datetime.fromisoformat(text) - _EPOCH
    return (whole // timedelta(microseconds=1)) * 1_000


def _iso(ns: int) -> str:
    when = _EPOCH + timedelta(microseconds=ns // 1_000)
    text = when.strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{when.microsecond:06d}".rstrip("0") if when.microsecond else "") + "Z"


def _enum_to(value: Any, get: Lookup, row: Row) -> Any:
    return row["values"][value if isinstance(value, str) else json.dumps(value)]


def _enum_back(value: Any, get: Lookup, row: Row) -> Any:
    wanted = list(value) if isinstance(value, tuple) else value
    for name, names in row["values"].items():
        if names == wanted:
            return json.loads(name) if name in {"true", "false"} else name
    return None


def _excursion_to(price: float, get: Lookup, row: Row, *, highest: bool) -> tuple[Any, Any]:
    entry, short = get(row["of"]), get(row["with"])
    size = abs(price - entry) / entry
    return (None, size) if short else (size, None)


def _excursion_back(value: Any, get: Lookup, row: Row, *, highest: bool) -> float:
    entry, short = get(row["of"]), get(row["with"])
    size = value[1] if short else value[0]
    return float(entry * (1 + size if highest else 1 - size))


def _total_fees(value: float, get: Lookup, row: Row) -> float | None:
    currencies = {get(name) for name in ("fee_open_currency", "fee_close_currency")}
    return value + get(row["of"]) if currencies == {get("quote_currency")} else None


def _utc_text(value: Any, get: Lookup, row: Row) -> str:
    when = _EPOCH + timedelta(milliseconds=get(row["of"]))
    return when.strftime("%Y-%m-%d %H:%M:%S")


def _return_of_money(value: str, get: Lookup, row: Row) -> float:
    entry_notional = float(get(row["of"])) * float(get(row["with"]))
    return float(value.split(maxsplit=1)[0]) / entry_notional


def _one_way(to: To) -> Conversion:
    return Conversion(to, lambda v, get, row: v)


def _simple(to: Callable[[Any], Any], back: Callable[[Any], Any]) -> Conversion:
    return Conversion(lambda v, get, row: to(v), lambda v, get, row: back(v))


def _derived(of: Callable[[Any], Any]) -> Conversion:
    return Conversion(None, lambda v, get, row: of(get(row["of"])))


CONVERSIONS: dict[str, Conversion] = {
    "same": _simple(lambda v: v, lambda v: v),
    "json": _simple(json.dumps, json.loads),
    "numbers": _simple(dict, dict),
    "integer_text": _simple(str, int),
    "percent": _simple(lambda v: _scaled(v, "0.01"), lambda v: _scaled(v, "100")),
    "negated": _simple(lambda v: 0.0 - v, lambda v: 0.0 - v),
    "decimal_text": _simple(float, lambda v: str(Decimal(repr(v)))),
    "money": Conversion(
        lambda v, get, row: (float(v.split()[0]), v.split()[1]),
        lambda v, get, row: f"{Decimal(repr(v[0]))} {v[1]}",
        several=True,
    ),
    "iso_time": _simple(_instant_ns, _iso),
    "unix_ms": _simple(lambda v: v * 1_000_000, lambda v: v // 1_000_000),
    "unix_ns": _simple(int, int),
    "days": _simple(lambda v: v * 86_400 * 10**9, lambda v: v // (86_400 * 10**9)),
    "seconds": _simple(lambda v: v * 10**9, lambda v: v // 10**9),
    "nanoseconds": _simple(int, int),
    "enum": Conversion(_enum_to, _enum_back),
    "blocker": Conversion(
        lambda v, get, row: (v, "GUARD_RESULT_BLOCK"), lambda v, get, row: v[0], several=True
    ),
    "price_to_bps": Conversion(
        lambda v, get, row: v / get(row["of"]) * 1e4, lambda v, get, row: v * get(row["of"]) / 1e4
    ),
    "per_leverage": Conversion(
        lambda v, get, row: v / get(row["of"]), lambda v, get, row: v * get(row["of"])
    ),
    "lowest_price": Conversion(
        lambda v, get, row: _excursion_to(v, get, row, highest=False),
        lambda v, get, row: _excursion_back(v, get, row, highest=False),
        several=True,
    ),
    "highest_price": Conversion(
        lambda v, get, row: _excursion_to(v, get, row, highest=True),
        lambda v, get, row: _excursion_back(v, get, row, highest=True),
        several=True,
    ),
    "total_fees": _one_way(_total_fees),
    "return_of_money": _one_way(_return_of_money),
    # Derived: these repeat other fields.
    "copy": _derived(lambda v: v),
    "rounded_percent": _derived(lambda v: round(v * 100, 2)),
    "whole_minutes": _derived(lambda v: v // 60),
    "absolute_text": _derived(lambda v: str(Decimal(repr(abs(v))))),
    "utc_text": Conversion(None, _utc_text),
    "difference": Conversion(None, lambda v, get, row: get(row["of"]) - get(row["with"])),
    "first_price": Conversion(None, lambda v, get, row: get(row["of"]) or get(row["with"])),
}


def field_map() -> dict[str, Any]:
    """The table."""
    return tomllib.loads((HERE / "field_map.toml").read_text("utf-8"))


DESIGNS: dict[str, dict[str, Any]] = {design["name"]: design for design in field_map()["design"]}


def samples(design: dict[str, Any]) -> list[Record]:
    """The sample records of a design."""
    file, _, nested = design["sample"].partition("#")
    content = json.loads((HERE / "samples" / file).read_text("utf-8"))["records"]
    records = content[design["name"]] if isinstance(content, dict) else content
    return [part for record in records for part in record[nested]] if nested else list(records)


def targets(row: Row, labels: list[str]) -> list[tuple[str, str]]:
    """(event, path in Event) of a row; `*` stands for every event."""
    paths = row["to"] if isinstance(row["to"], list) else [row["to"]]
    split = [path.split(".", 1) for path in paths]
    return [(one, path) for label, path in split for one in (labels if label == "*" else [label])]


def value_at(record: Record, name: str) -> Any:
    """A field's value; a dot enters a nested record."""
    value: Any = record
    for part in name.split("."):
        value = value[part]
    return value


def is_several(row: Row, value: Any) -> bool:
    """Whether a row's conversion gives one value per path, not one value for all."""
    how = row.get("how", "same")
    if how == "enum":
        return isinstance(value, list | tuple) or any(
            isinstance(names, list) for names in row["values"].values()
        )
    return CONVERSIONS[how].several


def to_events(design: dict[str, Any], record: Record) -> Events:
    """The events that a record becomes, by the labels of the design."""
    only_with = design.get("only_with", {})
    labels = [
        label
        for label in design["events"]
        if label not in only_with or value_at(record, only_with[label]) is not None
    ]
    events = {label: event_pb2.Event() for label in labels}
    for label, event in events.items():
        event.event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{design['name']}/{label}/{record}"))
    for to, value in design["given"].items():
        is_time = to.endswith("_time") and isinstance(value, str)
        for label, path in targets({"to": to}, labels):
            if label in events:
                set_path(events[label], path, _instant_ns(value) if is_time else value)

    def get(name: str) -> Any:
        return value_at(record, name)

    for row in design["fields"]:
        value = value_at(record, row["field"])
        conversion = CONVERSIONS.get(row.get("how", "same"))
        if conversion is None or conversion.to is None or value in (None, row.get("absent", None)):
            continue
        if "unless" in row and value_at(record, row["unless"]):
            continue
        made = conversion.to(value, get, row)
        wanted = targets(row, labels)
        parts = made if is_several(row, made) else [made] * len(wanted)
        for (label, path), part in zip(wanted, parts, strict=True):
            if label in events and part is not None:
                set_path(events[label], path, part)
    return events


def from_events(design: dict[str, Any], events: Events) -> Record:
    """The record again, from its events only."""
    rows = {row["field"]: row for row in design["fields"] if not row.get("one_way")}
    known: Record = {}

    def get(name: str) -> Any:
        if name not in known:
            known[name] = _restored(rows[name], get, events)
        return known[name]

    record: Record = {}
    for name, row in rows.items():
        if row.get("how") == "each":
            continue
        *outer, last = name.split(".")
        place = record
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = get(name)
    return record


def _restored(row: Row, get: Lookup, events: Events) -> Any:
    conversion = CONVERSIONS[row.get("how", "same")]
    absent = row.get("absent")
    if "unless" in row and get(row["unless"]):
        return absent
    if conversion.to is None:
        needed = [get(row[key]) for key in ("of", "with") if key in row]
        return conversion.back(None, get, row) if any(v is not None for v in needed) else absent
    found = [
        get_path(events[label], path) if label in events else None
        for label, path in targets(row, list(events))
    ]
    several = is_several(row, None)
    if all(value is None for value in (found if several else found[:1])):
        return {} if row.get("how") == "numbers" else absent
    return conversion.back(tuple(found) if several else found[0], get, row)


def all_events(design: dict[str, Any], record: Record) -> Iterator[Message]:
    """Every event that a record becomes, those of its parts too."""
    yield from to_events(design, record).values()
    for row in design["fields"]:
        if row.get("how") == "each":
            for part in record[row["field"]]:
                yield from to_events(DESIGNS[row["design"]], part).values()
