"""The backtest loop: generate, claim, calibrate (optional), filter, follow, compare, record.

`run_real_market_backtest` is the whole of it in one call; `MarketBacktest` is the same with a
learning engine registered, cycle by cycle.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from trimtab_client import Event, EventBuilder, RecorderSettings, connect
from trimtab_server.demo.asking import GateAsked
from trimtab_server.demo.calibrating import WalkForward
from trimtab_server.demo.events import StepEvents, event_uuid
from trimtab_server.demo.guards import POSITION_FRACTION, STATEFUL, limits
from trimtab_server.demo.learning import (
    DATA_DIR,
    MAX_EVENTS_MEMORY,
    LearningEngine,
    SidecarLearning,
)
from trimtab_server.demo.prices import Market, load_market
from trimtab_server.demo.replay import Replay, followed_return
from trimtab_server.demo.strategies import (
    CONFIDENCE_MAX,
    CONFIDENCE_MIN,
    RULES_VERSION,
)
from trimtab_server.demo.summary import UNITS, Summary, summary

SOURCE = "demo-engine"
START, END = date(2019, 1, 1), date(2024, 12, 31)
BOOKS = ("baseline", "filtered")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. threshold, risk_tolerance: 0 to 1. symbols: empty = all 20."""

    threshold: float = 0.80
    risk_tolerance: float = 0.50
    use_calibration: bool = False
    symbols: tuple[str, ...] = ()
    start: date = START
    end: date = END
    # Name of a drill, which makes the run one of its own; empty = none.
    drill: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a cycle is: book and its run, day, and the share of the whole that is done, 0 to
    1."""

    book: str
    run_id: str
    day: date
    share: float
    event_count: int


def run_name(plan: Plan, market: Market) -> str:
    """Name of the run: the same for the same plan, rules and data, so a rerun adds nothing."""
    told = (
        RULES_VERSION,
        f"{plan.threshold:.6f}",
        f"{plan.risk_tolerance:.6f}",
        str(plan.use_calibration),
        ",".join(market.symbols),
        str(market.first),
        *([plan.drill] if plan.drill else []),
    )
    digest = hashlib.sha256("|".join(told).encode())
    digest.update(market.days.tobytes())
    digest.update(market.close.tobytes())
    return f"demo-{digest.hexdigest()[:10]}"


class MarketBacktest:
    """The demo's engine on one market: replays both books and tells a learning engine.

    on_progress: is called after each day. Nothing is sent when no learning engine is registered.
    """

    def __init__(
        self, plan: Plan, market: Market, on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        self.plan = plan
        self.market = market
        self.name = run_name(plan, market)
        self._on_progress = on_progress
        self._learning: LearningEngine | None = None
        self._gate: GateAsked | None = None
        self._event_count = 0

    def register_learning_engine(self, learning: LearningEngine) -> None:
        """From now on every day's events are sent to `learning.update`."""
        self._learning = learning

    def register_gate(self, gate: GateAsked) -> None:
        """From now on the gate is asked before every signal."""
        self._gate = gate

    def run_id(self, book: str) -> str:
        """The run of one book."""
        return f"{self.name}-{book}"

    def run_cycle(self) -> Summary:
        """Replays both books day by day and returns the summary, whose metric is recorded too."""
        results = {}
        matured = self._matured_claims() if self.plan.use_calibration else None
        for number, book in enumerate(BOOKS):
            threshold = self.plan.threshold if book == "filtered" else 0.0
            calibrator = WalkForward(self.market, matured) if matured is not None else None
            ask = self._gate.book(book, self.run_id(book)) if self._gate is not None else None
            allowed = limits(threshold, self.plan.risk_tolerance)
            replay = Replay(self.market, allowed, calibrator, ask)
            self._replay(replay, book, number, threshold)
            results[book] = replay
        found = summary(results["baseline"], results["filtered"], self.plan.threshold)
        self._send([self._metric(found)])
        return found

    def _matured_claims(self) -> dict[int, list[tuple[float, bool]]]:
        """Every signal's (claim, won) by the day it matured; WalkForward looks at the past only."""
        plain = Replay(self.market, limits(0.0, self.plan.risk_tolerance))
        for _ in plain.steps():
            pass
        results: dict[int, list[tuple[float, bool]]] = {}
        for made in plain.signals:
            followed = followed_return(self.market, made.proposal)
            if followed is not None:
                pair = (made.proposal.confidence, followed[1] > 0)
                results.setdefault(followed[0], []).append(pair)
        return results

    def _builder(self, book: str) -> EventBuilder:
        return EventBuilder(source=SOURCE, environment="BACKTEST", run_id=self.run_id(book))

    def _replay(self, replay: Replay, book: str, number: int, threshold: float) -> None:
        made = StepEvents(
            self._builder(book), self.market, threshold, calibration=self.plan.use_calibration
        )
        day = self.market.first
        batch: list[Event] = []
        span = self.market.days.size - self.market.first
        for step in replay.steps():
            position = getattr(step, "position", None)
            if position is not None and position > day:
                self._send(batch)
                self._tell(book, day, (number + (day - self.market.first) / span) / len(BOOKS))
                day, batch = position, []
            if self._learning is not None:
                batch.append(made.event(step))
        self._send(batch)
        self._tell(book, day, (number + 1) / len(BOOKS))

    def _send(self, events: Sequence[Event]) -> None:
        if self._learning is not None and events:
            self._event_count += self._learning.update(events)

    def _tell(self, book: str, position: int, share: float) -> None:
        if self._on_progress is not None:
            day = date.fromordinal(int(self.market.days[position]))
            told = Progress(book, self.run_id(book), day, share, self._event_count)
            self._on_progress(told)

    def _metric(self, found: Summary) -> Event:
        time_ns = self.market.close_time_ns(self.market.days.size - 1)
        plain = found.plain
        values = {
            part: {k: float(v) for k, v in plain[part].items() if isinstance(v, (int, float))}
            for part in ("baseline", "filtered", "improvement")
        }
        return self._builder("filtered").metric(
            event_id=event_uuid(time_ns, self.run_id("filtered"), "metric", "threshold_filter"),
            name="threshold_filter",
            baseline=values["baseline"],
            filtered=values["filtered"],
            improvement=values["improvement"],
            applied_threshold=self.plan.threshold,
            confidence_key=confidence_key(self.plan),
            calibrated=self.plan.use_calibration,
            event_time_ns=time_ns,
        )


