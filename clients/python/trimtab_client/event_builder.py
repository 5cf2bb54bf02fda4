"""Builders that hand the event back, for unary recording and for tests."""

from __future__ import annotations

from trimtab_client.event import Event
from trimtab_client.market_events import MarketEvents
from trimtab_client.outcome_events import OutcomeEvents
from trimtab_client.ring import EventClass
from trimtab_client.trade_events import TradeEvents


class EventBuilder(TradeEvents[Event], OutcomeEvents[Event], MarketEvents[Event]):
    """The recording methods of Trimtab, but each returns the Event and records nothing.

    >>> EventBuilder(source="alpha-1", environment="PAPER").metric(name="sharpe_ratio").source
    'alpha-1'
    """

    def _emit(self, event: Event, event_class: EventClass) -> Event:
        return event
