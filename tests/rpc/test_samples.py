"""What an event tells the breakers: each payload, and what tells them nothing."""

import pytest

from tests.rpc.samples import KINDS, an_event
from trimtab.v1 import event_pb2 as ev
from trimtab_server.domain.gate.breaker_record import SampleKind
from trimtab_server.domain.gate.signal_gate import Scope, World
from trimtab_server.rpc.samples import sample_of

_KIND_OF = {
    "execution": SampleKind.EXECUTED,
    "execution_failure": SampleKind.EXECUTION_FAILED,
    "outcome": SampleKind.OUTCOME,
    "market_bar": SampleKind.MARKET_DATA,
    "market_tick": SampleKind.MARKET_DATA,
}


@pytest.mark.parametrize("payload", KINDS)
def test_every_payload_tells_what_it_should(payload: str) -> None:
    """Fills, failures, outcomes and market data; nothing else, a shadow outcome neither."""
    sample = sample_of(an_event(payload).SerializeToString())
    assert (sample.kind if sample else None) == _KIND_OF.get(payload)


def test_a_sample_has_the_event_s_own_names() -> None:
    """Scope, signal and time; the run counts in BACKTEST alone."""
    event = an_event("execution", strategy="momentum", model_name="trend", run_id="r")
    event.event_time.nanos = 7
    sample = sample_of(event.SerializeToString())
    assert sample is not None
    assert sample.scope == Scope(event.source, "momentum", "BTC-USDT", "trend")
    assert sample.signal_id == event.signal_id
    assert sample.time_ns == event.event_time.seconds * 10**9 + 7
    assert sample.world == World(int(ev.ENVIRONMENT_PAPER), "")
    event.environment = ev.ENVIRONMENT_BACKTEST
    again = sample_of(event.SerializeToString())
    assert again is not None
    assert again.world == World(int(ev.ENVIRONMENT_BACKTEST), "r")


@pytest.mark.parametrize("payload", _KIND_OF)
def test_a_correction_counts_nothing_twice(payload: str) -> None:
    """What it corrects was counted; a corrected price is still a sign of life."""
    event = an_event(payload, corrects_event_id="0190c8a4-0000-7000-8000-000000000001")
    is_market = payload.startswith("market_")
    assert (sample_of(event.SerializeToString()) is not None) == is_market


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"outcome.return_fraction": 0.01}, (0.01, True)),
        ({"outcome.return_fraction": 0.0}, (0.0, False)),
        ({"outcome.return_fraction": -0.01}, (-0.01, False)),
        ({"outcome.return_fraction": 0.01, "outcome.won": False}, (0.01, False)),
        ({"outcome.return_fraction": None, "outcome.won": True}, (None, True)),
        ({"outcome.status": ev.OUTCOME_STATUS_CENSORED}, None),
        ({"outcome.status": ev.OUTCOME_STATUS_CORRECTED}, None),
        ({"outcome.horizon.trading_days": 5}, None),
    ],
)
def test_outcomes_count_when_they_are_final_and_a_position_s_own(
    fields: dict[str, object], told: tuple[float | None, bool] | None
) -> None:
    """Neither censored, nor corrected, nor over a horizon; a return of nothing is no win."""
    sample = sample_of(an_event("outcome", **fields).SerializeToString())
    assert ((sample.return_fraction, sample.won) if sample else None) == told
