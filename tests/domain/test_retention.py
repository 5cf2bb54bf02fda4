"""How long events are kept, as told in words."""

import pytest

from trimtab_server.domain.events import EventKind
from trimtab_server.domain.retention import kept_days


def test_kinds_and_days_are_read() -> None:
    """In any order and case, with spaces; nothing told keeps everything."""
    assert kept_days("") == kept_days(" , ") == {}
    assert kept_days("market_tick = 7, MARKET_BAR=0.5,") == {
        EventKind.MARKET_TICK: 7.0,
        EventKind.MARKET_BAR: 0.5,
    }


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("TICK=1", "'TICK' is no kind of event"),
        ("=1", "'' is no kind of event"),
        ("MARKET_TICK=1,MARKET_TICK=2", "MARKET_TICK is told twice"),
        *((f"MARKET_TICK={days}", "MARKET_TICK=") for days in ("-1", "0", "nan", "inf", "x", "")),
        ("MARKET_TICK", "MARKET_TICK="),
    ],
)
def test_a_mistake_names_the_kind(words: str, named: str) -> None:
    """Unknown kinds, repeated kinds, days that are no number above 0."""
    with pytest.raises(ValueError, match=r"^retention: ") as error:
        kept_days(words)
    assert named in str(error.value)


@pytest.mark.parametrize("kind", ["SIGNAL", "DECISION", "EXECUTION", "OUTCOME"])
def test_what_the_engine_did_outlives_bars_and_ticks(kind: str) -> None:
    """It may go with them or after them, never before; bars that stay for good outlive all."""
    assert len(kept_days(f"{kind}=9,MARKET_BAR=9,MARKET_TICK=1")) == 3
    for words in (f"{kind}=9", f"{kind}=9,MARKET_BAR=9", f"{kind}=9,MARKET_BAR=9,MARKET_TICK=9.1"):
        with pytest.raises(ValueError, match=f"{kind} may not be kept for a shorter time"):
            kept_days(words)
