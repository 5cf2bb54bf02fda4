"""What signals made over fixed horizons: a part of the document of signal decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab_server.domain import wording
from trimtab_server.domain.documents.document import Block, Bullets, Paragraph, Table
from trimtab_server.domain.documents.parts.words import (
    known,
    number_text,
    percent_estimate_text,
    told_notes,
)
from trimtab_server.domain.wording import plural

if TYPE_CHECKING:
    from trimtab_server.domain.reports.ages import Age
    from trimtab_server.domain.reports.horizons import HorizonResult
    from trimtab_server.domain.statistics.estimates import Estimate


def age_text(age: Age) -> str:
    """An age such as "30 min" or "7 XNYS d"."""
    return wording.age_text(age.duration_s, age.trading_days, age.calendar)


def horizon_blocks(results: Sequence[HorizonResult]) -> tuple[Block, ...]:
    """Tables of what signals made over each horizon, and what limits that."""
    if not results:
        words = "No signal has reached a horizon yet: its days have to pass, with prices."
        return (Paragraph(words),)
    made = tuple(
        (
            age_text(one.horizon),
            f"{one.matured_count:,}",
            _effective(one.mean_return),
            percent_estimate_text(one.mean_return, 2),
        )
        for one in results
    )
    moved = tuple(
        (
            age_text(one.horizon),
            percent_estimate_text(one.mean_mfe, 2),
            percent_estimate_text(one.mean_mae, 2),
            percent_estimate_text(one.mean_realized_volatility, 3),
        )
        for one in results
    )
    notes = told_notes(
        (f"{age_text(one.horizon)}, {name}", estimate)
        for one in results
        for name, estimate in (
            ("mean return", one.mean_return),
            ("mean MFE", one.mean_mfe),
            ("mean MAE", one.mean_mae),
            ("mean volatility", one.mean_realized_volatility),
        )
    )
    notes += tuple(
        f"{age_text(one.horizon)}: {plural(one.young_count, 'early result')} left out, because a "
        "signal that entered before still waits for its own."
        for one in results
        if one.young_count
    )
    notes += tuple(
        f"{age_text(one.horizon)}: {plural(one.censored_count, 'signal')} left out, because prices "
        "stopped before its end: if that tells of losses, the means are too good."
        for one in results
        if one.censored_count
    )
    return (
        Table(("horizon", "signals", "effective", "mean return"), made),
        Table(("horizon", "mean MFE", "mean MAE", "mean volatility"), moved),
        *((Bullets(notes),) if notes else ()),
        Paragraph(
            "Simulated, after costs, as if nothing had ended the position before. effective: "
            "signals after allowing for overlap. MFE, MAE: largest move for and against it until "
            "then, of the entry price. volatility: standard deviation of the log returns from "
            "close to close until then, per bar of the symbol, not per day or year; told where one "
            "symbol is in scope.",
            is_note=True,
        ),
    )


def _effective(mean: Estimate) -> str:
    """The effective sample; "-" where there is too little data to tell it."""
    return "-" if known(mean.low) is None else number_text(mean.effective_n, 0)
