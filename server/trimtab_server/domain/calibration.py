"""Does a claimed probability mean anything? Scores, bins and slopes of (claim, result) pairs.

`probability` is the claim, 0 to 1, shape (n,); `won` is the result, 0 or 1, shape (n,). Scores of
nothing are None. Raises ValueError for different shapes, a claim outside 0 to 1 or a result that
is neither 0 nor 1 (NaN included), naming the first place.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri

from trimtab_server.domain.statistics.estimates import FloatArray, wilson_interval

POISSON_BINOMIAL_MAX = 2000
"""Above this many claims in a bin the consistency bar uses the normal approximation."""


def checked_pairs(probability: FloatArray, won: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The pairs as flat float arrays; raises ValueError as the module says."""
    p = np.asarray(probability, dtype=np.float64).reshape(-1)
    y = np.asarray(won, dtype=np.float64).reshape(-1)
    if p.shape != y.shape:
        raise ValueError(f"{p.size} claims but {y.size} results")
    bad = np.flatnonzero(~((p >= 0) & (p <= 1)))
    if bad.size:
        raise ValueError(f"probability[{int(bad[0])}] = {p[bad[0]]} is not between 0 and 1")
    bad = np.flatnonzero(~((y == 0) | (y == 1)))
    if bad.size:
        raise ValueError(f"won[{int(bad[0])}] = {y[bad[0]]} is neither 0 nor 1")
    return p, y


def brier_score(probability: FloatArray, won: FloatArray) -> float | None:
    """Mean squared distance of claim and result, 0 (best) to 1. Source: Brier (1950)."""
    p, y = checked_pairs(probability, won)
    return float(np.mean((p - y) ** 2)) if p.size else None


def log_loss(probability: FloatArray, won: FloatArray) -> float | None:
    """Mean negative log likelihood in nats, >= 0, lower is better.

    Claims of exactly 0 or 1 are moved inside by the machine epsilon, as scikit-learn does.
    """
    p, y = checked_pairs(probability, won)
    if not p.size:
        return None
    eps = np.finfo(np.float64).eps
    p = np.clip(p, eps, 1 - eps)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def brier_skill(probability: FloatArray, won: FloatArray) -> float | None:
    """1 - Brier / Brier of always claiming the base rate: 1 perfect, 0 no better, below 0 worse.

    None without pairs, or when all won or all lost (the base rate is then perfect in hindsight).
    The base rate is that of the same sample, which is a slightly favoured opponent.
    """
    p, y = checked_pairs(probability, won)
    if not p.size or np.ptp(y) == 0:
        return None
    return float(1 - np.mean((p - y) ** 2) / np.mean((y - y.mean()) ** 2))


def ranking_score(probability: FloatArray, won: FloatArray) -> float | None:
    """Chance that a winner was claimed higher than a loser (AUC), 0.5 = no ranking at all.

    Ties count half. None unless both wins and losses are there. Source: Mann and Whitney (1947).
    """
    p, y = checked_pairs(probability, won)
    wins = int(y.sum())
    if wins in (0, p.size):
        return None
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    losses = p.size - wins
    return float((rank[y == 1].sum() - wins * (wins + 1) / 2) / (wins * losses))


@dataclass(frozen=True, slots=True)
class BrierParts:
    """Brier = reliability - resolution + uncertainty + within, exactly.

    reliability: distance of claims from win rates, bin by bin (0 is best). resolution: how far
    the bins' win rates spread (more is better). uncertainty: of always claiming the base rate.
    within: what binning hides (variance of claims in a bin less twice their covariance).
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def _bin_of(p: FloatArray, edges: FloatArray) -> FloatArray:
    if edges.ndim != 1 or edges.size < 2 or not np.all(np.diff(edges) > 0):
        raise ValueError("edges must increase and be at least two")
    if edges[0] > 0 or edges[-1] < 1:
        raise ValueError("edges must reach from 0 to 1")
    result: FloatArray = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, edges.size - 2)
    return result


def brier_decomposition(
    probability: FloatArray, won: FloatArray, edges: FloatArray
) -> BrierParts | None:
    """Murphy's parts of the Brier score over bins; None without pairs.

    edges: increasing, from 0 to 1; a bin holds its lower edge. Source: Murphy (1973), with the
    within-bin part of Stephenson, Coelho and Jolliffe (2008) so that the parts add up exactly.
    """
    p, y = checked_pairs(probability, won)
    if not p.size:
        return None
    bins = _bin_of(p, edges)
    reliability = resolution = within = 0.0
    base = y.mean()
    for k in np.unique(bins):
        inside = bins == k
        claims, results = p[inside], y[inside]
        share = inside.mean()
        reliability += share * (claims.mean() - results.mean()) ** 2
        resolution += share * (results.mean() - base) ** 2
        covariance = np.mean((claims - claims.mean()) * (results - results.mean()))
        within += share * (claims.var() - 2 * covariance)
    return BrierParts(
        float(reliability), float(resolution), float(base * (1 - base)), float(within)
    )


def calibration_error(probability: FloatArray, won: FloatArray, edges: FloatArray) -> float | None:
    """Expected calibration error: mean over claims of |claim - win rate| of their bin, 0 to 1.

    None without pairs. Biased upwards in small samples: compare with the consistency bars.
    Source: Naeini, Cooper and Hauskrecht (2015).
    """
    p, y = checked_pairs(probability, won)
    if not p.size:
        return None
    bins = _bin_of(p, edges)
    total = 0.0
    for k in np.unique(bins):
        inside = bins == k
        total += inside.mean() * abs(p[inside].mean() - y[inside].mean())
    return float(total)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Claims from `low` (included) to `high`, and how often they won.

    win_low, win_high: Wilson interval of the win rate on `effective_n`. consistent_low,
    consistent_high: where the win rate would lie 95 times in 100 if the claims were right, on
    `effective_n` too (Broecker and Smith 2007). mean_claim, win_rate: fractions.
    """

    low: float
    high: float
    n: int
    effective_n: float
    mean_claim: float
    win_rate: float
    win_low: float
    win_high: float
    consistent_low: float
    consistent_high: float

    @property
    def is_consistent(self) -> bool:
        """Whether the win rate is what the claims promise, as far as n can tell."""
        return self.consistent_low <= self.win_rate <= self.consistent_high


