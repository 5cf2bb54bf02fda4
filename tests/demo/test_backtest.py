import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from trimtab_client import Event, EventBuilder, FakeSidecar, RecorderSettings, connect
from trimtab_server.demo.backtest import run_real_market_backtest
from trimtab_server.demo.events import event_uuid
from trimtab_server.demo.learning import SidecarLearning, record_learning_feedback
from trimtab_server.demo.page import any_day_text, days_text
from trimtab_server.domain.imports.trade_columns import Cell


class Collected:
    """A learning engine that keeps everything."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def update(self, events: Sequence[Event]) -> int:
        """Keeps them."""
        self.events += events
        return len(events)


@pytest.fixture(scope="module")
def whole() -> tuple[dict[str, Any], list[Event]]:
    """The default backtest, once."""
    learning = Collected()
    return run_real_market_backtest(learning=learning), learning.events


def of_kind(events: list[Event], kind: str, run: str = "baseline") -> list[Event]:
    """Events of one kind and book."""
    return [e for e in events if e.WhichOneof("payload") == kind and e.run_id.endswith(run)]


def test_the_default_backtest_makes_a_thousand_trades(
    whole: tuple[dict[str, Any], list[Event]],
) -> None:
    """1,000 matured baseline outcomes or more, 2,000 learning events or more, claims in range."""
    report, events = whole
    outcomes = of_kind(events, "outcome")
    assert sum(e.outcome.status == 1 for e in outcomes) >= 1000
    assert report["baseline"]["trade_count"] >= 1000
    assert report["learning_events_recorded"] >= 2000
    assert report["events_recorded"] == len(events)
    claims = [e.signal.confidence for e in of_kind(events, "signal")]
    assert 0.15 <= min(claims) < 0.3
    assert 0.9 < max(claims) <= 0.95


def test_the_report_has_the_documented_keys_and_is_json(
    whole: tuple[dict[str, Any], list[Event]],
) -> None:
    """Learning events, data directory, whether learning was on, both books, the improvement."""
    report, _ = whole
    json.dumps(report, allow_nan=False)
    assert report["use_learning_engine"] is True
    assert report["learning_data_dir"] == "artifacts/learning_engine"
    for book in ("baseline", "filtered"):
        assert {"trade_count", "win_rate", "sharpe_ratio", "profit_factor", "max_drawdown"} <= set(
            report[book]
        )
    assert {"win_rate_change_pct", "sharpe_ratio_change", "profit_factor_change"} <= set(
        report["improvement"]
    )
    change = report["filtered"]["win_rate"] - report["baseline"]["win_rate"]
    assert report["improvement"]["win_rate_change_pct"] == pytest.approx(100 * change)
    assert "percentage points" in report["units"]["win_rate_change_pct"]
    assert report["data"]["sharpe_and_drawdown_until"] == "2022-12-28"
    assert "2019-01-02 to 2022-12-28" in days_text(report)
    told = any_day_text(report)
    for name, one in report["reference_any_day"].items():
        assert one["difference"] == pytest.approx(one["own_mean_return"] - one["mean_return"])
        assert f"{name.replace('_', ' ').capitalize()}: entering on any day did" in told


def test_every_decision_carries_all_three_verdicts(
    whole: tuple[dict[str, Any], list[Event]],
) -> None:
    """Volatility, exposure (stateful, with its rule), confidence: on every signal of both books."""
    _, events = whole
    for book in ("baseline", "filtered"):
        decisions = of_kind(events, "decision", book)
        assert len(decisions) == len(of_kind(events, "signal", book))
        for event in decisions:
            verdicts = event.decision.guard_verdicts
            assert [v.guard for v in verdicts] == ["volatility", "exposure", "confidence"]
            assert [v.WhichOneof("rule") for v in verdicts] == [
                "threshold",
                "exposure",
                "threshold",
            ]
            assert [v.memory for v in verdicts] == [1, 2, 1]
            blocked = any(v.result == 2 for v in verdicts)
            assert event.decision.action == (2 if blocked else 1)
            assert event.decision.market_snapshot.price > 0


def test_only_approved_signals_are_traded(whole: tuple[dict[str, Any], list[Event]]) -> None:
    """Executions and outcomes belong to approved signals; the filtered book obeys the threshold."""
    _, events = whole
    for book in ("baseline", "filtered"):
        approved = {
            e.signal_id for e in of_kind(events, "decision", book) if e.decision.action == 1
        }
        for kind in ("execution", "outcome"):
            assert {e.signal_id for e in of_kind(events, kind, book)} <= approved
    for event in of_kind(events, "outcome", "filtered"):
        assert event.outcome.confidence_used >= 0.8
        assert event.outcome.applied_threshold == 0.8


def test_the_comparison_is_recorded_as_a_metric(
    whole: tuple[dict[str, Any], list[Event]],
) -> None:
    """METRIC_RECORDED holds baseline, filtered, improvement, threshold and which confidence."""
    report, events = whole
    metric = next(e for e in events if e.WhichOneof("payload") == "metric_recorded").metric_recorded
    assert metric.baseline["win_rate"] == pytest.approx(report["baseline"]["win_rate"])
    assert metric.filtered["trade_count"] == report["filtered"]["trade_count"]
    assert "win_rate_change_pct" in metric.improvement
    assert (metric.applied_threshold, metric.confidence_key) == (0.8, "confidence")


def test_time_never_goes_back_within_a_book(whole: tuple[dict[str, Any], list[Event]]) -> None:
    """An engine records what happens as it happens."""
    _, events = whole
    for book in ("baseline", "filtered"):
        stamps = [e.event_time.seconds for e in events if e.run_id.endswith(book)]
        assert stamps == sorted(stamps)


SMALL: dict[str, Any] = {
    "symbols": ("AAPL", "MSFT", "XOM"),
    "start": date(2020, 1, 1),
    "end": date(2020, 12, 31),
}


def test_the_same_run_again_records_the_same_events() -> None:
    """Ids depend on what an event is, not on the clock: a rerun adds nothing."""
    one, two = Collected(), Collected()
    for learning in (one, two):
        run_real_market_backtest(learning=learning, **SMALL)
    assert one.events == two.events
    ids = [event.event_id for event in one.events]
    assert len(set(ids)) == len(ids)
    other = Collected()
    run_real_market_backtest(threshold=0.7, learning=other, **SMALL)
    assert not {event.event_id for event in other.events} & set(ids)


def test_ids_are_ordered_by_event_time() -> None:
    """Version 8 with the time in front: later events have larger ids."""
    early, late = (
        event_uuid(1_000_000_000_000_000_000, "z"),
        event_uuid(1_000_000_001_000_000_000, "a"),
    )
    assert early < late
    assert early[14] == "8"
    assert early[19] in "89ab"


def test_learning_can_be_off() -> None:
    """The same numbers without a sidecar; nothing is recorded and the report says so."""
    on = run_real_market_backtest(learning=Collected(), **SMALL)
    off = run_real_market_backtest(use_learning_engine=False, **SMALL)
    assert off["use_learning_engine"] is False
    assert off["learning_data_dir"] is None
    assert off["learning_events_recorded"] == off["events_recorded"] == 0
    assert off["baseline"] == on["baseline"]
    assert off["improvement"] == on["improvement"]


def test_calibration_is_walk_forward_and_said() -> None:
    """The calibrated run keeps the claim beside the probability and previews acceptance (F27)."""
    learning = Collected()
    report = run_real_market_backtest(
        use_calibration=True, threshold=0.55, learning=learning, end=date(2020, 6, 30)
    )
    assert report["confidence_key"] == "calibrated_confidence"
    assert report["acceptance"]["claimed_confidence"] != report["acceptance"]["confidence_used"]
    signals = of_kind(learning.events, "signal")
    first, last = signals[0].signal, signals[-1].signal
    assert not first.calibrated
    assert last.calibrated
    assert last.features["claimed_confidence"] != last.confidence


def test_a_backtest_records_with_a_real_client() -> None:
    """Through the recorder to a sidecar: everything that was accepted is stored, in order."""
    with FakeSidecar() as fake:
        report = run_real_market_backtest(address=fake.address, **SMALL)
        assert len(fake.events()) == report["events_recorded"] == report["events_durable"]


async def test_learning_engine_starts_and_shuts_down_in_good_order() -> None:
    """Initialize waits for the sidecar, shutdown flushes; a small ring only makes it wait."""
    with FakeSidecar() as fake:
        told: list[str] = []
        tt = connect(
            source="x", environment="BACKTEST", run_id="r", address=fake.address,
            settings=RecorderSettings(events_max=10),
        )  # fmt: skip
        learning = SidecarLearning(tt, told.append)
        assert await learning.initialize()
        builder = EventBuilder(source="x", environment="BACKTEST", run_id="r")
        events = [
            builder.bar(symbol="A", interval_s=60, close=1.0, event_time_ns=k) for k in range(100)
        ]
        assert learning.update(events) == 100
        assert await learning.shutdown()
        assert told == [event.event_id for event in events]
        assert [event.event_id for event in fake.events()] == told


TRADE: dict[str, Cell] = {
    "symbol": "AAPL",
    "entry_time": "2024-01-02",
    "exit_time": "2024-01-12",
    "return_fraction": 0.02,
    "confidence": 0.7,
    "calibrated_confidence": 0.6,
    "num_agreeing_models": 3,
    "market_volatility": 0.02,
    "signal_strength": 1.4,
}


def test_feedback_is_two_events_a_trade() -> None:
    """Signal at entry and outcome at exit, with the confidence of the given key and threshold."""
    with FakeSidecar() as fake:
        tt = connect(source="x", environment="BACKTEST", run_id="r", address=fake.address)
        trades = [TRADE | {"trade_id": f"t{k}"} for k in range(50)]
        count = record_learning_feedback(tt, trades, "calibrated_confidence", 0.8, calibrated=True)
        tt.close()
        assert count == 100
        signals, outcomes = fake.events(kind="SIGNAL"), fake.events(kind="OUTCOME")
    assert len(signals) == len(outcomes) == 50
    signal, outcome = signals[0].signal, outcomes[0].outcome
    assert (signal.confidence, signal.calibrated, signal.applied_threshold) == (0.6, True, 0.8)
    assert (signal.agreeing_model_count, signal.volatility, signal.strength) == (3, 0.02, 1.4)
    assert (outcome.return_fraction, outcome.confidence_used) == (0.02, 0.6)
    assert signals[0].event_time.seconds < outcomes[0].event_time.seconds


def test_feedback_with_a_bad_trade_records_nothing() -> None:
    """Every bad trade is named; the good ones wait too."""
    with FakeSidecar() as fake:
        tt = connect(source="x", environment="BACKTEST", run_id="r", address=fake.address)
        still_open = {k: v for k, v in TRADE.items() if k != "exit_time"}
        with pytest.raises(ValueError, match=r"2 problems.*trade 2.*trade 3"):
            record_learning_feedback(tt, [TRADE, TRADE | {"confidence": 7}, still_open])
        tt.close()
        assert fake.events() == []
