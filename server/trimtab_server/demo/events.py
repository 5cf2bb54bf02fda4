"""What happened in a book, as events of the contract.

Event ids are made from what the event is (run, day, kind, signal) with its time in front: UUID
version 8, time-ordered like version 7. So replaying the same run again records nothing twice.
"""

import hashlib
import uuid
from collections.abc import Callable

from trimtab_client import (
    Event,
    EventBuilder,
    ExposureRule,
    GuardVerdict,
    ThresholdRule,
    exit_plan,
    guard_verdict,
    market_context,
    market_snapshot,
)
from trimtab_server.demo.guards import POSITION_FRACTION, Verdict
from trimtab_server.demo.prices import SECTORS, Market
from trimtab_server.demo.replay import SLIPPAGE
from trimtab_server.demo.steps import (
    GATE,
    AccountMarked,
    BarClosed,
    Closed,
    DecisionMade,
    Filled,
    GateSaid,
    NotFilled,
    RegimeChanged,
    SignalMade,
    Step,
)

DAY_S = 86_400.0
_OF_BREAKERS = frozenset({"BREAKER_OPEN", "PROBE_GRANTED", "PROBES_EXHAUSTED"})
CURRENCY = "USD"
CALENDAR = "XNYS"
"""Of the holding periods, which are counted in trading days."""


