"""Walk-forward calibration for the demo: only results that were known on the day are used.

Platt's line (Platt 1999; here Cox's recalibration of the log odds) is refitted every 20 trading
days on the provisional results of all signals that had matured by then. Before 200 matured signals,
or when the fit fails, the claim stays as it is and is recorded as not calibrated.
"""

import numpy as np
from scipy.special import expit, logit

from trimtab_server.demo.prices import Market
from trimtab_server.demo.strategies import Proposal
from trimtab_server.domain.calibration import RecalibrationLine, recalibration_line

REFIT_EVERY_DAYS = 20
MATURED_MIN = 200


class WalkForward:
    """Turns claims into probabilities with what was known at the time.

    results: by position of exit (a day in the market's calendar) the (claim, won) pairs that
    matured then; a day's own exits are known at that day's close.
    """

    def __init__(self, market: Market, results: dict[int, list[tuple[float, bool]]]) -> None:
        self._market = market
        self._results = results
        self._line: RecalibrationLine | None = None
        self._fitted_at: int | None = None

    def probability(self, proposal: Proposal) -> float | None:
        """Calibrated probability, 0 to 1, rounded to 1e-6; None while there is too little."""
        due = self._fitted_at is None or proposal.position - self._fitted_at >= REFIT_EVERY_DAYS
        if due:
            self._fitted_at = proposal.position
            self._fit(proposal.position)
        if self._line is None:
            return None
        odds = self._line.intercept + self._line.slope * logit(proposal.confidence)
        return round(float(expit(odds)), 6)

    def _fit(self, position: int) -> None:
        known = [
            pair
            for exit_position, pairs in self._results.items()
            if exit_position <= position
            for pair in pairs
        ]
        if len(known) < MATURED_MIN:
            return
        claims = np.array([claim for claim, _ in known])
        won = np.array([result for _, result in known], dtype=np.float64)
        self._line = recalibration_line(claims, won) or self._line
