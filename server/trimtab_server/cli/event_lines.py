"""Events as lines of a table: as many columns as the terminal has room for."""

from __future__ import annotations

import os
import re
import shutil
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab_client import Event

# From this width on: the columns as (name, width); what an event says follows.
_LAYOUTS = (
    (
        150,
        (
            ("sequence", 9),
            ("event time", 24),
            ("kind", 17),
            ("source", 14),
            ("environment", 11),
            ("symbol", 10),
            ("strategy", 16),
            ("event id", 36),
        ),
    ),
    (
        110,
        (("sequence", 9), ("event time", 24), ("kind", 17), ("symbol", 10), ("strategy", 16)),
    ),
    (0, (("sequence", 8), ("event time", 20), ("kind", 9), ("symbol", 9))),
)


def line_width() -> int | None:
    """Columns of the terminal, or as $COLUMNS says; None = no terminal, no limit."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size((80, 24)).columns


def fitted(line: str, width: int | None) -> str:
    """The line cut to the width, without anything that would steer the terminal."""
    clean = re.sub(r"[^\x20-\x7e\u00a0-\uffff]", "?", line)
    return clean if width is None or len(clean) <= width else clean[: width - 1] + "~"


def _columns(width: int | None) -> tuple[tuple[str, int], ...]:
    return next(columns for least, columns in _LAYOUTS if (width or 150) >= least)


def _joined(cells: dict[str, str], what: str, width: int | None) -> str:
    parts = []
    for name, size in _columns(width):
        cell = cells[name] if width is None else fitted(cells[name], size)
        parts.append(cell.rjust(size) if name == "sequence" else cell.ljust(size))
    return fitted("  ".join([*parts, what]).rstrip(), width)


def header_line(width: int | None) -> str:
    """Names of the columns of `event_line`."""
    return _joined({name: name for name, _ in _columns(width)}, "what", width)


def event_line(event: Event, width: int | None) -> str:
    """An event as one line of the table, as wide as told; None = no limit."""
    from trimtab_client import Environment, kind_word

    known = event.environment in Environment.values()
    time = time_text(event.event_time.seconds, event.event_time.nanos)
    cells = {
        "sequence": str(event.sequence),
        "event time": time if (width or 150) >= 110 else time[:19] + "Z",
        "kind": kind_word(event),
        "source": event.source,
        "environment": Environment.Name(event.environment).removeprefix("ENVIRONMENT_")
        if known
        else str(event.environment),
        "symbol": event.symbol or "-",
        "strategy": event.strategy or "-",
        "event id": event.event_id,
    }
    return _joined(cells, what_text(event), width)


def plain_event(event: Event) -> dict[str, Any]:
    """The event as JSON values, with the contract's field names."""
    from google.protobuf.json_format import MessageToDict

    plain: dict[str, Any] = MessageToDict(event, preserving_proto_field_name=True)
    return plain


def time_text(seconds: int, nanos: int) -> str:
    """ISO 8601 to the millisecond, or to the second where that is all there is."""
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{nanos // 1_000_000:03d}Z" if nanos else f"{stamp}Z"


def what_text(event: Event) -> str:
    """What an event says, in a few words."""
    kind = event.WhichOneof("payload") or ""
    payload = getattr(event, kind, None)
    if payload is None:
        return ""
    plain = plain_event(event).get(kind, {})
    if kind == "decision":
        blockers = [v.guard for v in payload.guard_verdicts if v.result == 2]
        action = str(plain.get("action", "")).removeprefix("DECISION_ACTION_")
        return f"{action} by {', '.join(blockers)}" if blockers else action
    if kind == "shadow_outcome":
        plain = plain.get("outcome", {})
    shown = []
    for name, value in plain.items():
        if isinstance(value, bool | dict | list):
            continue
        if isinstance(value, float):
            shown.append(f"{name}={value:.6g}")
        else:
            shown.append(f"{name}={_word(str(value))}")
    return " ".join(shown[:6])


def _word(value: str) -> str:
    for prefix in ("SIDE_", "INTENT_", "OUTCOME_STATUS_", "EXIT_REASON_", "LIQUIDITY_"):
        if value.startswith(prefix):
            return value.removeprefix(prefix)
    return value


def rejection_text(rejection: Any) -> str:
    """Why an event was refused: the reason's word, then each field and what is wrong with it."""
    known = rejection.DESCRIPTOR.fields_by_name["reason"].enum_type.values_by_number
    name = known[rejection.reason].name if rejection.reason in known else str(rejection.reason)
    fields = "; ".join(f"{one.field}: {one.description}" for one in rejection.violations)
    reason = str(name).removeprefix("ERROR_REASON_")
    return f"{reason}: {fields}" if fields else reason
