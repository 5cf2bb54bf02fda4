"""Every way in which one event can be wrong: what is done to a valid one, and what is then told.

One table for unary calls, batches and streams: the answer must be the same on each way in.
"""

import math
from typing import Any, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tests.rpc.samples import RECENT_S, an_event, new_id, spoil
from trimtab.v1 import event_pb2 as ev

INF, NAN = math.inf, math.nan
END_S = 7_258_118_400  # 2200-01-01


class Bad(NamedTuple):
    """A field of a valid event of a kind, the value it gets, and the path at fault (the field's
    own, unless told)."""

    what: str
    kind: str
    path: str
    value: Any
    at: str = ""
    reason: str = "INVALID_FIELD"

    def event(self) -> ev.Event:
        """The spoiled event, under a fresh id."""
        event = an_event(self.kind)
        spoil(event, self.path, self.value)
        return event

    @property
    def field(self) -> str:
        """The path that must be named."""
        return self.at or self.path


def _times(path: str) -> list[Bad]:
    values = {
        "before 1970": Timestamp(seconds=-1),
        "after 2200": Timestamp(seconds=END_S),
        "far beyond": Timestamp(seconds=2**62),
        "negative nanos": Timestamp(seconds=RECENT_S, nanos=-1),
        "nanos of a second": Timestamp(seconds=RECENT_S, nanos=10**9),
    }
    return [Bad(f"{path} {what}", "signal", path, value) for what, value in values.items()]


def _spans(kind: str, path: str) -> list[Bad]:
    values = {
        "negative": Duration(seconds=-1),
        "negative nanos": Duration(nanos=-1),
        "nanos of a second": Duration(nanos=10**9),
        "a thousand years": Duration(seconds=1_000 * 366 * 86_400),
        "largest": Duration(seconds=2**63 - 1),
    }
    return [Bad(f"{path} {what}", kind, path, value) for what, value in values.items()]


def _numbers(kind: str, path: str, *values: float) -> list[Bad]:
    return [Bad(f"{path} {value}", kind, path, value) for value in values]


_GUARDS = [ev.GuardVerdict(guard=f"g{i}", result=ev.GUARD_RESULT_PASS) for i in range(63)]
_NAMES = ("strategy", "symbol", "model_name", "model_version", "source")
_IDS = ("run_id", "signal_id", "order_id", "position_id", "correlation_id", "causation_id")

IDENTITY = [
    Bad("no id", "signal", "event_id", None),
    Bad("id in upper case", "signal", "event_id", "A" + new_id()[1:]),
    Bad("id in braces", "signal", "event_id", "{" + new_id() + "}"),
    Bad("id without dashes", "signal", "event_id", new_id().replace("-", "")),
    Bad("id of words", "signal", "event_id", "not-a-uuid"),
    Bad("id with a line end", "signal", "event_id", new_id() + "\n"),
    Bad("giant id", "signal", "event_id", "f" * 20_000),
    Bad("no source", "signal", "source", None),
    Bad("no payload", "signal", "signal", None, "payload"),
    Bad("UNSPECIFIED environment", "signal", "environment", 0),
    Bad("unknown environment", "signal", "environment", 4),
    Bad("negative environment", "signal", "environment", -1),
    Bad("no run of a backtest", "signal", "environment", ev.ENVIRONMENT_BACKTEST, "run_id"),
    Bad("no time", "signal", "event_time", None),
    Bad("time ahead", "signal", "event_time", Timestamp(seconds=RECENT_S + 7_200)),
    Bad("known before", "signal", "available_time", Timestamp(seconds=RECENT_S - 1)),
    *_times("event_time"),
    *_times("available_time"),
    *(Bad(f"no signal of a {kind}", kind, "signal_id", None) for kind in ("signal", "decision")),
    *(Bad(f"no signal of an {k}", k, "signal_id", None) for k in ("outcome", "shadow_outcome")),
    *(Bad(f"no symbol of a {k}", k, "symbol", None) for k in ("market_bar", "market_tick")),
    Bad("no symbol of an action", "corporate_action", "symbol", None),
    *(Bad(f"long {name}", "signal", name, "x" * 65) for name in _NAMES),
    *(Bad(f"giant {name}", "signal", name, "x" * 30_000) for name in (*_NAMES, *_IDS)),
    *(Bad(f"long {name}", "signal", name, "x" * 129) for name in _IDS),
    *(Bad(f"NUL in {name}", "signal", name, "a\x00b") for name in (*_NAMES, *_IDS)),
    Bad("control in symbol", "signal", "symbol", "BTC\x9f"),
    Bad("wide long symbol", "signal", "symbol", "😀" * 65),
    Bad("correction of no id", "signal", "corrects_event_id", "the-one-before"),
    Bad("short traceparent", "signal", "traceparent", "00-1-2-01"),
    Bad("later traceparent", "signal", "traceparent", f"01-{'a' * 32}-{'b' * 16}-01"),
    Bad("giant traceparent", "signal", "traceparent", "00-" * 9_000),
    Bad("empty key", "signal", "attributes", {"": "x"}, "attributes['']"),
    Bad("NUL in key", "signal", "attributes", {"a\x00": "x"}, "attributes['a\\x00']"),
    Bad("long key", "signal", "attributes", {"k" * 65: "x"}, f"attributes['{'k' * 65}']"),
    Bad("giant value", "signal", "attributes", {"k": "x" * 1_025}, "attributes['k']"),
    Bad("large map", "signal", "attributes", {f"k{i}": "" for i in range(257)}),
    Bad("too large", "signal", "attributes", {f"k{i}": "x" * 700 for i in range(100)}, "", "?"),
]