def event_uuid(time_ns: int, *parts: str) -> str:
    """UUID version 8: 48 bits of milliseconds, then a digest of what the event is."""
    digest = hashlib.sha256("\x1f".join((str(time_ns), *parts)).encode()).digest()
    value = bytearray((time_ns // 1_000_000).to_bytes(6, "big") + digest[:10])
    value[6] = value[6] & 0x0F | 0x80
    value[8] = value[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(value)))


def _verdict(verdict: Verdict) -> GuardVerdict:
    before = verdict.exposure_before
    rule = (
        ThresholdRule(is_minimum=verdict.is_minimum)
        if before is None
        else ExposureRule(
            exposure_fraction=before,
            added_fraction=POSITION_FRACTION,
            exposure_fraction_max=verdict.limit,
        )
    )
    return guard_verdict(
        guard=verdict.guard,
        result="BLOCK" if verdict.blocked else "PASS",
        observed_value=verdict.observed_value,
        limit=verdict.limit,
        version="1",
        reason=verdict.reason,
        memory="STATEFUL" if verdict.stateful else "STATELESS",
        rule=rule,
    )


def _gate_verdict(said: GateSaid) -> GuardVerdict:
    return guard_verdict(
        guard=GATE,
        result="PASS" if said.allowed else "BLOCK",
        version=str(said.revision),
        reason=said.words,
        # What an operator orders does not depend on earlier trades; what a breaker does, does.
        memory="STATEFUL" if _OF_BREAKERS.intersection(said.codes) else "STATELESS",
    )


class StepEvents:
    """Turns one book's steps into events of its run.

    builder: makes envelopes of the run. applied_threshold: of the book. calibration: whether the
    threshold is held against calibrated probabilities.
    """

    def __init__(
        self, builder: EventBuilder, market: Market, applied_threshold: float, *, calibration: bool
    ) -> None:
        self._builder = builder
        self._market = market
        self._threshold = applied_threshold
        self._scale = "PROBABILITY" if calibration else "CONFIDENCE"
        self._makers: dict[type, Callable[..., Event]] = {
            BarClosed: self._bar,
            RegimeChanged: self._regime,
            SignalMade: self._signal,
            DecisionMade: self._decision,
            Filled: self._fill,
            NotFilled: self._failure,
            Closed: self._outcome,
            AccountMarked: self._account,
        }

    def event(self, step: Step) -> Event:
        """The event of that step."""
        return self._makers[type(step)](step)

    def _id(self, time_ns: int, *parts: str) -> str:
        return event_uuid(time_ns, self._builder.run_id, *parts)

    def _bar(self, bar: BarClosed) -> Event:
        time_ns = self._market.close_time_ns(bar.position)
        return self._builder.bar(
            event_id=self._id(time_ns, "bar", bar.symbol),
            symbol=bar.symbol,
            interval_s=DAY_S,
            close=bar.close,
            open=bar.detail.get("open"),
            high=bar.detail.get("high"),
            low=bar.detail.get("low"),
            volume=bar.detail.get("volume"),
            adjusted=True,
            event_time_ns=time_ns,
        )

    def _regime(self, change: RegimeChanged) -> Event:
        time_ns = self._market.close_time_ns(change.position)
        return self._builder.regime_change(
            event_id=self._id(time_ns, "regime"),
            regime=change.regime,
            previous_regime=change.previous,
            event_time_ns=time_ns,
        )

    def _signal(self, made: SignalMade) -> Event:
        proposal = made.proposal
        time_ns = self._market.close_time_ns(proposal.position)
        return self._builder.signal(
            event_id=self._id(time_ns, "signal", proposal.signal_id),
            signal_id=proposal.signal_id,
            symbol=proposal.symbol,
            strategy=proposal.strategy,
            side="BUY",
            intent="ENTRY",
            confidence=proposal.confidence,
            calibrated=made.calibrated,
            strength=proposal.strength,
            equity_fraction=POSITION_FRACTION,
            currency=CURRENCY,
            indicator_values=proposal.indicator_values,
            regime=proposal.regime,
            agreeing_model_count=proposal.agreeing_model_count,
            volatility=proposal.volatility,
            reference_price=proposal.reference_price,
            exit_plan=exit_plan(holding_trading_days=proposal.holding_days, calendar=CALENDAR),
            market_context=market_context(
                sector=SECTORS.get(proposal.symbol, ""),
                regime=proposal.regime,
                values={"breadth": proposal.breadth},
            ),
            features={
                "claimed_confidence": made.claimed,
                "holding_days": float(proposal.holding_days),
            },
            applied_threshold=self._threshold,
            event_time_ns=time_ns,
        )

    def _decision(self, decision: DecisionMade) -> Event:
        proposal = decision.proposal
        time_ns = self._market.close_time_ns(proposal.position)
        blockers = [verdict.reason for verdict in decision.verdicts if verdict.blocked]
        told = [_verdict(verdict) for verdict in decision.verdicts]
        gate = decision.gate
        if gate is not None:
            told.append(_gate_verdict(gate))
            blockers += [] if gate.allowed else [gate.words]
        return self._builder.decision(
            event_id=self._id(time_ns, "decision", proposal.signal_id),
            signal_id=proposal.signal_id,
            symbol=proposal.symbol,
            strategy=proposal.strategy,
            action="APPROVED" if decision.approved else "BLOCKED",
            guard_verdicts=told,
            market_snapshot=market_snapshot(
                price=proposal.reference_price,
                volume=decision.volume,
                volatility=proposal.volatility,
                regime=proposal.regime,
                # What slippage takes, at entry and at exit: half of it each time.
                spread_bps=2e4 * SLIPPAGE,
            ),
            applied_threshold=self._threshold,
            threshold_scale=self._scale,
            position_fraction=POSITION_FRACTION if decision.approved else 0.0,
            decision_source="GUARDS",
            gate_revision=gate.revision if gate is not None else 0,
            gate_source=gate.source if gate is not None else 0,
            reason="; ".join(blockers),
            event_time_ns=time_ns,
        )

    def _fill(self, fill: Filled) -> Event:
        proposal = fill.proposal
        time_ns = self._market.close_time_ns(fill.position)
        return self._builder.execution(
            event_id=self._id(time_ns, "execution", fill.side, proposal.signal_id),
            signal_id=proposal.signal_id,
            symbol=proposal.symbol,
            strategy=proposal.strategy,
            order_id=f"{proposal.signal_id}-{fill.side.lower()}",
            position_id=proposal.signal_id,
            side=fill.side,
            intent="ENTRY" if fill.side == "BUY" else "EXIT",
            quantity=fill.quantity,
            price=fill.price,
            expected_price=fill.expected_price,
            fee=fill.fee,
            liquidity="TAKER",
            currency=CURRENCY,
            event_time_ns=time_ns,
        )

    def _failure(self, failure: NotFilled) -> Event:
        proposal = failure.proposal
        time_ns = self._market.close_time_ns(failure.position)
        return self._builder.execution_failure(
            event_id=self._id(time_ns, "failure", proposal.signal_id),
            signal_id=proposal.signal_id,
            symbol=proposal.symbol,
            strategy=proposal.strategy,
            error_type="no_next_bar",
            message="the data ends before the close to enter at",
            event_time_ns=time_ns,
        )

    def _outcome(self, closed: Closed) -> Event:
        proposal = closed.proposal
        time_ns = self._market.close_time_ns(closed.position)
        matured = closed.return_fraction is not None
        held_ns = time_ns - self._market.close_time_ns(closed.entry_position)
        return self._builder.outcome(
            event_id=self._id(time_ns, "outcome", proposal.signal_id),
            signal_id=proposal.signal_id,
            symbol=proposal.symbol,
            strategy=proposal.strategy,
            position_id=proposal.signal_id,
            status="MATURED" if matured else "CENSORED",
            side="BUY",
            return_fraction=closed.return_fraction,
            pnl=closed.pnl,
            fees=closed.fees,
            quantity=closed.quantity,
            entry_price=closed.entry_price,
            exit_price=closed.exit_price,
            exit_reason="TIME" if matured else "END_OF_DATA",
            holding_time_s=held_ns / 1e9,
            mfe=closed.mfe,
            mae=closed.mae,
            realized_volatility=closed.realized_volatility,
            confidence_used=proposal.confidence,
            calibrated=closed.calibrated,
            applied_threshold=self._threshold,
            currency=CURRENCY,
            event_time_ns=time_ns,
        )

    def _account(self, account: AccountMarked) -> Event:
        time_ns = self._market.close_time_ns(account.position)
        return self._builder.account(
            event_id=self._id(time_ns, "account"),
            equity=account.equity,
            cash=account.equity - account.exposure,
            exposure=account.exposure,
            currency=CURRENCY,
            event_time_ns=time_ns,
        )
