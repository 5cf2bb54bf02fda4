"""Three guards that all answer on every signal; the first that objects hides none of the others.

`risk_tolerance` (0 to 1) scales two limits: daily volatility at most 0.08 * risk_tolerance, gross
exposure at most 2.0 * risk_tolerance of capital. At 0.5 that is 4 % a day and no leverage; at 0
nothing trades.
"""

from dataclasses import dataclass

from trimtab_server.demo.strategies import Proposal

VOLATILITY_AT_FULL_TOLERANCE = 0.08
EXPOSURE_AT_FULL_TOLERANCE = 2.0
POSITION_FRACTION = 0.05
"""Size of each position, of initial capital; exposure is counted at cost."""
STATEFUL = {"volatility": False, "exposure": True, "confidence": False}
"""The guards, in the order of their verdicts, and whether they depend on earlier trades."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the guards allow: daily volatility, gross exposure (of capital), confidence (0 to 1)."""

    volatility_max: float
    exposure_max: float
    confidence_min: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One guard's answer to one signal. exposure_before is told by the exposure guard only."""

    guard: str
    blocked: bool
    observed_value: float
    limit: float
    stateful: bool
    is_minimum: bool
    reason: str
    exposure_before: float | None = None


def limits(threshold: float, risk_tolerance: float) -> Limits:
    """The limits of a book. Raises ValueError for a value outside 0 to 1."""
    for name, value in (("threshold", threshold), ("risk tolerance", risk_tolerance)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    return Limits(
        volatility_max=VOLATILITY_AT_FULL_TOLERANCE * risk_tolerance,
        exposure_max=EXPOSURE_AT_FULL_TOLERANCE * risk_tolerance,
        confidence_min=threshold,
    )


def _verdict(
    guard: str, observed: float, limit: float, *, minimum: bool, before: float | None = None
) -> Verdict:
    blocked = observed < limit if minimum else observed > limit + 1e-9
    sign = ("<" if minimum else ">") if blocked else (">=" if minimum else "<=")
    return Verdict(
        guard=guard,
        blocked=blocked,
        observed_value=observed,
        limit=limit,
        stateful=STATEFUL[guard],
        is_minimum=minimum,
        reason=f"{guard} {observed:.4f} {sign} {limit:.4f}",
        exposure_before=before,
    )


def verdicts(proposal: Proposal, exposure: float, allowed: Limits) -> tuple[Verdict, ...]:
    """Every guard's answer, in the order of STATEFUL.

    exposure: gross, before this signal, as a fraction of capital, with entries that are approved
    and not filled yet.
    """
    return (
        _verdict("volatility", proposal.volatility, allowed.volatility_max, minimum=False),
        _verdict(
            "exposure",
            exposure + POSITION_FRACTION,
            allowed.exposure_max,
            minimum=False,
            before=exposure,
        ),
        _verdict("confidence", proposal.confidence, allowed.confidence_min, minimum=True),
    )
