"""Ledgers with guards for what-if, and the question put in one line."""

import numpy as np

from tests.domain.ledgers import a_ledger
from tests.domain.small_desk import VOLATILITY
from trimtab_server.domain.ledger.columns import (
    APPROVED,
    BLOCK,
    BLOCKED,
    PASS,
    STATELESS,
    Ledger,
    Names,
    Predictions,
    Verdicts,
)
from trimtab_server.domain.reports.scenarios import (
    Change,
    Scenario,
)
from trimtab_server.domain.reports.what_if import ScenarioResult, WhatIf

SEED = 5


def what_if(
    ledger: Ledger, *changes: Change, predictions: Predictions | None = None
) -> ScenarioResult:
    """The answer, with the same chance for all."""
    rng = np.random.default_rng(SEED)
    return WhatIf(ledger, predictions).result(Scenario(changes), rng)


def counts(result: ScenarioResult) -> tuple[int, int, int]:
    """Kept, added and removed trades."""
    return result.kept_count, result.added_count, result.removed_count


def random_ledger(n: int, seed: int, **columns: object) -> Ledger:
    """Signals with three overlapping guards, of which two tell what they measured."""
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.random(n), 2)
    volatility = np.round(rng.random(n) * 0.1, 3)
    news = rng.random(n) < 0.2
    shown = np.stack([confidence, volatility, np.full(n, np.nan)], axis=1)
    limits = np.array([0.6, 0.05, np.nan])
    blocks = np.stack([confidence < 0.6, volatility > 0.05, news], axis=1)
    verdicts = Verdicts(
        start=np.arange(n + 1, dtype=np.int64) * 3,
        guard=np.tile(np.arange(3, dtype=np.int32), n),
        result=np.where(blocks, BLOCK, PASS).astype(np.int8).ravel(),
        memory=np.full(3 * n, STATELESS, dtype=np.int8),
        rule=np.tile(np.array([1, 1, 0], dtype=np.int8), n),
        is_minimum=np.tile(np.array([1, 0, 0], dtype=np.int8), n),
        observed=shown.ravel(),
        limit=np.tile(limits, n),
        detail=np.full(3 * n, np.nan),
    )
    told: dict[str, object] = {
        "action": np.where(blocks.any(axis=1), BLOCKED, APPROVED),
        "confidence": confidence,
        "expected_return": np.round(rng.random(n) * 0.02, 3),
        "shadow_return": rng.normal(0.001, 0.01, n),
        "size": np.full(n, 1_000.0),
    }
    names = Names(guards=("confidence", VOLATILITY, "news"))
    return a_ledger(n, names=names, verdicts=verdicts, **(told | columns))  # type: ignore[arg-type]
