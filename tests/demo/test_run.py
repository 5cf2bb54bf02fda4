import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from trimtab_server.demo.backtest import Plan
from trimtab_server.demo.count import independent_count
from trimtab_server.demo.page import demo_page, threshold_text
from trimtab_server.demo.run import (
    EngineFailedError,
    Places,
    fresh_places,
    full_report,
    run_demo,
)
from trimtab_server.demo.sidecar import SidecarFailedError, SidecarProcess, free_address
from trimtab_server.demo.trading import Order, order_from_json
from trimtab_server.domain.calibration_report import calibration_report

PLAN = Plan(
    threshold=0.6, symbols=("AAPL", "MSFT", "XOM"), start=date(2020, 1, 1), end=date(2020, 12, 31)
)


def test_a_demo_survives_the_kill_and_is_counted(tmp_path: Path) -> None:
    """Two processes, one SIGKILL midway, another start: 0 lost, 0 doubled, exit 0 at the end."""
    places = fresh_places(tmp_path / "run" / "demo.db")
    told: list[str] = []
    with SidecarProcess(free_address(), places.database, places.beside(".log")) as sidecar:
        assert "listening on" in sidecar.start()
        result = run_demo(PLAN, places, sidecar, lambda what, _: told.append(what))
        assert sidecar.start_count == 2
        assert sidecar.stop() == 0
    assert result.count.is_clean
    assert result.count.line.startswith("0 lost, 0 doubled")
    assert result.count.stored_count == result.report["events_recorded"] > 1000
    assert result.killed is not None
    assert told.index("killed") < told.index("restarted") < len(told) - 2
    assert told[-2:] == ["counting", "asking"]
    assert result.report["recorder"]["reconnect_count"] >= 1
    accepted = places.beside(".accepted.txt").read_text().split()
    assert independent_count(accepted[:-1], []).lost_count == len(accepted) - 1
    report = full_report(result, {})
    json.dumps(report, allow_nan=False)
    page = demo_page(report, calibration_report([], np.random.default_rng(1)))
    assert "0 lost, 0 doubled" in page
    for request in ("<script", "http://", "https://", "src=", "@import", "url("):
        assert request not in page


def test_a_drill_denies_midway_and_says_why(tmp_path: Path) -> None:
    """The breaker's strategy, then everything, is denied between the orders and at no other time;
    the report tells each order and what it denied; nothing is lost over the kill."""
    places = fresh_places(tmp_path / "demo.db")
    plan = replace(PLAN, threshold=0.0, drill="drill-test")
    with SidecarProcess(free_address(), places.database, places.beside(".log")) as sidecar:
        sidecar.start()
        result = run_demo(plan, places, sidecar, lambda *_: None)
    assert result.count.is_clean
    report = full_report(result, {})
    tripped, reset, halted, resumed = (told["day"] for told in report["drill"])
    assert [told["revision"] for told in report["drill"]] == [1, 2, 3, 4]
    denied = {line["code"]: line for line in report["gate"]["denied"]}
    assert set(denied) == {"BREAKER_OPEN", "HALTED"}
    assert tripped < denied["BREAKER_OPEN"]["first_day"]
    assert denied["BREAKER_OPEN"]["last_day"] <= reset
    assert halted < denied["HALTED"]["first_day"]
    assert denied["HALTED"]["last_day"] <= resumed
    assert {each["strategy"] for each in denied["BREAKER_OPEN"]["examples"]} == {"mean_reversion"}
    assert "halted by demo-drill: drill" in denied["HALTED"]["examples"][0]["why"]
    page = demo_page(report, calibration_report([], np.random.default_rng(1)))
    assert "BREAKER_OPEN" in page
    assert "halted everything" in page


def test_a_sidecar_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The end of its log is in the message."""
    with (
        SidecarProcess("nonsense", tmp_path / "a.db", tmp_path / "log") as sidecar,
        pytest.raises(SidecarFailedError, match="nonsense"),
    ):
        sidecar.start()
    assert sidecar.pid is None


def test_an_engine_that_fails_says_why(tmp_path: Path) -> None:
    """A plan without prices ends the demo with the engine's own words."""
    places = Places(tmp_path / "demo.db")
    sidecar = SidecarProcess(free_address(), places.database, tmp_path / "log")
    plan = Plan(symbols=("NONE",))
    with pytest.raises(EngineFailedError, match="no prices of NONE"):
        run_demo(plan, places, sidecar, lambda *_: None)


def test_fresh_places_never_take_a_used_name(tmp_path: Path) -> None:
    """Numbers go on behind every file of an earlier demo, its log included."""
    assert fresh_places(None, tmp_path).database.name == "demo-001.db"
    (tmp_path / "demo-001.sidecar.log").touch()
    (tmp_path / "demo-002.db").touch()
    places = fresh_places(None, tmp_path)
    assert places.database.name == "demo-003.db"
    assert places.beside(".json") == tmp_path / "demo-003.json"


def test_an_order_survives_its_way_to_the_process() -> None:
    """What the parent asks for is what the engine reads."""
    order = Order(PLAN, "127.0.0.1:1", Path("a"), Path("b"), Path("c"))
    assert order_from_json(order.as_json()) == order


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ([-1.0, 1.0], "not decided"),
        ([0.5, 1.0], "raised the win rate"),
        ([-1.0, -0.5], "lowered the win rate"),
        (None, "not decided"),
    ],
)
def test_the_sentence_on_the_threshold_promises_no_more_than_its_intervals(
    bounds: list[float] | None, words: str
) -> None:
    """An interval that includes zero, or none at all, is "not decided"."""
    undecided = [-1.0, 1.0]
    report = {
        "threshold": 0.8,
        "baseline": {"trade_count": 1000},
        "filtered": {"trade_count": 100},
        "improvement": {
            "intervals": {
                "win_rate_change_pct": bounds,
                "sharpe_ratio_change": undecided,
                "profit_factor_change": None,
            }
        },
    }
    assert words in threshold_text(report)
