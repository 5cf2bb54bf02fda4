"""`trimtab import FILE`: bring the trades that you have, from any engine, once.

Each trade becomes a Signal (what was known at its entry), a Decision where the file tells what
guards said, an Execution per known price and, when it is closed, an Outcome; a signal that was
blocked its Signal and Decision; a row of a price file a MarketBar. All go in the order of event
time, because the ledger follows signals along the prices behind them. Event ids are UUIDv5 of
source, environment, run, trade and role: importing a file twice stores it once, and a row that has
changed meanwhile is refused with its line.
"""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trimtab_server.cli.events import AddressOption, fail, sidecar
from trimtab_server.cli.import_events import (
    BarTime,
    Imported,
    planned_events,
    record_planned,
    run_with_the_same,
)
from trimtab_server.cli.import_options import (
    BarTimeOption,
    DryRunOption,
    EngineOption,
    FileArgument,
    GuardRuleOption,
    GuardYes,
    GuardYesOption,
    HoldingOption,
    IntervalOption,
    KindOption,
    MapOption,
    PricesOption,
    RunOption,
    ScaleOption,
    SkipBadOption,
    StatefulOption,
    StatelessOption,
    WorldOption,
)
from trimtab_server.cli.price_files import Prices, read_prices
from trimtab_server.cli.trade_files import (
    FileKind,
    Read,
    Reading,
    Scale,
    UnreadableError,
    read_trades,
)
from trimtab_server.domain.wording import duration_text, plural

if TYPE_CHECKING:
    from trimtab_client import Client, EventBuilder
    from trimtab_server.domain.imports.guard_rules import GuardRule
    from trimtab_server.domain.imports.trade_rows import TradeRow

PROBLEMS_SHOWN = 50
NAMES_SHOWN = 8


def _given(maps: list[str] | None) -> dict[str, str]:
    given = {}
    for one in maps or ():
        ours, sign, theirs = one.partition("=")
        if not sign or not ours.strip() or not theirs.strip():
            raise fail(f"--map {one}: write it as ours=theirs", 2)
        given[ours.strip()] = theirs.strip()
    return given


def _rules(told: list[str] | None) -> dict[str, GuardRule]:
    from trimtab_server.domain.imports.guard_rules import guard_rules

    try:
        return guard_rules(told or ())
    except ValueError as error:
        raise fail(f"--guard-rule {error}", 2) from None


def _say_columns(found: Read) -> None:
    used = ", ".join(
        ours if ours == theirs else f"{ours} = {theirs}" for ours, theirs in found.mapping.items()
    )
    known = {*found.mapping.values(), *(name for one in found.guards for name in one.columns)}
    ignored = [name for name in found.columns if name not in known]
    typer.echo(f"columns: {used or 'none that is understood'}")
    if ignored:
        typer.echo(f"ignored: {', '.join(ignored)}")


def _say_guards(found: Read) -> None:
    """How each guard was understood: its answers, and whether it has a memory."""
    for k, one in enumerate(found.guards):
        cells = [row.guards[k] for row in found.rows]
        counts = {word: sum(c.result == word for c in cells) for word in ("PASS", "BLOCK")}
        left = len(cells) - sum(counts.values())
        is_stateful = any(c.is_stateful for c in cells)
        words = {True: ", a minimum", False: ", a maximum", None: ""}
        rule = words[found.thresholds.get(one.guard)] if one.rule is None else f", {one.rule.word}"
        typer.echo(
            f"guard {one.guard}: {counts['PASS']:,} passed, {counts['BLOCK']:,} blocked, {left:,} "
            f"not looked at; {'stateful' if is_stateful else 'stateless'}{rule}"
        )
        if is_stateful and one.rule is None and counts["BLOCK"]:
            typer.echo(
                f"warning: guard {one.guard} depends on earlier trades and how it decides is not "
                "told, so what guards are worth is not identifiable; --guard-rule "
                f"{one.guard}=position-count (or exposure, cooldown, loss-limit:1d) tells it",
                err=True,
            )
    if found.guards:
        typer.echo(
            "(stateful: it depends on earlier trades; --stateful NAME, --stateless NAME say so. "
            "yes in a guard's column means that it passed; --guard-yes blocks turns that round.)"
        )


def _say_problems(problems: list[str]) -> None:
    for problem in problems[:PROBLEMS_SHOWN]:
        typer.echo(problem, err=True)
    if len(problems) > PROBLEMS_SHOWN:
        typer.echo(f"... and {len(problems) - PROBLEMS_SHOWN:,} more", err=True)


