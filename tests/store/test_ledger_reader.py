"""Reading the ledger: every column as it was told, and what belongs to signals."""

from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store.conftest import Backend
from tests.store.ledger_facts import (
    GUARDS,
    LANE,
    SECOND_NS,
    START_NS,
    Opened,
    a_decision,
    a_markout,
    a_prediction,
    a_shadow,
    a_signal,
    a_trade,
    an_account,
    an_outcome,
    event_id,
    write,
)
from trimtab_server.domain.ledger.columns import (
    COLUMNS,
    Ledger,
    LedgerScope,
    ResultStatus,
    column_dtype,
)
from trimtab_server.domain.ledger.facts import Lane, signal_key
from trimtab_server.store.ledger_reader import LedgerReader
from trimtab_server.store.store import Store

PAPER = LedgerScope(2)
_DAY_S = 86_400


def _row(ledger: Ledger, index: int = 0) -> dict[str, Any]:
    return {name: getattr(ledger, name)[index].item() for name in COLUMNS}


def test_every_column_comes_back_as_it_was_told(store: Store, reader: LedgerReader) -> None:
    """All that facts tell of one signal, with the type that the domain declares."""
    write(store, a_signal(1), a_decision(1), an_outcome(1), a_shadow(1), a_trade(1))
    ledger = reader.load(PAPER)
    names, row = ledger.names, _row(ledger)
    for name in ("strategy", "symbol", "regime", "source"):
        plural = {"strategy": names.strategies, "symbol": names.symbols}
        of = plural | {"regime": names.regimes, "source": names.sources}
        row[name] = of[name][row[name]]
    assert row == {
        "signal_key": signal_key(LANE, "s1"),
        "source": "alpha",
        "strategy": "momentum",
        "symbol": "BTCUSDT",
        "regime": "calm",
        "side": 1,
        "signal_time_ns": START_NS + SECOND_NS,
        "is_calibrated": 1,
        "decision_time_ns": START_NS + SECOND_NS + 10**6,
        "action": 2,
        "spread_bps": 5.0,
        "confidence": 0.7,
        "expected_return": 0.012,
        "volatility": 0.02,
        "reference_price": 100.0,
        "size": 2_000.0,
        "position_fraction": 0.02,
        "applied_threshold": 0.65,
        "holding_s": 3_600.0,
        "first_fill_time_ns": START_NS + 2 * SECOND_NS,
        "real_status": ResultStatus.MATURED,
        "real_entry_time_ns": START_NS + 2 * SECOND_NS,
        "real_exit_time_ns": START_NS + 3_601 * SECOND_NS,
        "real_return": 0.03,
        "real_pnl": 60.0,
        "shadow_status": ResultStatus.MATURED,
        "shadow_entry_time_ns": START_NS + 3 * SECOND_NS,
        "shadow_exit_time_ns": START_NS + 1_801 * SECOND_NS,
        "shadow_return": 0.02,
        "shadow_optimistic": 0.025,
        "shadow_pessimistic": 0.015,
        "shadow_gross": 0.023,
        "shadow_spread_cost": 0.001,
        "shadow_fee_cost": 0.0015,
        "shadow_carry_cost": 0.0005,
        "shadow_mfe": 0.05,
        "shadow_mae": 0.02,
        "shadow_volatility": 0.03,
        "shadow_flags": 5,
    }
    for name in COLUMNS:
        column = getattr(ledger, name)
        assert column.dtype == column_dtype(name)
        assert column.flags.c_contiguous


def test_verdicts_come_back_with_their_signal(store: Store, reader: LedgerReader) -> None:
    """Of each signal those of its decision, in their order, whatever order signals came in."""
    write(store, a_signal(2), a_decision(2, verdicts=GUARDS[1:]), a_signal(1), a_decision(1))
    write(store, a_signal(3), a_signal(0), a_decision(0, verdicts=()))
    ledger = reader.load(PAPER)
    verdicts = ledger.verdicts
    assert ledger.names.guards == ("positions", "volatility")
    assert verdicts.start.tolist() == [0, 0, 2, 3, 3]
    assert verdicts.guard.tolist() == [1, 0, 0]
    assert verdicts.result.tolist() == [2, 1, 1]
    assert verdicts.memory.tolist() == [1, 2, 2]
    assert verdicts.rule.tolist() == [1, 2, 2]
    assert verdicts.is_minimum.tolist() == [0, 0, 0]
    assert verdicts.observed.tolist() == [0.05, 1.0, 1.0]
    assert verdicts.limit.tolist() == [0.04, 3.0, 3.0]
    assert np.array_equal(verdicts.detail, [nan, 1.0, 1.0], equal_nan=True)


