import pytest

from trimtab_server.domain.imports.guard_columns import (
    BLOCK,
    NOT_EVALUATED,
    PASS,
    GuardCell,
    guard_cells,
    guard_columns,
    rule_doubts,
    rule_problems,
)
from trimtab_server.domain.imports.guard_rules import RULE_KINDS, GuardRule, guard_rules
from trimtab_server.domain.imports.trade_arguments import verdict_arguments
from trimtab_server.domain.imports.trade_columns import Cell
from trimtab_server.domain.imports.trade_rows import TradeRow, trade_row

HEADER = ("guard:g", "guard:g_value", "guard:g_limit", "guard:g_added")
MAPPING = {"symbol": "symbol", "entry_time": "time", "decision": "decision"}


def figures(
    value: float | None, limit: float | None, added: float | None = None
) -> dict[str, float | None]:
    """The figures of a guard."""
    return {"value": value, "limit": limit, "added": added}


def read(rule: str, decision: str, *cells: Cell) -> TradeRow | list[str]:
    """A row with a guard "g" of that rule, or what is wrong with it."""
    columns = guard_columns(HEADER, {}, rules=guard_rules([f"g={rule}"]))
    row: dict[str, Cell] = {"symbol": "A", "time": "2024-01-01", "decision": decision}
    made = trade_row(row | dict(zip(HEADER, cells, strict=False)), MAPPING, 7, guards=columns)
    return made if isinstance(made, TradeRow) else [str(one) for one in made]


def rule_of(rule: str, *cells: Cell) -> object:
    """The rule that is recorded of such a row."""
    made = read(rule, "blocked", *cells)
    assert isinstance(made, TradeRow), made
    return verdict_arguments(made)[0]["rule"]


@pytest.mark.parametrize(
    ("rule", "cells", "expected"),
    [
        ("position-count", ("block", "3", "3"),
         ("position_count", {"open_count": 3, "open_count_max": 3})),
        ("position-count-per-symbol", ("block", 1, 1.0),
         ("position_count", {"open_count": 1, "open_count_max": 1, "per_symbol": True})),
        ("exposure", ("pass", "0.4", "0.5", "0.05"),
         ("exposure", {"exposure_fraction": 0.4, "added_fraction": 0.05,
                       "exposure_fraction_max": 0.5})),
        ("cooldown", ("block", "60", "3600"),
         ("cooldown", {"elapsed_s": 60.0, "cooldown_s": 3600.0})),
        ("cooldown-after-loss", ("pass", "", "3600"),
         ("cooldown", {"cooldown_s": 3600.0, "losses_only": True})),
        ("loss-limit:1d", ("block", "-0.03", "0.02"),
         ("loss_limit", {"period_return": -0.03, "loss_fraction_max": 0.02,
                         "period_s": 86_400.0})),
    ],
)  # fmt: skip
def test_each_rule_is_recorded_with_its_figures(
    rule: str, cells: tuple[Cell, ...], expected: object
) -> None:
    """The fields are those of the contract's message, and nothing that was not told is in them."""
    assert rule_of(rule, *cells) == expected


@pytest.mark.parametrize("word", RULE_KINDS)
def test_a_rule_without_its_columns_is_refused(word: str) -> None:
    """Guard, rule, column and what has to stand in it; a file without the guard is told too."""
    told = guard_rules([f"G={word}:1d" if word == "loss-limit" else f"G={word}"])
    for extra, meaning in RULE_KINDS[word].figures.items():
        header = [name for name in HEADER if not name.endswith(extra)]
        with pytest.raises(ValueError, match=f"guard g: the rule .* column guard:g_{extra}: ") as e:
            guard_columns(header, {}, rules=told)
        assert meaning in str(e.value)
    with pytest.raises(ValueError, match="no column tells a guard 'g'"):
        guard_columns(["symbol"], {}, rules=told)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (["g"], "write it as NAME=RULE, where RULE is one of position-count, "),
        (["=cooldown"], "write it as NAME=RULE"),
        (["g=threshold"], "write it as NAME=RULE"),
        (["g=cooldown", "G=exposure"], "guard g has a rule already, cooldown"),
        (["g=loss-limit"], "write its period as loss-limit:1d"),
        (["g=loss-limit:1"], "write its period as loss-limit:1d"),
        (["g=cooldown:1d"], "cooldown has no period"),
    ],
)
def test_other_words_are_no_rules(told: list[str], words: str) -> None:
    """What was written, and how to write it."""
    with pytest.raises(ValueError, match=words):
        guard_rules(told)