def _say_read(found: Read) -> None:
    """Columns, problems, counts and doubts of a file as read."""
    _say_columns(found)
    _say_guards(found)
    _say_problems([str(problem) for problem in found.problems])
    traded = [row for row in found.rows if row.is_traded]
    others = [row for row in found.rows if not row.is_traded]
    told = f"{plural(len(traded), 'trade')} read ({sum(row.is_open for row in traded):,} still open"
    told += f"{_unclaimed(traded)})"
    if others:
        told += f", {plural(len(others), 'signal that was', 'signals that were')} not traded"
        told += f" ({words})" if (words := _unclaimed(others).removeprefix(", ")) else ""
    if found.duplicate_count:
        told += f", {plural(found.duplicate_count, 'repeated row')} left out"
    typer.echo(f"{told}, {plural(len(found.problems), 'problem')}")
    for words, count in found.warnings.items():
        typer.echo(f"warning: {plural(count, 'row')}: {words}", err=True)


def _unclaimed(rows: list[TradeRow]) -> str:
    count = sum(row.confidence is None for row in rows)
    return f", {count:,} without confidence" if count else ""


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _warn_of_doubles(client: Client, found: Read, builder: EventBuilder) -> None:
    """Tells of trades that are there under another run id, where runs are added up."""
    from trimtab_client import Environment

    if builder.environment == Environment.ENVIRONMENT_BACKTEST:
        return
    run_id = run_with_the_same(client, found.rows, builder)
    if run_id is None:
        return
    where = f"run id {run_id}" if run_id else "no run id"
    typer.echo(
        f"warning: the same trades are there with {where}: reports that are not asked for one run "
        "(--run-id) count them twice",
        err=True,
    )


def _say_prices(prices: Prices, found: Read) -> None:
    _say_problems([f"{path.name}: {problem}" for path, problem in prices.problems])
    lengths = sorted({step / 1e9 for step in prices.intervals.values()})
    typer.echo(
        f"{plural(len(prices.bars), 'bar')} of {plural(len(prices.intervals), 'symbol')} read, "
        f"{_names([duration_text(one) for one in lengths]) or 'none'} long, "
        f"{plural(len(prices.problems), 'problem')}"
    )
    if prices.unused:
        typer.echo(f"not needed: prices of {_names(sorted(prices.unused))}")
    if prices.missing:
        typer.echo(f"warning: no prices of {_names(list(prices.missing))}", err=True)
    endless = sum(not row.has_plan for row in found.rows)
    if endless:
        typer.echo(
            f"warning: {plural(endless, 'row tells', 'rows tell')} no holding period, stop or "
            "target: the sidecar's default_holding_days hold; --holding-period tells another time",
            err=True,
        )


def _say_done(done: Imported) -> None:
    """What became of the events; exit 1 when any was refused."""
    _say_problems(done.refused)
    typer.echo(
        f"{plural(done.stored_count, 'event')} stored, {done.duplicate_count:,} were there before, "
        f"{done.refused_count:,} refused"
    )
    if done.refused:
        raise typer.Exit(1)


def _say_no_prices(found: Read) -> None:
    if not all(row.is_traded for row in found.rows):
        typer.echo(
            "no --prices: what signals that were not traded would have made stays unknown, unless "
            "bars or ticks of theirs are in the log"
        )


def _bars(path: Path | None, found: Read, interval: str) -> Prices:
    """The bars of the prices, if any, and what there is to say of them."""
    if path is None:
        _say_no_prices(found)
        return Prices()
    bars = _read_prices(path, found, interval)
    _say_prices(bars, found)
    return bars


def _read_prices(path: Path, found: Read, interval: str) -> Prices:
    from trimtab_server.domain.imports.trade_columns import duration_s

    try:
        length_ns = round(duration_s(interval) * 1e9) if interval else None
    except ValueError as error:
        raise fail(f"--interval: {error}", 2) from None
    try:
        return read_prices(path, dict.fromkeys(row.symbol for row in found.rows), length_ns)
    except (UnreadableError, ValueError) as error:
        raise fail(f"{path}: {error}", 2) from None
    except OSError as error:
        raise fail(f"{path}: {error.strerror or error}", 2) from None