def test_a_signal_of_which_nothing_else_is_told(store: Store, reader: LedgerReader) -> None:
    """Numbers that are not known are NaN, times 0, names ""; its shadow result is pending."""
    nothing = dict.fromkeys(
        ("confidence", "expected_return", "size", "volatility", "reference_price", "threshold"), nan
    )
    names = {"strategy": "", "symbol": "", "regime": "", "model": ""}
    write(store, a_signal(1, **nothing, **names, size_kind=0, holding_ns=0, is_calibrated=False))
    row = _row(reader.load(PAPER))
    known = {"signal_key", "source", "side", "signal_time_ns", "shadow_status"}
    for name in set(COLUMNS) - known:
        if column_dtype(name).kind == "f":
            assert np.isnan(row[name]), name
        else:
            assert row[name] == 0, name
    assert row["shadow_status"] == ResultStatus.PENDING


def test_an_empty_ledger_loads_as_empty_arrays(reader: LedgerReader) -> None:
    """Of the declared types, and so do all that belong to signals."""
    ledger = reader.load(PAPER)
    assert len(ledger) == 0
    assert all(getattr(ledger, name).dtype == column_dtype(name) for name in COLUMNS)
    assert ledger.verdicts.start.tolist() == [0]
    assert ledger.names.strategies == ("",)
    assert [each.row.size for each in reader.load_ages(PAPER, ledger)] == [0, 0]
    assert reader.load_predictions(PAPER, ledger).row.size == 0
    indicators = reader.load_contexts(PAPER, ledger, "indicator", "rsi")
    assert isinstance(indicators, np.ndarray)
    assert indicators.size == 0
    assert reader.bounds(PAPER) == (0, 0, 0, 0, 0)
    assert (reader.worlds(), reader.load_trials(PAPER), reader.through_sequence()) == ([], 0, 0)


# -- what really happened, sizes ------------------------------------------------------------------

_NONE, _PENDING = ResultStatus.NONE, ResultStatus.PENDING
_MATURED, _CENSORED = ResultStatus.MATURED, ResultStatus.CENSORED


@pytest.mark.parametrize(
    ("told", "status", "entry_s", "exit_s", "result"),
    [
        ((), _NONE, None, None, nan),
        ((an_outcome(1),), _MATURED, 2, 3_601, 0.03),
        ((an_outcome(1, holding_ns=-1),), _MATURED, 1, 3_601, 0.03),
        ((an_outcome(1, holding_ns=-1), a_trade(1)), _MATURED, 2, 3_601, 0.03),
        ((a_trade(1),), _MATURED, 2, 3_001, 0.037),
        ((a_trade(1, is_attributed=False),), _NONE, None, None, nan),
        ((a_trade(1, status=1, return_fraction=0.5),), _PENDING, 2, None, nan),
        ((a_trade(1, status=0),), _NONE, None, None, nan),
        # It tells whether it won, not what it made.
        ((an_outcome(1, return_fraction=nan),), _NONE, None, None, nan),
        ((an_outcome(1, return_fraction=nan), a_trade(1)), _MATURED, 2, 3_001, 0.037),
        # Still open then, and closed before or after.
        ((an_outcome(1, status=2, return_fraction=nan),), _CENSORED, 2, 3_601, nan),
        ((an_outcome(1, status=2), a_trade(1)), _CENSORED, 2, 3_601, nan),
        (
            (an_outcome(1, status=2), a_trade(1, exit_time_ns=START_NS + 4_000 * SECOND_NS)),
            _MATURED,
            2,
            4_000,
            0.037,
        ),
        ((an_outcome(1, status=2), a_trade(1, status=1)), _CENSORED, 2, 3_601, nan),
    ],
)
def test_what_really_happened(
    tmp_path: Path,
    told: tuple[Any, ...],
    status: int,
    entry_s: int | None,
    exit_s: int | None,
    result: float,
) -> None:
    """An Outcome with a return, else fills that are closed and in no doubt, else what is open."""
    files = Backend("sqlite", tmp_path)
    write(files.open(), a_signal(1), *told)
    with Opened(files.url()) as reader:
        ledger = reader.load(PAPER)
    files.close()
    times = [0 if each is None else START_NS + each * SECOND_NS for each in (entry_s, exit_s)]
    assert ledger.real_status.tolist() == [status]
    assert [ledger.real_entry_time_ns[0], ledger.real_exit_time_ns[0]] == times
    assert np.array_equal(ledger.real_return, [result], equal_nan=True)
    assert np.isnan(ledger.real_pnl[0]) == np.isnan(result)


