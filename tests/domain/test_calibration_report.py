import json
from dataclasses import replace

import numpy as np
import pytest

from trimtab_server.domain.calibration_report import (
    CalibrationVerdict,
    calibration_report,
    design_effect,
    gap_sample_size,
)
from trimtab_server.domain.documents.calibration_page import (
    calibration_html,
    calibration_json,
    calibration_markdown,
)
from trimtab_server.domain.statistics.estimates import Estimate
from trimtab_server.domain.trades import DAY_NS, Trade, TradeStatus

INFORMATIVE = CalibrationVerdict.INFORMATIVE


def world(
    seed: int, n: int = 600, *, slope: float = 0.0, day_shock: float = 0.0, per_day: int = 2
) -> list[Trade]:
    """Trades of one day each; slope 1 = right claims, 0 = empty ones, -1 = upside down.

    day_shock: standard deviation, in log odds, of what all trades of a day share.
    """
    rng = np.random.default_rng(seed)
    claim = rng.uniform(0.3, 0.9, n)
    day = np.arange(n) // per_day
    shock = rng.normal(0, day_shock, day.max() + 1)[day]
    if day_shock:
        # Claims that follow the day: without blocks of days this looks like skill.
        claim = np.clip(claim + 0.2 * rng.normal(size=day.max() + 1)[day], 0.05, 0.95)
    odds = slope * np.log(claim / (1 - claim)) + shock
    won = rng.random(n) < 1 / (1 + np.exp(-odds))
    return [
        Trade(
            f"o{k}", f"s{k}", "m", f"S{k % 5}", int(day[k]) * DAY_NS, (int(day[k]) + 1) * DAY_NS,
            float(claim[k]), 0.01 if won[k] else -0.01,
        )
        for k in range(n)
    ]  # fmt: skip


def test_right_claims_are_informative_and_empty_ones_are_not() -> None:
    """The verdict follows the world: ranks, does not rank, ranks upside down."""
    for slope, verdict in (
        (1.0, INFORMATIVE),
        (0.0, CalibrationVerdict.UNINFORMATIVE),
        (-1.0, CalibrationVerdict.INVERTED),
    ):
        found = calibration_report(
            world(4, 2000, slope=slope, per_day=5), np.random.default_rng(1), count=300
        )
        assert found.verdict is verdict
        assert found.outcomes_needed is None


@pytest.mark.parametrize("day_shock", [0.0, 1.0], ids=["independent", "days move together"])
def test_empty_claims_are_seldom_called_informative(day_shock: float) -> None:
    """Null world: at most 2.5 % plus three Monte-Carlo errors of 100 worlds, each side."""
    verdicts = [
        calibration_report(
            world(1000 + seed, 500, day_shock=day_shock), np.random.default_rng(seed), count=100
        ).verdict
        for seed in range(100)
    ]
    for verdict in (INFORMATIVE, CalibrationVerdict.INVERTED):
        assert verdicts.count(verdict) / 100 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 100)


def test_few_trades_are_too_few_and_say_how_many_are_missing() -> None:
    """60 perfect trades give no verdict but the number still needed, in plain words."""
    found = calibration_report(world(3, 60, slope=1.0), np.random.default_rng(1), count=200)
    assert found.verdict is CalibrationVerdict.TOO_FEW
    assert found.outcomes_needed is not None
    assert found.outcomes_needed > 100
    assert f"{found.outcomes_needed:,} more independent outcomes" in found.summary


def test_few_losses_are_too_few_whatever_the_sample() -> None:
    """2,000 wins and a dozen losses cannot tell claims apart."""
    trades = [
        Trade(f"o{k}", f"s{k}", "m", "A", k * DAY_NS, k * DAY_NS, 0.6, -0.1 if k < 12 else 0.1)
        for k in range(2000)
    ]
    found = calibration_report(trades, np.random.default_rng(1), count=100)
    assert found.verdict is CalibrationVerdict.TOO_FEW
    assert found.outcomes_needed


def test_no_trades_give_a_report_and_no_error() -> None:
    """Nothing to judge is a result in every format."""
    for trades in (
        [],
        [Trade("o", "s", "m", "A", 0, 1, 0.6, None, None, TradeStatus.CENSORED)],
    ):
        found = calibration_report(trades, np.random.default_rng(1))
        assert found.n == 0
        assert found.verdict is CalibrationVerdict.TOO_FEW
        assert "nothing to judge" in found.summary
        json.dumps(calibration_json(found), allow_nan=False)
        assert "nothing to judge" in calibration_html(found, "none")
        assert "nothing to judge" in calibration_markdown(found, "none")


def test_a_claim_out_of_range_is_an_error() -> None:
    """A confidence of 70 is a mistake of the data, never silently clipped."""
    with pytest.raises(ValueError, match="not between 0 and 1"):
        calibration_report([Trade("o", "s", "m", "A", 0, 1, 70.0, 0.1)], np.random.default_rng(1))


def test_one_single_claim_has_no_halves() -> None:
    """When every trade claims the same the gap is undefined and the verdict too few."""
    trades = [
        Trade(f"o{k}", f"s{k}", "m", "A", k * DAY_NS, k * DAY_NS, 0.6, 0.1 if k % 2 else -0.1)
        for k in range(500)
    ]
    found = calibration_report(trades, np.random.default_rng(1), count=100)
    assert found.half_gap.value is None
    assert found.verdict is CalibrationVerdict.TOO_FEW
    assert "undefined" in found.summary


