"""The demo's drill: midway a breaker is tripped and trading is halted by hand, then both end.

The orders go to the sidecar as an operator's would, from outside the engine. The engine, which runs
through a year in a second, waits until each has reached its gate: a drill of a fast market would
else be over before anybody noticed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trimtab_client import Client

ACTOR = "demo-drill"
STRATEGY = "mean_reversion"
_WORLD = "BACKTEST"


@dataclass(frozen=True, slots=True)
class Told:
    """One order: on which day of the engine's book, in words, and the world's new revision."""

    book: str
    day: str
    order: str
    revision: int

    @property
    def plain(self) -> dict[str, Any]:
        """For the report."""
        return {
            "book": self.book, "day": self.day, "order": self.order, "revision": self.revision,
        }  # fmt: skip


def _trip(client: Client, run_id: str) -> tuple[str, int]:
    done = client.trip_breaker(
        environment=_WORLD, run_id=run_id, strategy=STRATEGY, kind="DRAWDOWN", actor=ACTOR,
        reason="drill",
    )  # fmt: skip
    return f"tripped the drawdown breaker of {STRATEGY}", done.revision


def _reset(client: Client, run_id: str) -> tuple[str, int]:
    done = client.reset_breaker(
        environment=_WORLD, run_id=run_id, strategy=STRATEGY, actor=ACTOR, reason="drill is over"
    )
    return f"reset it (cleared {len(done.cleared)})", done.revision


def _halt(client: Client, run_id: str) -> tuple[str, int]:
    done = client.set_trading_state(
        environment=_WORLD, run_id=run_id, state="HALTED", actor=ACTOR, reason="drill"
    )
    return "halted everything", done.revision


def _resume(client: Client, run_id: str) -> tuple[str, int]:
    done = client.set_trading_state(
        environment=_WORLD, run_id=run_id, state="ACTIVE", actor=ACTOR, reason="drill is over"
    )
    return "resumed", done.revision


# From which share of the whole run on each is done.
_STEPS: tuple[tuple[float, Callable[[Client, str], tuple[str, int]]], ...] = (
    (0.10, _trip),
    (0.20, _reset),
    (0.25, _halt),
    (0.35, _resume),
)


SHARES = tuple(share for share, _ in _STEPS)


class Drill:
    """Gives the orders as the engine gets on; `told` holds those that were given."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.told: list[Told] = []

    def follow(self, line: dict[str, Any]) -> Told | None:
        """Does what is due at this progress line of the engine. Raises the client's
        TrimtabError."""
        if len(self.told) == len(_STEPS) or line["share"] < _STEPS[len(self.told)][0]:
            return None
        with Client(self._address, timeout_s=30.0) as client:
            words, revision = _STEPS[len(self.told)][1](client, line["run_id"])
        self.told.append(Told(line["book"], line["day"], words, revision))
        return self.told[-1]
