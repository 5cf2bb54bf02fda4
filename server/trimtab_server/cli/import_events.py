"""Rows of files as events with ids of their own, in the order of time, and their recording."""

# Imports stand inside the functions: the command line starts fast.

from __future__ import annotations

import heapq
import itertools
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from trimtab_client import Client, Event, EventBuilder
    from trimtab_server.cli.price_files import Prices
    from trimtab_server.domain.imports.trade_rows import TradeRow

NAMESPACE = uuid.UUID("b0f3c1de-6a51-5b7e-9d2c-7d0a4f9e1c35")
"""Of the event ids; never change it, or files that were imported would be stored again."""
BATCH_EVENTS = 500
REFUSALS_KEPT = 1_000
LOOKED_AT = 20
# A bar that closes at a time is known to the signal of that time.
_RANKS = {"market_bar": 0, "signal": 1, "decision": 2, "execution": 3, "outcome": 4}


class BarTime(StrEnum):
    """What the time of a bar in a file is. Its event is stamped at its close."""

    OPEN = "open"
    CLOSE = "close"


class Planned(NamedTuple):
    """An event to record, with its place in the file for what may be wrong with it."""

    time_ns: int
    rank: int
    where: str
    what: str
    event: Event


@dataclass(slots=True)
class Imported:
    """What the sidecar did with the events; refused: in words, at most a thousand of them."""

    stored_count: int = 0
    duplicate_count: int = 0
    refused_count: int = 0
    refused: list[str] = field(default_factory=list)


def _event_id(builder: EventBuilder, word: str, *told: object) -> str:
    name = json.dumps([builder.source, word, builder.run_id, *told])
    return str(uuid.uuid5(NAMESPACE, name))


def trade_events(row: TradeRow, builder: EventBuilder, word: str) -> list[Event]:
    """The events of a trade, with ids that depend on nothing but what it is. word: the
    environment's."""
    from trimtab_client import exit_plan
    from trimtab_server.domain.imports.trade_arguments import (
        execution_arguments,
        outcome_arguments,
        plan_arguments,
        signal_arguments,
    )

    def event_id(role: str) -> str:
        return _event_id(builder, word, row.key, role)

    make: Any = builder
    plan: Any = plan_arguments(row)
    events: list[Event] = [
        make.signal(
            event_id=event_id("signal"),
            exit_plan=None if plan is None else exit_plan(**plan),
            **signal_arguments(row),
        )
    ]
    if row.decision:
        events.append(_decision(row, make, event_id("decision")))
    for role, arguments in execution_arguments(row):
        events.append(make.execution(event_id=event_id(role), **arguments))
    if row.is_traded and not row.is_open:
        events.append(make.outcome(event_id=event_id("outcome"), **outcome_arguments(row)))
    return events


def _decision(row: TradeRow, make: Any, event_id: str) -> Event:
    from trimtab_client import guard_verdict, market_snapshot
    from trimtab_server.domain.imports.trade_arguments import (
        decision_arguments,
        snapshot_arguments,
        verdict_arguments,
    )

    told: list[Any] = verdict_arguments(row)
    verdicts = [guard_verdict(**one | {"rule": _rule(one["rule"])}) for one in told]
    snapshot: Any = snapshot_arguments(row)
    event: Event = make.decision(
        event_id=event_id,
        guard_verdicts=verdicts,
        market_snapshot=None if snapshot is None else market_snapshot(**snapshot),
        **decision_arguments(row),
    )
    return event


def _rule(told: tuple[str, dict[str, Any]] | None) -> Any:
    """The message of a guard's rule, from its field in the contract and its own fields."""
    import trimtab_client

    if told is None:
        return None
    kind, fields = told
    made = {
        "threshold": trimtab_client.ThresholdRule,
        "position_count": trimtab_client.PositionCountRule,
        "exposure": trimtab_client.ExposureRule,
        "cooldown": trimtab_client.CooldownRule,
        "loss_limit": trimtab_client.LossLimitRule,
    }[kind]()
    for name, value in fields.items():
        if name.endswith("_s"):
            getattr(made, name.removesuffix("_s")).CopyFrom(trimtab_client.to_duration(value))
        else:
            setattr(made, name, value)
    return made