def _read(file: Path, kind: FileKind, how: Reading) -> Read:
    try:
        found = read_trades(file, kind, how)
    except (UnreadableError, ValueError) as error:
        raise fail(f"{file}: {error}", 2) from None
    except OSError as error:
        raise fail(f"{file}: {error.strerror or error}", 2) from None
    if not found.rows and not found.problems:
        raise fail(f"{file}: no rows")
    return found


def _skip_bad(found: Read, bars: Prices, *, allowed: bool) -> None:
    """Ends the command when there are bad rows, unless they may be skipped and others are left."""
    if (found.problems or bars.problems) and not (allowed and found.rows):
        raise fail("nothing imported: mend the file, or pass --skip-bad")
    bad_count = len(found.bad_lines) + len({(path, one.line) for path, one in bars.problems})
    if bad_count:
        typer.echo(f"{plural(bad_count, 'bad row')} skipped", err=True)


def _builder(source: str, environment: str, run_id: str) -> EventBuilder:
    from trimtab_client import EventBuilder

    try:
        return EventBuilder(source=source, environment=environment.upper(), run_id=run_id)
    except ValueError as error:
        raise fail(str(error), 2) from None


def _holding_s(told: str) -> float | None:
    from trimtab_server.domain.imports.trade_columns import duration_s

    try:
        return duration_s(told) if told else None
    except ValueError as error:
        raise fail(f"--holding-period: {error}", 2) from None


def import_trades(
    *,
    file: FileArgument,
    source: EngineOption,
    environment: WorldOption,
    run_id: RunOption = "",
    maps: MapOption = None,
    scale: ScaleOption = Scale.FRACTION,
    kind: KindOption = FileKind.AUTO,
    guard_yes: GuardYesOption = GuardYes.PASSES,
    stateful: StatefulOption = None,
    stateless: StatelessOption = None,
    guard_rules: GuardRuleOption = None,
    holding: HoldingOption = "",
    prices: PricesOption = None,
    interval: IntervalOption = "",
    bar_time: BarTimeOption = BarTime.OPEN,
    dry_run: DryRunOption = False,
    skip_bad: SkipBadOption = False,
    address: AddressOption = None,
) -> None:
    """Import trades that another engine made, what guards said of them, and the prices around.

    Understood columns (and many other names for them): trade_id, symbol*, strategy, side,
    entry_time* (or signal_time), exit_time, entry_price, exit_price, quantity, return_fraction or
    return_pct or pnl, fees, confidence, won, exit_reason, currency, model_name, ... (* = required).

    Guards: guard:NAME (pass or block; empty = it did not look), guard:NAME_value, guard:NAME_limit,
    guard:NAME_stateful. How a guard that depends on earlier trades decides is told by --guard-rule
    NAME=position-count or position-count-per-symbol (value: positions open before the signal),
    exposure (guard:NAME_added: what the signal would add), cooldown or cooldown-after-loss (in
    seconds), loss-limit:1d; untold, what guards are worth is not identifiable.

    Signals that were not traded stand in the same file: decision (blocked, ...), or blocked by a
    guard and without an exit. Planned exit: holding_period (10d), holding_trading_days,
    stop_loss_price, take_profit_price. With --prices every signal is followed to what it would have
    made, and `trimtab report guards` tells what each guard cost; without prices, what was blocked
    stays unknown.

    Importing a file again adds nothing; under another --run-id it is stored again, and in live and
    paper reports add the runs up (a warning tells when the same trades are there).

    Prices: time*, symbol, open, high, low, close*, volume, spread_bps.
    """
    builder = _builder(source, environment, run_id)
    how = Reading(
        given=_given(maps),
        scale=scale,
        true_blocks=guard_yes is GuardYes.BLOCKS,
        stateful=tuple(stateful or ()),
        stateless=tuple(stateless or ()),
        rules=_rules(guard_rules),
        holding_s=_holding_s(holding),
    )
    found = _read(file, kind, how)
    _say_read(found)
    bars = _bars(prices, found, interval)
    _skip_bad(found, bars, allowed=skip_bad)
    if dry_run:
        typer.echo("dry run: nothing imported")
        return
    with sidecar(address) as client:
        _warn_of_doubles(client, found, builder)
        done = record_planned(client, planned_events(found.rows, bars, builder, bar_time))
    _say_done(done)
    if found.guards:
        run = f" --run-id {run_id}" if run_id else ""
        typer.echo(f"next: trimtab report guards --environment {environment}{run}")
