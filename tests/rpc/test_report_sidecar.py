"""Reports of a real sidecar: from recorded events through its ledger to answers, and its end while
workers work."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sidecar
from trimtab_client import (
    Client,
    EventBuilder,
    NotFound,
    Unavailable,
    confidence_threshold,
    exit_plan,
    guard_off,
    guard_verdict,
    report_scope,
    scenario,
    scenario_axis,
)

START_NS = 1_700_000_000 * 10**9
MINUTE_NS = 60 * 10**9
SIGNALS = 24
SCOPE = report_scope(environment="BACKTEST", run_id="r1")


def day_of_trading() -> list[Any]:
    """Two signals an hour over twelve hours, every third blocked by `volatility`, with a bar a
    minute."""
    built = EventBuilder(source="alpha", environment="BACKTEST", run_id="r1")
    events: list[Any] = []
    for minute in range(SIGNALS * 30 + 60):
        at = START_NS + minute * MINUTE_NS
        price = 100.0 + (minute % 40) * 0.05 + minute * 0.001
        events.append(
            built.bar(
                symbol="AAPL",
                interval_s=60,
                open=price,
                high=price + 0.1,
                low=price - 0.1,
                close=price,
                volume=1e6,
                event_time_ns=at,
            )
        )
        if minute % 30 or minute >= SIGNALS * 30:
            continue
        number = minute // 30
        told: dict[str, Any] = {"signal_id": f"s{number}", "symbol": "AAPL", "strategy": "momentum"}
        blocked = number % 3 == 0
        events.append(
            built.signal(
                side="BUY",
                confidence=0.5 + 0.01 * number,
                exit_plan=exit_plan(holding_period_s=1_200),
                event_time_ns=at + 10**9,
                **told,
            )
        )
        verdict = guard_verdict(
            guard="volatility",
            result="BLOCK" if blocked else "PASS",
            observed_value=0.05 if blocked else 0.01,
            limit=0.04,
            memory="STATELESS",
        )
        action = "BLOCKED" if blocked else "APPROVED"
        events.append(
            built.decision(
                action=action, guard_verdicts=[verdict], event_time_ns=at + 2 * 10**9, **told
            )
        )
    return events


@pytest.fixture
def traded(sidecar: Callable[..., Sidecar]) -> Sidecar:
    """A sidecar that holds a day of trading."""
    one = sidecar("--reports", '{"workers_max": 1}')
    events = day_of_trading()
    with Client(one.address) as client:
        for start in range(0, len(events), 500):
            client.record_events(events[start : start + 500], timeout_s=30)
    return one


def test_what_was_just_recorded_is_in_the_report(traded: Sidecar) -> None:
    """Every kind of report, from events to numbers; the sidecar stays well."""
    with Client(traded.address) as client:
        last = client.get_server_info().last_sequence
        told: dict[str, Any] = {"scope": SCOPE, "after_sequence": last}
        guards = client.get_guard_effectiveness(**told)
        counts = guards.head.counts
        assert (counts.signal_count, counts.blocked_count) == (SIGNALS, SIGNALS // 3)
        assert counts.shadow_matured_count == SIGNALS
        assert guards.head.through_sequence >= last
        [line] = guards.guards
        assert (line.guard, line.blocked_count) == ("volatility", SIGNALS // 3)
        assert line.value.HasField("value")
        assert client.get_learning_report(format="HTML", **told).head.rendered
        assert client.get_blocked_opportunity_cost(**told).cost.matured_count == SIGNALS // 3
        assert client.get_strategy_leaderboard(**told).lines[0].name == "momentum"
        assert client.compare_performance(**told).comparison.unfiltered.trade_count == SIGNALS
        assert client.get_signal_decay(**told).head.counts.signal_count == SIGNALS
        what_if = client.run_what_if(scenario=scenario(guard_off("volatility")), **told)
        assert what_if.result.added_count == SIGNALS // 3
        axes = [scenario_axis(*(confidence_threshold(n / 10) for n in range(10)))]
        sweep = list(client.run_what_if_sweep(axes=axes, **told))
        found = [each.index for message in sweep for each in message.results]
        assert sorted(found) == list(range(10))
        assert list(client.list_learning_reports().reports) == []
        with pytest.raises(NotFound):
            client.get_learning_report(report_id="none")
    assert traded.terminate() == 0
    assert '"level": "error"' not in traded.log, traded.log


def test_a_sidecar_that_is_told_to_stop_leaves_no_worker(traded: Sidecar) -> None:
    """In the middle of a sweep: its reader is told, and every process is gone with it."""
    axes = [
        scenario_axis(*(confidence_threshold(n / 1_000) for n in range(500))),
        scenario_axis(guard_off("volatility"), guard_off("*")),
    ]
    with Client(traded.address) as client:
        sweep = client.run_what_if_sweep(scope=SCOPE, axes=axes)
        next(sweep)
        workers = children(traded.pid)
        assert workers
        assert traded.terminate() == 0
        with pytest.raises(Unavailable) as refused:
            list(sweep)
        assert refused.value.reason in ("SHUTTING_DOWN", "")
    while any(Path(f"/proc/{each}").exists() for each in workers):
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid:
            found.append(int(path.parent.name))
    return found
