"""Events as an engine sends them: a valid one of every kind, and ways to spoil one field."""

import time
from typing import Any
from uuid import UUID, uuid4

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from trimtab.v1 import event_pb2 as ev

SOURCE = "alpha-1"
# A minute ago: in the past of every test, and of today.
RECENT_S = int(time.time()) - 60


def new_id() -> str:
    """A fresh UUID in canonical form."""
    return str(uuid4())


def id_of(number: int) -> str:
    """The same UUID for the same number."""
    return str(UUID(int=number))


_PLAIN: dict[str, Message] = {
    "signal": ev.Signal(side=ev.SIDE_BUY, intent=ev.INTENT_ENTRY, confidence=0.8),
    "decision": ev.Decision(
        action=ev.DECISION_ACTION_BLOCKED,
        guard_verdicts=[
            ev.GuardVerdict(guard="volatility", result=ev.GUARD_RESULT_BLOCK),
            ev.GuardVerdict(guard="spread", result=ev.GUARD_RESULT_PASS),
        ],
    ),
    "order_update": ev.OrderUpdate(state=ev.ORDER_STATE_FILLED, side=ev.SIDE_SELL),
    "execution": ev.Execution(
        side=ev.SIDE_BUY,
        quantity=2.0,
        price=101.5,
        allocations=[ev.Allocation(signal_id="s-1", quantity=2.0)],
    ),
    "execution_failure": ev.ExecutionFailure(error_type="insufficient_margin"),
    "position_update": ev.PositionUpdate(state=ev.POSITION_STATE_OPENED, quantity=2.0),
    "account_snapshot": ev.AccountSnapshot(equity=10_000.0, currency="USD"),
    "outcome": ev.Outcome(status=ev.OUTCOME_STATUS_MATURED, return_fraction=0.012),
    "shadow_outcome": ev.ShadowOutcome(
        outcome=ev.Outcome(status=ev.OUTCOME_STATUS_CENSORED), fill_model="mid-1"
    ),
    "prediction": ev.Prediction(probability=0.6),
    "market_bar": ev.MarketBar(interval=Duration(seconds=60), close=101.0),
    "market_tick": ev.MarketTick(bid=100.9, ask=101.1),
    "corporate_action": ev.CorporateAction(action=ev.CORPORATE_ACTION_KIND_SPLIT, ratio=2.0),
    "regime_change": ev.RegimeChange(regime="Trending_Up"),
    "risk_breach": ev.RiskBreach(rule="daily_loss", severity=ev.SEVERITY_CRITICAL),
    "metric_recorded": ev.MetricRecorded(name="sharpe_ratio", value=1.4),
}
KINDS = tuple(_PLAIN)


def an_event(kind: str = "signal", **fields: Any) -> ev.Event:
    """A valid event of a kind under a fresh id; `fields` replace those of its envelope."""
    event = ev.Event(
        event_id=new_id(),
        source=SOURCE,
        environment=ev.ENVIRONMENT_PAPER,
        event_time=Timestamp(seconds=RECENT_S),
        signal_id="s-1",
        symbol="BTC-USDT",
    )
    getattr(event, kind).CopyFrom(_PLAIN[kind])
    for name, value in fields.items():
        spoil(event, name, value)
    return event


def spoil(message: Message, path: str, value: Any) -> None:
    """Sets the field at a dotted path; None clears it, a dict or list goes into a map or list."""
    *parents, name = path.split(".")
    for parent in parents:
        step, _, index = parent.partition("[")
        message = getattr(message, step)
        if index:
            message = message[int(index.rstrip("]"))]  # type: ignore[index]
    if value is None:
        message.ClearField(name)
    elif isinstance(value, dict):
        getattr(message, name).update(value)
    elif isinstance(value, list):
        getattr(message, name).extend(value)
    elif isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)