@pytest.mark.parametrize(
    ("changes", "others", "size", "fraction"),
    [
        ({}, (), 2_000.0, 0.4),
        ({"reference_price": nan}, (a_decision(5, position_fraction=nan),), 2_001.0, 0.4002),
        ({"reference_price": nan}, (), nan, nan),
        ({"reference_price": nan}, (a_trade(5),), 2_004.0, 0.4008),
        ({"size_kind": 2, "size": 500.0}, (), 500.0, 0.1),
        ({"size_kind": 3, "size": 0.05}, (), 250.0, 0.05),
        ({"size_kind": 3, "size": 0.05}, (a_decision(5),), 250.0, 0.02),
        ({"size_kind": 0, "size": nan}, (a_decision(5),), 100.0, 0.02),
        ({"size_kind": 0, "size": nan}, (a_trade(5),), 2_004.0, 0.4008),
        ({"size_kind": 0, "size": nan}, (a_trade(5, is_attributed=False),), nan, nan),
    ],
)
def test_sizes_in_money(
    tmp_path: Path, changes: dict[str, Any], others: tuple[Any, ...], size: float, fraction: float
) -> None:
    """What was asked for, at the price that was known; a fraction of the latest equity; else what
    was filled."""
    files = Backend("sqlite", tmp_path)
    accounts = (an_account(0, 9_000.0), an_account(5, 5_000.0), an_account(6, 1.0))
    write(files.open(), a_signal(5, **changes), *accounts, *others)
    with Opened(files.url()) as reader:
        ledger = reader.load(PAPER)
    files.close()
    assert ledger.size == pytest.approx([size], nan_ok=True)
    assert ledger.position_fraction == pytest.approx([fraction], nan_ok=True)


def test_equity_is_that_of_the_own_lane_at_or_before(store: Store, reader: LedgerReader) -> None:
    """Not another engine's, not a later one; before the first there is none."""
    beta = Lane("beta", 2, "")
    asked = {"size_kind": 3, "size": 0.5}
    write(store, *(a_signal(number, **asked) for number in (1, 4, 8)))
    write(store, a_signal(8, lane=beta, **asked))
    write(store, an_account(3, 100.0), an_account(8, 200.0), an_account(2, 7.0, lane=beta))
    write(store, an_account(3, 300.0, event_id=event_id(1), corrects_id=event_id(10**6 + 3)))
    ledger = reader.load(replace(PAPER, source="alpha"))
    assert np.array_equal(ledger.size, [nan, 150.0, 100.0], equal_nan=True)
    late = replace(PAPER, start_ns=START_NS + 8 * SECOND_NS)
    assert sorted(reader.load(late).size.tolist()) == [3.5, 100.0]


def test_planned_holding_periods(store: Store, reader: LedgerReader) -> None:
    """In seconds, the shorter of two; trading days last as many days as they do on average."""
    write(store, a_signal(1, holding_ns=0, holding_days=5, calendar="XNYS"))
    write(store, a_signal(2, holding_days=5, calendar="XNYS"), a_signal(3, holding_ns=0))
    write(store, a_signal(4, holding_ns=0, holding_days=5, calendar="24/7"))
    expected = [7.0 * _DAY_S, 3_600.0, nan, 5.0 * _DAY_S]
    assert reader.load(PAPER).holding_s == pytest.approx(expected, nan_ok=True)


