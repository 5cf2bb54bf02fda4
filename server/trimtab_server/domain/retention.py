"""How long events are kept: read from words, held to the rule that what is learned from outlives
what it can be recomputed from."""

import math

from trimtab_server.domain.events import EventKind

# Bars and ticks can be had again from elsewhere; what the engine did with them cannot.
_OUTLIVING = (EventKind.SIGNAL, EventKind.DECISION, EventKind.EXECUTION, EventKind.OUTCOME)
_OUTLIVED = (EventKind.MARKET_BAR, EventKind.MARKET_TICK)


def kept_days(words: str) -> dict[EventKind, float]:
    """Days for each kind in words such as `MARKET_TICK=7,MARKET_BAR=30`; other kinds are kept for
    good, and no words keep everything.

    Raises ValueError that names the kind when one is unknown or told twice, when its days are no
    number above 0, or when signals, decisions, executions or outcomes would go before bars or
    ticks.

    >>> kept_days("MARKET_TICK=0.5")
    {<EventKind.MARKET_TICK: 12>: 0.5}
    """
    found: dict[EventKind, float] = {}
    for part in filter(None, (part.strip() for part in words.split(","))):
        name, _, days = (piece.strip() for piece in part.partition("="))
        try:
            kind = EventKind[name.upper()]
        except KeyError:
            known = ", ".join(known.name for known in EventKind)
            raise ValueError(
                f"retention: {name!r} is no kind of event; there are {known}"
            ) from None
        if kind in found:
            raise ValueError(f"retention: {kind.name} is told twice")
        found[kind] = _days(kind, days)
    for kind in _OUTLIVING:
        for other in _OUTLIVED:
            if found.get(kind, math.inf) < found.get(other, math.inf):
                raise ValueError(
                    f"retention: {kind.name} may not be kept for a shorter time than {other.name}"
                )
    return found


def _days(kind: EventKind, words: str) -> float:
    try:
        days = float(words)
    except ValueError:
        days = math.nan
    if not 0 < days < math.inf:
        raise ValueError(
            f"retention: {kind.name}={words}: days are a number above 0; leave the kind out to keep"
            " it for good"
        )
    return days