def consistency_bar(
    claims: FloatArray, effective_n: float, level: float = 0.95
) -> tuple[float, float]:
    """Where the win rate of these claims lies with probability `level` if they are right.

    claims: shape (m,), m >= 1. Exact (Poisson-binomial) up to 2,000 claims, normal above; for an
    effective n below m the bar widens by sqrt(m / effective_n) around the mean claim. Source:
    Broecker and Smith (2007). Raises ValueError without claims.
    """
    p = np.asarray(claims, dtype=np.float64)
    m = p.size
    if not m:
        raise ValueError("no claims")
    mean = float(p.mean())
    if m <= POISSON_BINOMIAL_MAX:
        chance = np.ones(1)
        for q in p:
            chance = np.convolve(chance, [1 - q, q])
        total = np.cumsum(chance)
        low = float(np.searchsorted(total, (1 - level) / 2 - 1e-12)) / m
        high = float(np.searchsorted(total, (1 + level) / 2 - 1e-12)) / m
    else:
        half = float(ndtri(0.5 + level / 2) * np.sqrt((p * (1 - p)).sum())) / m
        low, high = mean - half, mean + half
    wider = float(np.sqrt(m / effective_n)) if effective_n > 0 else 1.0
    return max(0.0, mean - (mean - low) * wider), min(1.0, mean + (high - mean) * wider)


def reliability_bins(
    probability: FloatArray,
    won: FloatArray,
    edges: FloatArray,
    weights: FloatArray | None = None,
    level: float = 0.95,
) -> tuple[ReliabilityBin, ...]:
    """The bins that hold claims, in order: claim against win rate, with bands; () without pairs.

    weights: uniqueness of each pair, 0 to 1; their sum in a bin is its effective n. Absent = 1.
    """
    p, y = checked_pairs(probability, won)
    w = np.ones(p.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != p.shape:
        raise ValueError(f"{p.size} claims but {w.size} weights")
    bins = _bin_of(p, edges) if p.size else p
    result = []
    for k in np.unique(bins).astype(int):
        inside = bins == k
        effective = float(w[inside].sum())
        rate = float(y[inside].mean())
        interval = wilson_interval(rate * effective, effective, level) or (0.0, 1.0)
        bar = consistency_bar(p[inside], effective, level)
        result.append(
            ReliabilityBin(
                low=float(edges[k]),
                high=float(edges[k + 1]),
                n=int(inside.sum()),
                effective_n=effective,
                mean_claim=float(p[inside].mean()),
                win_rate=rate,
                win_low=interval[0],
                win_high=interval[1],
                consistent_low=bar[0],
                consistent_high=bar[1],
            )
        )
    return tuple(result)


@dataclass(frozen=True, slots=True)
class RecalibrationLine:
    """win probability = logistic(intercept + slope * logit(claim)): 0 and 1 when claims are right.

    slope below 1: claims are too extreme; about 0: they say nothing; below 0: upside down.
    Standard errors are those of independent pairs.
    """

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float


def recalibration_line(probability: FloatArray, won: FloatArray) -> RecalibrationLine | None:
    """Logistic regression of the result on the claim's log odds, by maximum likelihood.

    Claims are clipped to 0.001..0.999. None with fewer than 10 wins or 10 losses, without any
    variation of the claim, or when the fit does not converge (separated data).
    Source: Cox (1958), "Two further applications of a model for binary regression".
    """
    p, y = checked_pairs(probability, won)
    if min(y.sum(), p.size - y.sum()) < 10 or np.ptp(p) == 0:
        return None
    x = np.column_stack([np.ones(p.size), logit(np.clip(p, 0.001, 0.999))])
    beta = np.zeros(2)
    for _ in range(50):
        fitted = expit(x @ beta)
        hessian = (x * (fitted * (1 - fitted))[:, None]).T @ x
        try:
            step = np.linalg.solve(hessian, x.T @ (y - fitted))
        except np.linalg.LinAlgError:
            return None
        beta = beta + step
        if float(np.abs(beta).max()) > 50:
            return None
        if float(np.abs(step).max()) < 1e-10:
            errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
            return RecalibrationLine(
                float(beta[0]), float(beta[1]), float(errors[0]), float(errors[1])
            )
    return None