# -- what belongs to signals ----------------------------------------------------------------------


def test_markouts_and_horizons_belong_to_their_signal(store: Store, reader: LedgerReader) -> None:
    """By row and age, each age once; those of other signals and of what never entered are left out;
    a horizon whose prices stopped is told as such, and gives no return to the curve."""
    write(store, a_signal(1), a_signal(2), a_signal(3), a_signal(4, symbol="other"))
    write(store, a_shadow(1, markouts=(a_markout(60, 0.01), a_markout(120, 0.02))))
    write(
        store,
        a_shadow(2, age_ns=60 * SECOND_NS, gross=0.5, markouts=(a_markout(60, 0.4),)),
        a_shadow(2, trading_days=5, calendar="XNYS", gross=0.6),
        a_shadow(2, age_ns=600 * SECOND_NS, status=2, markouts=(a_markout(90, 0.45),)),
        a_shadow(3, age_ns=60 * SECOND_NS, flags=8),
        a_shadow(4, age_ns=60 * SECOND_NS),
    )
    scope = replace(PAPER, symbol="BTCUSDT")
    ledger = reader.load(scope)
    found, horizons = reader.load_ages(scope, ledger)
    assert found.calendars == ("", "XNYS")
    assert found.row.tolist() == [0, 0, 1, 1, 1]
    assert found.age_s.tolist() == [60.0, 120.0, 60.0, 90.0, 7.0 * _DAY_S]
    assert found.trading_days.tolist() == [0, 0, 0, 0, 5]
    assert found.calendar.tolist() == [0, 0, 0, 0, 1]
    assert found.return_fraction.tolist() == [0.01, 0.02, 0.4, 0.45, 0.6]
    assert [found.row.dtype.name, found.trading_days.dtype.name] == ["int64", "int32"]
    assert found.until_s.tolist() == [0.0, 0.0, 60.0, 600.0, 7.0 * _DAY_S]
    assert horizons.row.tolist() == [1, 1, 1]
    assert horizons.age_s.tolist() == [60.0, 600.0, 7.0 * _DAY_S]
    assert horizons.is_censored.tolist() == [False, True, False]
    assert horizons.calendars == ("", "XNYS")
    assert horizons.calendar.tolist() == [0, 0, 1]
    assert horizons.gross.tolist() == [0.5, 0.023, 0.6]
    told = a_shadow(2)
    assert horizons.entry_ns.tolist() == [told.entry_time_ns] * 3
    assert horizons.ended_ns.tolist() == [told.time_ns] * 3
    assert [getattr(horizons, name).tolist() for name in ("mfe", "mae", "volatility")] == [
        [0.05] * 3,
        [0.02] * 3,
        [0.03] * 3,
    ]


def test_predictions_are_the_latest_of_each_model(store: Store, reader: LedgerReader) -> None:
    """By row and model; of signals that the ledger holds."""
    write(store, a_signal(1), a_signal(2), a_prediction(3, "tree", 0.9))
    write(store, a_prediction(2, "tree", 0.6), a_prediction(2, "gbm", 0.7))
    later = a_prediction(2, "tree", 0.65, event_id=event_id(9_999))
    write(store, a_prediction(1, "tree", 0.5), later)
    ledger = reader.load(PAPER)
    found = reader.load_predictions(PAPER, ledger)
    assert ledger.names.models == ("", "gbm", "tree")
    assert found.row.tolist() == [0, 1, 1]
    assert found.model.tolist() == [2, 1, 2]
    assert found.probability.tolist() == [0.5, 0.7, 0.65]
    assert found.model.dtype == np.int32