def _planned_trades(
    rows: Sequence[TradeRow], builder: EventBuilder, word: str
) -> Iterator[Planned]:
    for row in rows:
        for event in trade_events(row, builder, word):
            kind = event.WhichOneof("payload") or ""
            yield Planned(
                event.event_time.ToNanoseconds(),
                _RANKS[kind],
                f"line {row.line}",
                f"trade {row.key} was imported before and its {kind}",
                event,
            )


def _planned_bars(
    prices: Prices, builder: EventBuilder, word: str, bar_time: BarTime
) -> Iterator[Planned]:
    """The bars by event time, made one by one: there may be millions."""

    def close_ns(symbol: str, time_ns: int) -> int:
        return time_ns + (prices.intervals[symbol] if bar_time is BarTime.OPEN else 0)

    bars = prices.bars
    if len(set(prices.intervals.values())) > 1:
        bars = sorted(bars, key=lambda bar: (close_ns(bar.symbol, bar.time_ns), bar.symbol))
    for bar in bars:
        step, time_ns = prices.intervals[bar.symbol], close_ns(bar.symbol, bar.time_ns)
        event = builder.bar(
            symbol=bar.symbol,
            interval_s=step / 1e9,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            spread_bps=bar.spread_bps,
            event_time_ns=time_ns,
            event_id=_event_id(builder, word, "bar", bar.symbol, step, time_ns),
        )
        what = f"the bar of {bar.symbol} was imported before and it"
        yield Planned(time_ns, 0, f"prices, line {bar.line}", what, event)


def planned_events(
    rows: Sequence[TradeRow], prices: Prices, builder: EventBuilder, bar_time: BarTime
) -> Iterator[Planned]:
    """All events by (event time, kind), of equal ones in the order of their files."""
    from trimtab_client import Environment

    word = Environment.Name(builder.environment)
    trades = sorted(_planned_trades(rows, builder, word), key=lambda one: one[:2])
    bars = _planned_bars(prices, builder, word, bar_time)
    return heapq.merge(bars, trades, key=lambda one: one[:2])


def record_planned(client: Client, planned: Iterable[Planned]) -> Imported:
    """Records events in batches, in their order; refused ones come back with their line."""
    done = Imported()
    waiting = iter(planned)
    while batch := list(itertools.islice(waiting, BATCH_EVENTS)):
        results = client.record_events([one.event for one in batch], timeout_s=60.0)
        for one, result in zip(batch, results, strict=True):
            if result.HasField("recorded"):
                done.duplicate_count += result.recorded.duplicate
                done.stored_count += not result.recorded.duplicate
                continue
            done.refused_count += 1
            if len(done.refused) < REFUSALS_KEPT:
                done.refused.append(f"{one.where}: {_refusal(one, result.rejection)}")
    return done


def run_with_the_same(
    client: Client, rows: Sequence[TradeRow], builder: EventBuilder
) -> str | None:
    """The run id under which this source and environment hold the first or the last of these trades
    already; None = it is not so, or this caller may not read. One or two look-ups by signal id: an
    import under another run id is another event, so the log itself cannot refuse it."""
    from trimtab_client import Environment, PermissionDenied, event_filter

    word = Environment.Name(builder.environment)
    for row in dict.fromkeys((0, len(rows) - 1)) if rows else ():
        mine = trade_events(rows[row], builder, word)[0]
        wanted = event_filter(
            kinds=["SIGNAL"],
            source=mine.source,
            environment=word,
            symbol=mine.symbol,
            signal_id=mine.signal_id,
        )
        try:
            found = client.list_events(wanted, page_size=LOOKED_AT).events
        except PermissionDenied:
            return None
        for one in found:
            if one.run_id != mine.run_id and one.event_time == mine.event_time:
                return str(one.run_id)
    return None


def _refusal(one: Planned, rejection: Any) -> str:
    reason = _reason(rejection)
    details = "; ".join(f"{v.field}: {v.description}" for v in rejection.violations)
    if reason == "ID_REUSED":
        details = (
            f"{one.what} has changed since; what is stored stays (use another --run-id, or record "
            "a correction)"
        )
    return f"{reason}: {details}"


def _reason(rejection: Any) -> str:
    """The word of a rejection's reason, from the message's own description of its enum."""
    known = rejection.DESCRIPTOR.fields_by_name["reason"].enum_type.values_by_number
    name = known[rejection.reason].name if rejection.reason in known else str(rejection.reason)
    return str(name).removeprefix("ERROR_REASON_")
