"""The signal gate in lines of text: states, breakers, scopes, orders and what they came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab_server.cli.event_lines import time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from trimtab_client import ListBreakersResponse

SCOPE_NAMES = ("source", "strategy", "symbol", "model_name")


def word(message: Any, field: str, prefix: str) -> str:
    """The word of an enum's value, without its prefix."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    value = kind.values_by_number.get(getattr(message, field))
    return value.name.removeprefix(prefix) if value is not None else str(getattr(message, field))


def scope_text(scope: Any) -> str:
    """The names that a scope tells; "everything" when it tells none."""
    told = [f"{name}={getattr(scope, name)}" for name in SCOPE_NAMES if getattr(scope, name)]
    return " ".join(told) or "everything"


def world_text(scope: Any) -> str:
    """The environment, and the run of a backtest."""
    environment = word(scope, "environment", "ENVIRONMENT_")
    return f"{environment} run {scope.run_id}" if scope.run_id else environment


def moment_text(moment: Timestamp) -> str:
    """A time to the second."""
    return time_text(moment.seconds, 0)


def state_text(entry: Any) -> str:
    """A trading state: what, where, by whom, why, until when."""
    state = word(entry, "state", "TRADING_STATE_")
    exits = ", exits too" if entry.block_exits else ""
    end = f"until {moment_text(entry.until)}" if entry.HasField("until") else "until resumed"
    return f"{state}{exits}  {scope_text(entry.scope)}  by {entry.actor}: {entry.reason} ({end})"


def breaker_text(breaker: Any) -> str:
    """A breaker: where it is, what it watches, what tripped it, what it measures."""
    state = word(breaker, "state", "BREAKER_STATE_")
    kind = word(breaker, "kind", "BREAKER_KIND_").lower()
    parts = [f"{state}  {kind}  {scope_text(breaker.scope)}"]
    if state != "CLOSED":
        who = f"by {breaker.actor}: " if breaker.actor else ""
        parts.append(f"{who}{breaker.reason} ({_ending(breaker, state)})")
    if breaker.HasField("observed_value"):
        limit = f" of {breaker.limit:g}" if breaker.HasField("limit") else ""
        parts.append(f"measures {breaker.observed_value:.4g}{limit}")
    return "  ".join(parts)


def _ending(breaker: Any, state: str) -> str:
    since = f"since {moment_text(breaker.open_time)}"
    if state == "HALF_OPEN":
        probes = f"{breaker.probe_count} of {breaker.probe_count_max} probes under way"
        return f"{since}, {probes}, {breaker.success_count} ended well"
    if breaker.HasField("open_until"):
        return f"{since}, probes from {moment_text(breaker.open_until)}"
    # Data close a rule's breaker by themselves; one that was tripped by hand needs a hand.
    by_data = breaker.rule and word(breaker, "kind", "BREAKER_KIND_") == "STALE_DATA"
    return f"{since}, until {'data come' if by_data else 'reset'}"


def parameters_text(told: Any) -> str:
    """Parameters of the policy and what they apply to."""
    parts = []
    if told.HasField("threshold"):
        scale = word(told, "threshold_scale", "THRESHOLD_SCALE_").lower()
        parts.append(f"{scale} >= {told.threshold:g}")
    if told.HasField("size_multiplier"):
        parts.append(f"size x {told.size_multiplier:g}")
    if told.HasField("max_position_fraction"):
        parts.append(f"at most {told.max_position_fraction:g} of equity")
    return f"{', '.join(parts) or 'nothing'}  {scope_text(told.scope)}"


def world_lines(title: str, listed: ListBreakersResponse) -> Iterator[str]:
    """Everything about a world: whether entries pass, states, breakers, parameters."""
    restricted: list[Any] = [*listed.trading_states]
    restricted += [breaker for breaker in listed.breakers if not _is_closed(breaker)]
    everywhere = any(
        scope_text(each.scope) == "everything" and not _is_half_open(each) for each in restricted
    )
    said = "no entries" if everywhere else "entries restricted" if restricted else "entries pass"
    yield f"{title}  {said}  (revision {listed.revision})"
    yield from (f"  {state_text(entry)}" for entry in listed.trading_states)
    yield from (f"  {breaker_text(breaker)}" for breaker in listed.breakers)
    yield from (f"  parameters  {parameters_text(told)}" for told in listed.parameters)


def is_restricted(listed: ListBreakersResponse) -> bool:
    """Whether any state is in force or any breaker not closed."""
    return bool(listed.trading_states) or not all(_is_closed(b) for b in listed.breakers)


def _is_half_open(each: Any) -> bool:
    """Whether it is a breaker that lets probes pass."""
    return word(each, "state", "BREAKER_STATE_") == "HALF_OPEN"


def _is_closed(breaker: Any) -> bool:
    return word(breaker, "state", "BREAKER_STATE_") == "CLOSED"


def leftover_lines(states: Iterable[Any], breakers: Iterable[Any]) -> Iterator[str]:
    """What still denies after an order: nobody shall take a resume for more than it is."""
    yield from (f"  still in force: {state_text(entry)}" for entry in states)
    yield from (f"  still not closed: {breaker_text(breaker)}" for breaker in breakers)