def confidence_key(plan: Plan) -> str:
    """Which confidence is held against the threshold."""
    return "calibrated_confidence" if plan.use_calibration else "confidence"


def backtest_report(
    backtest: MarketBacktest,
    found: Summary,
    *,
    learning_data_dir: Path | None,
    events_recorded: int,
) -> dict[str, Any]:
    """The JSON report of a backtest.

    learning_data_dir: where the sidecar's data is; None = learning was off. events_recorded: of
    every kind. `learning_events_recorded` counts two a matured trade, its signal and its outcome.
    """
    plan, market = backtest.plan, backtest.market
    trades = found.baseline.trade_count + found.filtered.trade_count
    on = learning_data_dir is not None
    return {
        "run": backtest.name,
        "run_ids": {book: backtest.run_id(book) for book in BOOKS},
        "source": SOURCE,
        "environment": "BACKTEST",
        "use_learning_engine": on,
        "learning_data_dir": str(learning_data_dir) if on else None,
        "learning_events_recorded": 2 * trades if on else 0,
        "events_recorded": events_recorded,
        "threshold": plan.threshold,
        "risk_tolerance": plan.risk_tolerance,
        "limits": {
            name: getattr(limits(plan.threshold, plan.risk_tolerance), name)
            for name in ("volatility_max", "exposure_max", "confidence_min")
        },
        "guard_names": list(STATEFUL),
        "use_calibration": plan.use_calibration,
        "confidence_key": confidence_key(plan),
        "confidence_range": [CONFIDENCE_MIN, CONFIDENCE_MAX],
        "data": {
            "start": market.day(market.first).isoformat(),
            "end": market.day(-1).isoformat(),
            "sharpe_and_drawdown_until": market.day(market.judged - 1).isoformat(),
            "sharpe_and_drawdown_days": market.judged - market.first,
            "trading_days": int(market.days.size - market.first),
            "symbols": list(market.symbols),
            "notes": list(market.notes),
        },
        "position_fraction": POSITION_FRACTION,
        "units": UNITS,
        "signal_count": found.plain["acceptance"]["signals"],
        **found.plain,
    }


def run_real_market_backtest(
    threshold: float = 0.80,
    risk_tolerance: float = 0.50,
    *,
    use_calibration: bool = False,
    use_learning_engine: bool = True,
    learning_data_dir: Path | str = DATA_DIR,
    address: str | None = None,
    symbols: Sequence[str] = (),
    start: date = START,
    end: date = END,
    learning: LearningEngine | None = None,
) -> dict[str, Any]:
    """The JSON report (`backtest_report`) of both books on real prices.

    use_learning_engine: record every event with the sidecar at `address` (default
    $TRIMTAB_ADDRESS, else 127.0.0.1:7517), or with `learning` when given. learning_data_dir: told
    in the report. Raises PricesUnavailableError without the extra `demo`, ValueError for values
    outside 0 to 1, and NotAcceptedError when the sidecar stays away for minutes.
    """
    plan = Plan(threshold, risk_tolerance, use_calibration, tuple(symbols), start, end)
    limits(threshold, risk_tolerance)
    market = load_market(plan.symbols, start, end)
    backtest = MarketBacktest(plan, market)
    directory = Path(learning_data_dir) if use_learning_engine else None
    if not use_learning_engine or learning is not None:
        counted = _Counted(learning)
        if use_learning_engine:
            backtest.register_learning_engine(counted)
        found = backtest.run_cycle()
        return backtest_report(
            backtest, found, learning_data_dir=directory, events_recorded=counted.count
        )
    with connect(
        source=SOURCE,
        environment="BACKTEST",
        run_id=backtest.name,
        address=address,
        settings=RecorderSettings(events_max=MAX_EVENTS_MEMORY),
    ) as tt:
        sidecar = SidecarLearning(tt)
        backtest.register_learning_engine(sidecar)
        found = backtest.run_cycle()
        tt.flush(60.0)
        stats = tt.stats
    report = backtest_report(
        backtest, found, learning_data_dir=directory, events_recorded=sidecar.accepted_count
    )
    return report | {"events_durable": stats.durable_count}


class _Counted:
    """Counts what another learning engine takes."""

    def __init__(self, inner: LearningEngine | None) -> None:
        self._inner = inner
        self.count = 0

    def update(self, events: Sequence[Event]) -> int:
        """Passes the events on."""
        taken = self._inner.update(events) if self._inner is not None else 0
        self.count += taken
        return taken