def test_what_is_predicted_later_changes_nothing(store: Store, reader: LedgerReader) -> None:
    """A prediction counts when it could be known at the decision (without one, at the signal),
    whatever its own time says, corrections too."""
    write(store, a_signal(1), a_decision(1), a_signal(2))
    decided_ns, told_ns = a_decision(1).time_ns, a_signal(2).time_ns
    write(store, a_prediction(1, "gbm", 0.5), a_prediction(2, "gbm", 0.55))
    write(store, a_prediction(1, "gbm", 0.6, event_id=event_id(7), available_ns=decided_ns))
    before = reader.load_predictions(PAPER, reader.load(PAPER))
    assert before.probability.tolist() == [0.6, 0.55]
    for number, known_ns in ((1, decided_ns + 1), (2, told_ns + 1)):
        later = a_prediction(number, "gbm", 0.9, event_id=event_id(8), available_ns=known_ns)
        outcome_ns = an_outcome(number).time_ns
        write(store, later, later._replace(corrects_id=event_id(7), available_ns=known_ns + 5))
        write(store, a_prediction(number, "gbm", 0.99, time_ns=outcome_ns))
        write(store, a_prediction(number, "tree", 0.99, time_ns=outcome_ns))
    after = reader.load_predictions(PAPER, reader.load(PAPER))
    assert after.probability.tolist() == [0.6, 0.55]
    assert after.row.tolist() == [0, 1]


def test_fill_models_are_never_mixed(store: Store, reader: LedgerReader) -> None:
    """Of several the one with the most results counts, wherever another one told later; markouts
    are its, and what only another one followed has no result and is not pending."""
    write(store, *(a_signal(number) for number in range(5)))
    for number, fee in ((0, 0.01), (1, 0.01), (3, 0.01)):
        told_ns = START_NS + (number + 9_000) * SECOND_NS
        old = a_shadow(number, fee_cost=fee, time_ns=told_ns, event_id=event_id(number + 50))
        write(store, old._replace(markouts=(a_markout(60, 0.9),)))
        write(store, old._replace(age_ns=SECOND_NS, gross=0.9))
    assert reader.load(PAPER).names.fill_model == "v1"
    # The first of them was followed again: a tie in count is broken by time.
    new = {"fill_model": "v2", "fee_cost": 0.02}
    for number in (0, 1, 2):
        write(store, a_shadow(number, markouts=(a_markout(60, 0.1),), **new))
    write(store, a_shadow(0, status=2, time_ns=START_NS, event_id=event_id(99)))
    assert reader.load(PAPER).names.fill_model == "v1"
    write(store, a_signal(5), a_shadow(5, **new))
    ledger = reader.load(PAPER)
    found, _ = reader.load_ages(PAPER, ledger)
    assert ledger.names.fill_model == "v2"
    assert np.array_equal(
        ledger.shadow_fee_cost, [0.02, 0.02, 0.02, nan, nan, 0.02], equal_nan=True
    )
    statuses = [_MATURED, _MATURED, _MATURED, _NONE, _PENDING, _MATURED]
    assert ledger.shadow_status.tolist() == statuses
    assert found.row.tolist() == [0, 1, 2]
    assert found.return_fraction.tolist() == [0.1, 0.1, 0.1]


def test_contexts_by_kind_and_name(store: Store, reader: LedgerReader) -> None:
    """Numbers with NaN for what was not told, texts as codes; other names of the kind are not
    mixed in."""
    told = b'{"a":{"desk":"\xc3\xa9ast"},"f":{"rsi":2.0},"i":{"rsi":24.5,"adx":3.0}}'
    write(store, a_signal(1, context=told), a_signal(2), a_signal(3, context=b'{"i":{"adx":1.0}}'))
    ledger = reader.load(PAPER)
    for kind, value in (("indicator", 24.5), ("feature", 2.0)):
        found = reader.load_contexts(PAPER, ledger, kind, "rsi")
        assert isinstance(found, np.ndarray)
        assert np.array_equal(found, [value, nan, nan], equal_nan=True)
    codes, names = reader.load_contexts(PAPER, ledger, "attribute", "desk")
    assert (codes.tolist(), names) == ([1, 0, 0], ("", "éast"))
    assert codes.dtype == np.int32
    with pytest.raises(ValueError, match="indicator, feature, attribute"):
        reader.load_contexts(PAPER, ledger, "mood", "rsi")
