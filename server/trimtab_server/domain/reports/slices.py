"""Ways to tell signals apart: by a field, a reading cut into bins, an attribute, or several."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from trimtab_server.domain.ledger.columns import CodeArray, Ledger
from trimtab_server.domain.statistics.estimates import FloatArray

BIN_COUNT_DEFAULT = 4
BIN_COUNT_MIN, BIN_COUNT_MAX = 2, 20
SLICE_COUNT_MAX = 3
_DIGITS = (3, 4, 6, 9, 12, 17)


class SliceField(IntEnum):
    """A field of a signal; values as in the contract."""

    STRATEGY = 1
    SYMBOL = 2
    REGIME = 3
    SIDE = 4
    SOURCE = 5


@dataclass(frozen=True, slots=True)
class Groups:
    """Which group each signal belongs to.

    codes: shape (n,), positions in names. by_strategy: groups are strategies, so the trials that
    the log knows hold them already. is_untold: of a reading or an attribute that no signal tells.
    """

    codes: CodeArray
    names: tuple[str, ...]
    by_strategy: bool = False
    is_untold: bool = False


def field_groups(ledger: Ledger, field: SliceField) -> Groups:
    """Signals by a field of theirs; where it was not told, by "no strategy" and so on."""
    if field is SliceField.SIDE:
        return Groups((ledger.side < 0).astype(np.int32), ("buy", "sell"))
    names = ledger.names
    word, codes, told = {
        SliceField.STRATEGY: ("strategy", ledger.strategy, names.strategies),
        SliceField.SYMBOL: ("symbol", ledger.symbol, names.symbols),
        SliceField.REGIME: ("regime", ledger.regime, names.regimes),
        SliceField.SOURCE: ("source", ledger.source, names.sources),
    }[field]
    return Groups(codes, tuple(name or f"no {word}" for name in told), field is SliceField.STRATEGY)


def number_groups(name: str, values: FloatArray, bin_count: int = BIN_COUNT_DEFAULT) -> Groups:
    """Signals by a reading, cut at its quantiles into bins of about equal counts.

    values: shape (n,), NaN = not told. Names are like "rsi 24.5 to 31.2"; a bin holds its lower
    edge, the last one its upper edge too. Many equal readings make fewer bins. Raises ValueError
    for a bin_count outside of 2 to 20.
    """
    if not BIN_COUNT_MIN <= bin_count <= BIN_COUNT_MAX:
        raise ValueError(f"bin_count must be {BIN_COUNT_MIN} to {BIN_COUNT_MAX}, got {bin_count}")
    told = np.isfinite(values)
    known = values[told]
    if not known.size:
        codes = np.zeros(values.size, dtype=np.int32)
        return Groups(codes, (f"{name} not told",), is_untold=True)
    # Edges are readings that occur, so neither a name nor a cut depends on interpolation.
    shares = np.linspace(0.0, 1.0, bin_count + 1)
    edges = np.unique(np.quantile(known, shares, method="higher"))
    count = max(1, edges.size - 1)
    codes = np.full(values.size, count, dtype=np.int32)
    codes[told] = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, count - 1)
    names = [f"{name} {_text(edges)[0]}"]
    if edges.size > 1:
        texts = _text(edges)
        names = [f"{name} {texts[k]} to {texts[k + 1]}" for k in range(count)]
    return Groups(codes, (*names, f"{name} not told"))


def _text(edges: FloatArray) -> list[str]:
    for digits in _DIGITS:
        texts = [f"{edge + 0.0:.{digits}g}" for edge in edges]
        if len(set(texts)) == edges.size:
            break
    return texts


def attribute_groups(name: str, codes: CodeArray, values: tuple[str, ...]) -> Groups:
    """Signals by an attribute. codes: shape (n,), positions in values; "" = not told."""
    names = tuple(f"{name} {each}" if each else f"{name} not told" for each in values)
    told = np.array([bool(each) for each in values], dtype=np.bool_)
    return Groups(codes, names, is_untold=not told[codes].any())


def combined_groups(parts: Sequence[Groups]) -> Groups:
    """Every combination that occurs, for example "momentum, rsi 24.5 to 31.2".

    Raises ValueError without parts, and for more than three.
    """
    if not 1 <= len(parts) <= SLICE_COUNT_MAX:
        raise ValueError(f"slices must be 1 to {SLICE_COUNT_MAX}, got {len(parts)}")
    if len(parts) == 1:
        return parts[0]
    codes = np.zeros(parts[0].codes.size, dtype=np.int64)
    for part in parts:
        codes = codes * len(part.names) + part.codes
    found, place = np.unique(codes, return_inverse=True)
    names = []
    for each in found.tolist():
        words = []
        for part in reversed(parts):
            each, at = divmod(each, len(part.names))  # noqa: PLW2901 - digits, last part first
            words.append(part.names[at])
        names.append(", ".join(reversed(words)))
    return Groups(place.astype(np.int32), tuple(names))
