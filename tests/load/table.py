"""Rows of the bench's table: pairs of measurements in, medians and ratios out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

HEAD = ("what", "ours", "reference", "ratio (median, min-max)", "target", "met")


@dataclass(frozen=True)
class Row:
    """One measured thing: ours beside its reference, a pair a round.

    target: the bound of the ratio, None = for information; at_least: whether it is a lower one."""

    name: str
    unit: str
    reference: str
    pairs: Sequence[tuple[float, float]]
    target: float | None = None
    at_least: bool = False

    @property
    def ratios(self) -> list[float]:
        """Ours / reference, by round."""
        return [ours / reference for ours, reference in self.pairs]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self._is_within(self.ratio, self.target)

    def _is_within(self, ratio: float, target: float) -> bool:
        return ratio >= target if self.at_least else ratio <= target

    @property
    def verdict(self) -> str:
        """Met or missed, by how much of the target, and whether all rounds agree."""
        if self.target is None:
            return "-"
        words = "met" if self.met else f"MISSED by {abs(self.ratio / self.target - 1):.0%}"
        agreed = len({self._is_within(ratio, self.target) for ratio in self.ratios}) == 1
        return words if agreed else f"{words} (not in every round)"

    def cells(self) -> tuple[str, ...]:
        """The row as words."""
        ours, reference = (median(each) for each in zip(*self.pairs, strict=True))
        sign = ">=" if self.at_least else "<="
        return (
            self.name,
            f"{number(ours)} {self.unit}",
            f"{number(reference)} {self.unit} ({self.reference})",
            f"{self.ratio:.3g} ({min(self.ratios):.3g}-{max(self.ratios):.3g})",
            "-" if self.target is None else f"{sign} {self.target:g}",
            self.verdict,
        )

    def as_json(self) -> dict[str, Any]:
        """The row as data."""
        return {
            "name": self.name,
            "unit": self.unit,
            "reference": self.reference,
            "pairs": [list(pair) for pair in self.pairs],
            "ratio": self.ratio,
            "target": self.target,
            "at_least": self.at_least,
            "met": self.met,
        }


@dataclass
class Report:
    """All rows, and what is told below them."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The table in columns, for a terminal."""
        cells = [HEAD, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in cells]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*map(str.rstrip, lines), "", *self.notes, *self._failures()])

    def markdown(self) -> str:
        """The table in Markdown."""
        cells = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in self.rows)]
        lines = [f"| {' | '.join(row)} |" for row in cells]
        return "\n".join([*lines, "", *(f"- {n}" for n in [*self.notes, *self._failures()]), ""])

    def as_json(self) -> dict[str, Any]:
        """Everything as data."""
        rows = [row.as_json() for row in self.rows]
        return {"rows": rows, "notes": self.notes, "failures": self.failures}

    def _failures(self) -> list[str]:
        return [f"FAILED: {words}" for words in self.failures]


def number(value: float) -> str:
    """A number with three or four digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