def test_overlapping_trades_are_worth_less() -> None:
    """The same trades held ten times as long on few symbols are a smaller effective sample."""
    short = calibration_report(world(5), np.random.default_rng(1), count=100)
    long_trades = [
        Trade(
            t.outcome_id, t.signal_id, t.strategy, "A", t.entry_time_ns,
            t.entry_time_ns + 10 * DAY_NS, t.confidence, t.return_fraction,
        )
        for t in world(5)
    ]  # fmt: skip
    long = calibration_report(long_trades, np.random.default_rng(1), count=100)
    assert long.effective_n < short.effective_n / 5
    assert long.longest_hold_days == 10


def test_days_that_move_together_widen_the_interval_and_shrink_the_sample() -> None:
    """The design effect is about one for independent trades and clearly above for shared days."""
    alone = calibration_report(world(6, 1500, per_day=5), np.random.default_rng(1), count=400)
    shared = calibration_report(
        world(6, 1500, per_day=5, day_shock=2.0), np.random.default_rng(1), count=400
    )
    assert alone.design_effect < 1.6
    assert shared.design_effect > 1.8
    assert shared.effective_n < alone.effective_n


def test_design_effect_by_hand_and_of_nothing() -> None:
    """Twice the standard error is four times the variance; without an interval it is one."""
    half = 2 * 1.959963985 * np.sqrt(0.25 / 100)
    wide = Estimate(0.5, 0.5 - half, 0.5 + half, 100, 100)
    assert design_effect(wide, 100) == pytest.approx(4)
    assert design_effect(Estimate(0.5, None, None, 100, 100), 100) == 1
    assert design_effect(Estimate(1.0, 1.0, 1.0, 100, 100), 100) == 1


def test_needed_sample_for_a_gap_is_the_textbook_one() -> None:
    """Ten points around one half at 80 % power: 785 outcomes; nonsense is refused."""
    assert gap_sample_size(0.5, 0.1) == pytest.approx(784.9, abs=0.1)
    with pytest.raises(ValueError, match="win_rate"):
        gap_sample_size(1.0, 0.1)


def test_the_needed_sample_does_decide() -> None:
    """With the sample that the formula asks for, a gap of 10 points is found 8 times in 10."""
    n = int(gap_sample_size(0.5, 0.10))
    rng = np.random.default_rng(8)
    upper = rng.binomial(n // 2, 0.55, 4000) / (n // 2)
    lower = rng.binomial(n // 2, 0.45, 4000) / (n // 2)
    error = np.sqrt((upper * (1 - upper) + lower * (1 - lower)) / (n // 2))
    assert np.mean((upper - lower) / error > 1.96) == pytest.approx(0.8, abs=0.03)


def test_every_format_tells_the_same_numbers() -> None:
    """JSON, Markdown and HTML carry the summary and the bins; the page asks for nothing."""
    found = calibration_report(world(9, 500, slope=1.0), np.random.default_rng(1), count=200)
    plain = calibration_json(found)
    json.dumps(plain, allow_nan=False)
    assert sum(one["n"] for one in plain["bins"]) == found.n == 500
    page = calibration_html(found, "these <trades>")
    markdown = calibration_markdown(found, "these")
    for text in (page, markdown):
        assert f"{found.bins[0].win_rate:.1%}" in text
        assert found.summary.split("[")[0] in text
    assert "these &lt;trades&gt;" in page
    for request in ("<script", "http://", "https://", "src=", "@import", "url("):
        assert request not in page


def test_a_copy_of_the_data_adds_no_precision() -> None:
    """Every trade twice: the slope's standard error stays, in the report and in its JSON."""
    once = world(11, 600, slope=1.0)
    twice = [*once, *(replace(t, outcome_id=f"{t.outcome_id}b") for t in once)]
    errors = []
    for trades in (once, twice):
        found = calibration_report(trades, np.random.default_rng(1), count=300)
        assert found.line is not None
        shown = calibration_json(found)["recalibration"]["slope_error"]
        assert shown == found.line.slope_error
        errors.append(shown)
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_the_longest_holding_period_is_the_true_one() -> None:
    """Not rounded up to the blocks; absent when no trade tells it."""
    long = [replace(t, exit_time_ns=t.entry_time_ns + int(1.39 * DAY_NS)) for t in world(5)]
    found = calibration_report(long, np.random.default_rng(1), count=50)
    assert found.longest_hold_days == pytest.approx(1.39)
    assert found.block_days == 2
    assert "1.39 days" in calibration_markdown(found, "")
    none = [replace(t, exit_time_ns=t.entry_time_ns) for t in world(5)]
    found = calibration_report(none, np.random.default_rng(1), count=50)
    assert found.longest_hold_days is None
    assert "longest holding period" not in calibration_markdown(found, "").split("Only matured")[0]


def test_rank_and_level_are_answered_apart() -> None:
    """Claims that rank well and are all too high: yes to the one, no to the other."""
    trades = [
        replace(t, confidence=min(0.99, (t.confidence or 0) + 0.25))
        for t in world(12, 1500, slope=2.0, per_day=5)
    ]
    found = calibration_report(trades, np.random.default_rng(1), count=300)
    assert "Does it rank? Yes" in found.summary
    assert "Is the level right? No:" in found.summary
    assert "overconfident by +" in found.summary