def test_a_guard_with_a_rule_has_a_memory() -> None:
    """Whatever its name sounds like; who says that it has none is contradicted."""
    rules = guard_rules(["g=position-count"])
    assert guard_columns(HEADER, {}, rules=rules)[0].is_stateful
    with pytest.raises(ValueError, match="guard g: the rule position-count is not stateless"):
        guard_columns(HEADER, {}, rules=rules, stateless=["g"])
    columns = guard_columns([*HEADER, "guard:g_stateful"], {}, rules=rules)
    row: dict[str, Cell] = {"guard:g": "pass", "guard:g_stateful": "no"}
    assert guard_cells(row, columns)[1] == [
        ("guard:g_stateful", "the rule position-count is not stateless")
    ]


@pytest.mark.parametrize(
    ("rule", "cells", "words"),
    [
        ("position-count", ("block", "", "3"),
         "line 7: guard:g_value: guard g needs it for its rule position-count: positions open"),
        ("position-count", ("pass", "1", ""), "guard:g_limit: guard g needs it"),
        ("position-count", ("pass", "1.5", "3"), "1.5 cannot be the positions open before"),
        ("position-count", ("pass", "-1", "3"), "-1 cannot be"),
        ("position-count", ("pass", "1", "1e12"), "1e+12 cannot be"),
        ("exposure", ("pass", "0.1", "0.5", ""), "guard:g_added: guard g needs it"),
        ("cooldown", ("block", "", "60"), "guard:g_value: guard g needs it"),
        ("cooldown", ("block", "1", "1e11"), "1e+11 cannot be the seconds to wait"),
        ("loss-limit:1d", ("pass", "0.01", "-0.02"), "-0.02 cannot be the most loss"),
    ],
)  # fmt: skip
def test_a_row_without_the_figures_is_refused(
    rule: str, cells: tuple[Cell, ...], words: str
) -> None:
    """Line, column, guard and what is wanted: a count that was not told is never taken for 0."""
    made = read(rule, "blocked", *cells)
    assert isinstance(made, list)
    assert len(made) == 1
    assert words in made[0]


def test_a_guard_that_did_not_look() -> None:
    """With its figures it is recorded; without them a signal that others blocked is refused, and
    one that was traded all the same was none of its business."""
    assert rule_of("position-count", "", "3", "3") == (
        "position_count",
        {"open_count": 3, "open_count_max": 3},
    )
    refused = read("position-count", "blocked", "", "", "3")
    assert isinstance(refused, list)
    assert "guard g did not look, but needs it for its rule position-count" in refused[0]
    traded = read("position-count", "approved", "", "", "3")
    assert isinstance(traded, TradeRow)
    assert verdict_arguments(traded) == []


@pytest.mark.parametrize(
    ("rule", "told", "passes"),
    [
        (GuardRule("position-count"), figures(2, 3), True),
        (GuardRule("position-count"), figures(3, 3), False),
        (GuardRule("exposure"), figures(0.4, 0.5, 0.05), True),
        (GuardRule("exposure"), figures(0.48, 0.5, 0.05), False),
        (GuardRule("cooldown"), figures(61, 60), True),
        (GuardRule("cooldown"), figures(59, 60), False),
        (GuardRule("loss-limit", 60.0), figures(-0.01, 0.02), True),
        (GuardRule("loss-limit", 60.0), figures(-0.03, 0.02), False),
    ],
)
def test_verdicts_that_the_rule_does_not_give_are_doubted(
    rule: GuardRule, told: dict[str, float | None], passes: bool
) -> None:
    """Counted after the signal instead of before it, a figure gives another verdict: it is told."""
    assert rule.is_contradicted(told, passed=not passes)
    assert not rule.is_contradicted(told, passed=passes)
    assert not rule.is_contradicted(figures(None, 3), passed=True)
    cells = [
        GuardCell("g", said, told["value"], told["limit"], True, added=told["added"], rule=rule)
        for said in (PASS, BLOCK, NOT_EVALUATED)
    ]
    assert len(rule_doubts(cells)) == 1
    columns = guard_columns(HEADER, {}, rules={"g": rule})
    assert not list(rule_problems(cells[:1], columns, is_blocked=False))


def test_at_a_limit_of_fractions_both_verdicts_are_believed() -> None:
    """Sums of fractions are not exact: 0.1 + 0.2 against 0.3 tells nothing."""
    for passed in (True, False):
        assert not GuardRule("exposure").is_contradicted(figures(0.1, 0.3, 0.2), passed=passed)
