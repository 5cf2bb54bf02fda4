import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from trimtab_server.domain.calibration import (
    brier_decomposition,
    brier_score,
    brier_skill,
    calibration_error,
    consistency_bar,
    log_loss,
    ranking_score,
    recalibration_line,
    reliability_bins,
)
from trimtab_server.domain.statistics.estimates import FloatArray

TENTHS = np.linspace(0, 1, 11)


def pairs(seed: int, n: int = 400, slope: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """Claims and results; slope 1 = the claims are right, 0 = they say nothing."""
    rng = np.random.default_rng(seed)
    claim = rng.uniform(0.05, 0.95, n)
    odds = slope * np.log(claim / (1 - claim))
    return claim, (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    """Brier, log loss and AUC agree with sklearn.metrics, ties and certain claims included."""
    claim, won = pairs(seed)
    claim[:20] = np.round(claim[:20], 1)
    claim[0], claim[1] = 0.0, 1.0
    assert brier_score(claim, won) == pytest.approx(metrics.brier_score_loss(won, claim))
    assert log_loss(claim, won) == pytest.approx(metrics.log_loss(won, claim), rel=1e-9)
    assert ranking_score(claim, won) == pytest.approx(metrics.roc_auc_score(won, claim))


def test_golden_scores_by_hand() -> None:
    """Two claims of 0.8, one right: Brier 0.34, log loss mean of -ln 0.8 and -ln 0.2."""
    claim, won = np.array([0.8, 0.8]), np.array([1.0, 0.0])
    assert brier_score(claim, won) == pytest.approx(0.34)
    assert log_loss(claim, won) == pytest.approx(-(np.log(0.8) + np.log(0.2)) / 2)
    assert brier_skill(claim, won) == pytest.approx(1 - 0.34 / 0.25)
    assert calibration_error(claim, won, TENTHS) == pytest.approx(0.3)
    assert ranking_score(claim, won) == 0.5


def test_scores_of_nothing_are_none() -> None:
    """No pairs, or results that never differ, leave a score undefined."""
    empty = np.empty(0)
    for score in (brier_score, log_loss, brier_skill, ranking_score, recalibration_line):
        assert score(empty, empty) is None
    assert calibration_error(empty, empty, TENTHS) is None
    assert brier_decomposition(empty, empty, TENTHS) is None
    assert reliability_bins(empty, empty, TENTHS) == ()
    all_won = np.ones(30)
    assert brier_skill(all_won * 0.5, all_won) is None
    assert ranking_score(all_won * 0.5, all_won) is None


@pytest.mark.parametrize(
    ("claim", "won", "words"),
    [
        ([0.5, np.nan], [1, 0], r"probability\[1\]"),
        ([0.5, 1.2], [1, 0], r"probability\[1\]"),
        ([0.5, 0.5], [1, 0.5], r"won\[1\]"),
        ([0.5], [1, 0], "1 claims but 2 results"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(
    claim: list[float], won: list[float], words: str
) -> None:
    """The message names the first wrong place."""
    with pytest.raises(ValueError, match=words):
        brier_score(np.array(claim), np.array(won))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80))
def test_the_parts_of_the_brier_score_add_up(items: list[tuple[float, bool]]) -> None:
    """reliability - resolution + uncertainty + within = Brier, exactly, whatever the bins."""
    claim = np.array([p for p, _ in items])
    won = np.array([float(y) for _, y in items])
    parts = brier_decomposition(claim, won, TENTHS)
    assert parts is not None
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert total == pytest.approx(brier_score(claim, won), abs=1e-12)
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= 0


@pytest.mark.parametrize("edges", [[0.1, 1.0], [0.0, 0.9], [0.0, 0.0, 1.0], [0.0]])
def test_bins_must_reach_from_zero_to_one(edges: list[float]) -> None:
    """A claim outside every bin would disappear."""
    with pytest.raises(ValueError, match="edges"):
        calibration_error(np.array([0.5]), np.array([1.0]), np.array(edges))


def test_bins_hold_every_claim_once_and_their_rate_lies_in_its_interval() -> None:
    """A claim on an edge belongs above it, 1.0 to the last bin; counts add up."""
    claim = np.array([0.0, 0.1, 0.1, 0.55, 1.0])
    bins = reliability_bins(claim, np.array([0.0, 1, 0, 1, 1]), TENTHS)
    assert [(one.low, one.n) for one in bins] == [(0.0, 1), (0.1, 2), (0.5, 1), (0.9, 1)]
    for one in bins:
        assert one.win_low <= one.win_rate <= one.win_high


def test_consistency_bar_of_equal_claims_is_the_binomial_one() -> None:
    """30 claims of 0.7: the 2.5 % and 97.5 % points of Binomial(30, 0.7) / 30."""
    expected = stats.binom(30, 0.7).ppf([0.025, 0.975]) / 30
    assert consistency_bar(np.full(30, 0.7), 30.0) == pytest.approx(tuple(expected))


def test_consistency_bar_of_many_claims_uses_the_normal_and_fits_the_exact_one() -> None:
    """At the switch both forms agree; a smaller effective sample widens the bar."""
    claims = np.random.default_rng(1).uniform(0.3, 0.9, 2001)
    exact, normal = consistency_bar(claims[:2000], 2000.0), consistency_bar(claims, 2001.0)
    assert normal == pytest.approx(exact, abs=0.002)
    wide = consistency_bar(claims, 500.0)
    assert wide[0] < normal[0]
    assert wide[1] > normal[1]
    with pytest.raises(ValueError, match="claims"):
        consistency_bar(np.empty(0), 1.0)


def test_right_claims_stay_within_their_consistency_bars() -> None:
    """Over 200 worlds of right claims about 95 % of bins lie within their bars, not fewer."""
    inside = total = 0
    for seed in range(200):
        bins = reliability_bins(*pairs(seed, 300), TENTHS)
        inside += sum(one.is_consistent for one in bins)
        total += len(bins)
    assert 0.94 <= inside / total <= 0.99


@pytest.mark.parametrize("slope", [1.0, 0.4])
def test_recalibration_line_is_that_of_scikit_learn(slope: float) -> None:
    """Newton's method ends where unpenalised logistic regression does; the truth is in 2 errors."""
    claim, won = pairs(11, 5000, slope)
    line = recalibration_line(claim, won)
    assert line is not None
    odds = np.log(claim / (1 - claim))[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds, won)
    assert line.slope == pytest.approx(model.coef_[0, 0], abs=1e-4)
    assert line.intercept == pytest.approx(model.intercept_[0], abs=1e-4)
    assert abs(line.slope - slope) < 3 * line.slope_error


def test_recalibration_needs_both_results_and_a_varying_claim() -> None:
    """Few losses, one single claim, or separated data give None."""
    claim = np.linspace(0.1, 0.9, 100)
    assert recalibration_line(claim, np.r_[np.ones(95), np.zeros(5)]) is None
    assert recalibration_line(np.full(100, 0.6), np.r_[np.ones(50), np.zeros(50)]) is None
    assert recalibration_line(claim, (claim > 0.5).astype(np.float64)) is None
