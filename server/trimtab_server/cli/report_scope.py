"""Which signals a report is about: the options, and the world when it is not told.

Environments never mix, nor do runs of a backtest. When the log holds one world only it is taken;
else the command ends with a list of what there is.
"""

# Imports stand inside the functions: the command line starts fast.

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab_server.cli.events import fail, parsed_time

if TYPE_CHECKING:
    from trimtab_client import Client

HoursOption = Annotated[
    float | None,
    typer.Option("--hours", help="The last so many hours, up to the last signal.", min=0.0),
]
LevelOption = Annotated[
    float, typer.Option("--level", help="Of the intervals, 0.5 to 0.999.", min=0.5, max=0.999)
]
LOOKED_AT = 1_000
RUNS_SHOWN = 10
_HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope as given: words and times as on the command line, hours None = not told."""

    environment: str = ""
    run_id: str = ""
    source: str = ""
    strategy: str = ""
    symbol: str = ""
    start: str = ""
    end: str = ""
    hours: float | None = None
    level: float = 0.95

    def checked(self) -> Scope:
        """The same; exit 2 with one line for what cannot be meant, before anybody is asked."""
        from trimtab_client import event_filter

        start, end = parsed_time(self.start, "--start"), parsed_time(self.end, "--end")
        if self.hours is not None and (self.start or self.hours <= 0):
            raise fail("--hours: above 0, and in the place of --start", 2)
        if start is not None and end is not None and end <= start:
            raise fail("--end lies before --start", 2)
        try:
            event_filter(environment=self.environment.upper() or 0)
        except ValueError as error:
            raise fail(str(error), 2) from None
        return self

    def arguments(self, client: Client) -> dict[str, Any]:
        """Arguments of the client's `report_scope`, in the world told or the only one there is."""
        known = self if self.environment else replace(self, environment=_environment(self, client))
        if not known.run_id and known.environment.lower() == "backtest":
            known = replace(known, run_id=_run(known, client))
        start = parsed_time(self.start, "--start")
        end = parsed_time(self.end, "--end")
        if self.hours is not None:
            last = end or _last_signal_ns(known, client)
            start, end = max(0, last - round(self.hours * _HOUR_NS)), last + (end is None)
        return {
            "environment": known.environment.upper(),
            "run_id": known.run_id,
            "source": self.source,
            "strategy": self.strategy,
            "symbol": self.symbol,
            "start_time": start,
            "end_time": end,
            "level": self.level,
        }


def _environment(scope: Scope, client: Client) -> str:
    """The only environment with signals; exit 1 without any, 2 with several."""
    from trimtab_client import Environment, kind_word

    counted = {
        Environment.Name(row.environment).removeprefix("ENVIRONMENT_").lower()
        for row in client.get_stats(source=scope.source, run_id=scope.run_id).counts
        if kind_word(row.kind) == "SIGNAL" and row.event_count
    }
    if not counted:
        told = [f"source {scope.source}"] if scope.source else []
        told += [f"run {scope.run_id}"] if scope.run_id else []
        raise fail(f"the log holds no signal{' of ' + ', '.join(told) if told else ''}")
    if len(counted) > 1:
        raise fail(f"environments never mix: tell --environment ({', '.join(sorted(counted))})", 2)
    return counted.pop()


def _run(scope: Scope, client: Client) -> str:
    """The only run of BACKTEST with signals: the newest signal's, when every signal counted is of
    it. Exit 1 without any, 2 with several."""
    newest = _signals(scope, client, 1)
    if not newest:
        raise fail("the log holds no signal of a backtest")
    run_id: str = newest[0].run_id
    if _signal_count(scope, client, run_id) == _signal_count(scope, client, ""):
        return run_id
    runs = list(dict.fromkeys(event.run_id for event in _signals(scope, client, LOOKED_AT)))
    more = " and others" if len(runs) > RUNS_SHOWN or len(runs) == 1 else ""
    raise fail(f"runs never mix: tell --run-id (latest: {', '.join(runs[:RUNS_SHOWN])}{more})", 2)


def _signals(scope: Scope, client: Client, count: int, order: str = "SEQUENCE_DESC") -> list[Any]:
    from trimtab_client import event_filter

    wanted = event_filter(
        kinds=["SIGNAL"],
        source=scope.source,
        environment=scope.environment.upper(),
        run_id=scope.run_id,
    )
    return list(client.list_events(wanted, order=order, page_size=count).events)


def _signal_count(scope: Scope, client: Client, run_id: str) -> int:
    from trimtab_client import kind_word

    found = client.get_stats(
        source=scope.source, environment=scope.environment.upper(), run_id=run_id
    )
    return sum(row.event_count for row in found.counts if kind_word(row.kind) == "SIGNAL")


def _last_signal_ns(scope: Scope, client: Client) -> int:
    """Event time of the last signal; exit 1 without any."""
    found = _signals(scope, client, 1, "EVENT_TIME_DESC")
    if not found:
        raise fail("--hours: there is no signal in this world")
    return int(found[0].event_time.ToNanoseconds())
