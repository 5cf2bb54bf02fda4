import pytest

from trimtab_server.domain.imports.guard_columns import (
    BLOCK,
    NOT_EVALUATED,
    PASS,
    GuardCell,
    guard_cells,
    guard_columns,
    threshold_guards,
    verdict,
    with_rules,
)
from trimtab_server.domain.imports.trade_columns import Cell


def cell(result: str, observed: float | None = None, limit: float | None = None) -> GuardCell:
    """What a guard called "g" said."""
    return GuardCell("g", result, observed, limit, is_stateful=False)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("pass", PASS), ("BLOCK", BLOCK), ("true", PASS), ("false", BLOCK), (1, PASS), (0, BLOCK),
        (True, PASS), ("1.0", PASS), ("", NOT_EVALUATED), (None, NOT_EVALUATED),
        ("GUARD_RESULT_BLOCK", BLOCK), ("skipped", NOT_EVALUATED), (float("nan"), NOT_EVALUATED),
    ],
)  # fmt: skip
def test_verdicts_are_read_in_every_spelling(word: Cell, expected: str) -> None:
    """Words, flags and numbers; an empty cell means that the guard did not look."""
    assert verdict(word) == expected


def test_yes_may_mean_that_it_blocked() -> None:
    """Turned round, flags change their meaning and words do not."""
    assert [verdict(word, true_blocks=True) for word in (1, 0, "pass", "block")] == [
        BLOCK, PASS, PASS, BLOCK,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="neither pass nor block"):
        verdict("maybe")


def test_columns_are_found_with_what_belongs_to_them() -> None:
    """Both prefixes, in any case; value, limit and memory go to their guard."""
    header = ["symbol", "guard:Volatility", "guard:Volatility_value", "Guard_volatility_limit",
              "guard_spread", "guard_spread_stateful", "guardian"]  # fmt: skip
    found = guard_columns(header, {})
    assert [one.guard for one in found] == ["Volatility", "spread"]
    assert found[0].columns == (
        "guard:Volatility",
        "guard:Volatility_value",
        "Guard_volatility_limit",
    )
    assert found[1].stateful == "guard_spread_stateful"


def test_a_guard_may_be_called_like_a_limit() -> None:
    """loss_limit is a guard of its own, unless there is a guard called loss."""
    assert [one.guard for one in guard_columns(["guard_loss_limit"], {})] == ["loss_limit"]
    both = guard_columns(["guard_loss", "guard_loss_limit"], {})
    assert [(one.guard, one.limit) for one in both] == [("loss", "guard_loss_limit")]
    told = guard_columns(["guard:loss_limit", "guard:loss_limit:limit"], {})
    assert [(one.guard, one.limit) for one in told] == [("loss_limit", "guard:loss_limit:limit")]


def test_a_foreign_column_is_mapped_to_a_guard() -> None:
    """--map guard:NAME=THEIRS; one that the file lacks is told."""
    found = guard_columns(["symbol", "vol_ok"], {"guard:volatility": "vol_ok"})
    assert [(one.guard, one.verdict) for one in found] == [("volatility", "vol_ok")]
    with pytest.raises(ValueError, match="has no column 'gone'"):
        guard_columns(["symbol"], {"guard:volatility": "gone"})


def test_names_that_sound_like_positions_are_stateful_unless_told() -> None:
    """A guard on exposure is not taken for stateless silently; the caller's word wins."""
    header = ["guard_volatility", "guard_max_positions", "guard_drawdown"]
    found = guard_columns(header, {}, stateful=["volatility"], stateless=["drawdown"])
    assert [one.is_stateful for one in found] == [True, True, False]
    with pytest.raises(ValueError, match="there are: volatility, max_positions, drawdown"):
        guard_columns(header, {}, stateful=["gone"])


@pytest.mark.parametrize("header", [["guard:" + "x" * 65], [f"guard_{k}" for k in range(65)]])
def test_more_than_a_decision_holds_is_refused(header: list[str]) -> None:
    """Names up to 64 characters, up to 64 guards."""
    with pytest.raises(ValueError, match="64"):
        guard_columns(header, {})


def test_cells_of_a_row_are_read_and_their_faults_told() -> None:
    """Every bad cell with its column; good ones beside it are kept."""
    columns = guard_columns(["guard_a", "guard_a_value", "guard_a_stateful", "guard_b"], {})
    row: dict[str, Cell] = {"guard_a": "block", "guard_a_value": "0.05", "guard_a_stateful": "yes"}
    cells, problems = guard_cells(row, columns)
    assert problems == []
    assert cells == (
        GuardCell("a", BLOCK, 0.05, None, is_stateful=True),
        GuardCell("b", NOT_EVALUATED, None, None, is_stateful=False),
    )
    _, problems = guard_cells(row | {"guard_a_value": "x", "guard_b": "maybe"}, columns)
    assert [column for column, _ in problems] == ["guard_a_value", "guard_b"]


def test_a_threshold_is_recognised_from_its_verdicts() -> None:
    """Value against limit tells whether it is a maximum or a minimum."""
    assert threshold_guards([[cell(PASS, 1, 2)], [cell(BLOCK, 3, 2)]]) == {"g": False}
    assert threshold_guards([[cell(PASS, 3, 2)], [cell(NOT_EVALUATED)]]) == {"g": True}
    assert with_rules([cell(PASS, 3, 2)], {"g": True})[0].is_minimum is True
    assert with_rules([cell(NOT_EVALUATED)], {"g": True})[0].is_minimum is None


@pytest.mark.parametrize(
    "cells",
    [
        [cell(PASS, 1, 2), cell(PASS, 3, 2)],
        [cell(PASS, 1, 2), cell(BLOCK, 2, 2)],
        [cell(PASS, 1, 2), cell(BLOCK)],
        [cell(PASS, 2, 2)],
        [cell(PASS, 1, 2)._replace(is_stateful=True)],
    ],
)
def test_verdicts_that_no_threshold_explains_make_none(cells: list[GuardCell]) -> None:
    """Contradictions, a value that is missing, a memory: its kind is not known."""
    assert threshold_guards([[one] for one in cells]) == {}