PAYLOAD = [
    *_numbers("signal", "signal.confidence", NAN, INF, -INF, -0.01, 1.01, 1e308),
    *_numbers("signal", "signal.strength", NAN, INF),
    *_numbers("signal", "signal.expected_return", NAN, -INF),
    *_numbers("signal", "signal.quantity", 0.0, -1.0, NAN, INF),
    *_numbers("signal", "signal.notional", -0.0, -5e-324),
    *_numbers("signal", "signal.equity_fraction", 0.0, INF),
    *_numbers("signal", "signal.agreeing_model_count", -1, -(2**31)),
    *_numbers("signal", "signal.market_context.vix", -1.0, NAN),
    *_numbers("signal", "signal.exit_plan.stop_loss_price", 0.0, -1.0),
    Bad("no side", "signal", "signal.side", None),
    Bad("unknown side", "signal", "signal.side", 3),
    Bad("unknown intent", "signal", "signal.intent", 2**31 - 1),
    Bad("long currency", "signal", "signal.currency", "x" * 65),
    Bad("NaN in map", "signal", "signal.features", {"rsi": NAN}, "signal.features['rsi']"),
    Bad("inf in map", "signal", "signal.features", {"a": 1.0, "b": INF}, "signal.features['b']"),
    Bad("large map", "signal", "signal.features", {f"k{i}": 1.0 for i in range(257)}),
    Bad("giant thesis", "signal", "signal.thesis.text", "x" * 4_097),
    Bad("zero plan", "signal", "signal.exit_plan.holding_period", Duration()),
    *_spans("signal", "signal.exit_plan.holding_period"),
    Bad("unknown action", "decision", "decision.action", 5),
    Bad("no action", "decision", "decision.action", None),
    *_numbers("decision", "decision.propensity", 0.0, 1.5, -1.0, NAN),
    Bad("negative revision", "decision", "decision.gate_revision", -(2**63)),
    Bad("unnamed guard", "decision", "decision.guard_verdicts[1].guard", None),
    Bad("guard twice", "decision", "decision.guard_verdicts[1].guard", "volatility"),
    Bad("no result", "decision", "decision.guard_verdicts[0].result", 0),
    Bad("many", "decision", "decision.guard_verdicts", _GUARDS),
    Bad(
        "no period",
        "decision",
        "decision.guard_verdicts[0].loss_limit",
        ev.LossLimitRule(period_return=-0.1),
        "decision.guard_verdicts[0].loss_limit.period",
    ),
    Bad("no quantity", "execution", "execution.quantity", 0.0),
    *_numbers("execution", "execution.price", 0.0, -1.0, NAN, INF),
    *_numbers("execution", "execution.fee", NAN, INF),
    Bad("part of none", "execution", "execution.allocations[0].signal_id", None),
    Bad("many parts", "execution", "execution.allocations", [ev.Allocation()] * 256),
    Bad("no kind", "execution_failure", "execution_failure.error_type", None),
    Bad("no state", "position_update", "position_update.state", None),
    Bad("no currency", "account_snapshot", "account_snapshot.currency", None),
    Bad("long currency", "account_snapshot", "account_snapshot.currency", "x" * 17),
    *_numbers("account_snapshot", "account_snapshot.equity", NAN, INF),
    Bad("no return", "outcome", "outcome.return_fraction", None),
    Bad("unknown exit", "outcome", "outcome.exit_reason", 9),
    Bad("corrects nothing", "outcome", "outcome.status", 3, "corrects_event_id"),
    Bad("no horizon", "outcome", "outcome.horizon", ev.Horizon(), "outcome.horizon.duration"),
    Bad(
        "days of no calendar",
        "outcome",
        "outcome.horizon.trading_days",
        5,
        "outcome.horizon.calendar",
    ),
    *_spans("outcome", "outcome.holding_time"),
    Bad("no outcome", "shadow_outcome", "shadow_outcome.outcome", None),
    Bad("no fill model", "shadow_outcome", "shadow_outcome.fill_model", None),
    Bad(
        "no simulated return",
        "shadow_outcome",
        "shadow_outcome.outcome.status",
        1,
        "shadow_outcome.outcome.return_fraction",
    ),
    *_numbers("prediction", "prediction.probability", -0.5, 2.0),
    Bad("no interval", "market_bar", "market_bar.interval", None),
    *_numbers("market_bar", "market_bar.close", 0.0, -0.0, NAN),
    *_numbers("market_bar", "market_bar.open", 0.0),
    *_numbers("market_tick", "market_tick.bid", 0.0, -1.0),
    Bad("no action", "corporate_action", "corporate_action.action", 0),
    Bad("no ratio of a split", "corporate_action", "corporate_action.ratio", None),
    Bad("no equity", "account_snapshot", "account_snapshot.equity", None),
    Bad(
        "a trace of zeros",
        "signal",
        "traceparent",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    ),
    Bad("no regime", "regime_change", "regime_change.regime", ""),
    Bad("no severity", "risk_breach", "risk_breach.severity", None),
    Bad("no name", "metric_recorded", "metric_recorded.name", None),
    Bad("no prices", "market_tick", "market_tick", ev.MarketTick(), "market_tick.last_price"),
    Bad(
        "the server's own",
        "signal",
        "recorder_loss",
        ev.RecorderLoss(first_seq=1, last_seq=2, reason=ev.LOSS_REASON_UNSENDABLE),
    ),
]

BAD_EVENTS = [
    bad if bad.reason != "?" else bad._replace(reason="EVENT_TOO_LARGE", at="")
    for bad in IDENTITY + PAYLOAD
]
