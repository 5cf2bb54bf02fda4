"""Guards in someone's trade file: which columns tell their verdicts, and what a row's cells say.

`guard:NAME` or `guard_NAME` holds the verdict; beside it may stand NAME_value (what the guard
measured), NAME_limit (what it allows), NAME_added (what the signal would add) and NAME_stateful
(whether it depends on earlier trades), with either prefix, or `guard:NAME:value` where a guard's
own name ends so.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from trimtab_server.domain.imports.guard_rules import GuardRule
from trimtab_server.domain.imports.trade_columns import Cell, flag, is_empty, number, text

PASS, BLOCK, NOT_EVALUATED = "PASS", "BLOCK", "NOT_EVALUATED"
_PREFIXES = ("guard:", "guard_", "guard.")
_EXTRAS = ("value", "limit", "added", "stateful")
_PASS_WORDS = frozenset({"pass", "passed", "ok", "allow", "allowed", "approve", "approved"})
_BLOCK_WORDS = frozenset(
    {"block", "blocked", "fail", "failed", "reject", "rejected", "deny", "denied", "veto"}
)
_SKIP_WORDS = frozenset({"not_evaluated", "skip", "skipped", "not evaluated", "unknown"})
STATEFUL_WORDS = (
    *("position", "exposure", "cooldown", "cool_down", "drawdown", "loss", "capital", "margin"),
    *("equity", "daily", "consecutive", "concentration", "correlation", "open_count", "max_open"),
)
"""Parts of names of guards that usually depend on what was traded before."""
GUARDS_MAX = 64
"""In one decision, as in the contract."""
NAME_CHARS_MAX = 64


@dataclass(frozen=True, slots=True)
class GuardColumns:
    """The columns of one guard, as the file spells them; "" = none. is_stateful: where no column
    tells it. rule: of a guard with memory, as the caller says; None = not told."""

    guard: str
    verdict: str
    value: str = ""
    limit: str = ""
    added: str = ""
    stateful: str = ""
    is_stateful: bool = False
    rule: GuardRule | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that tell of it."""
        told = (self.verdict, self.value, self.limit, self.added, self.stateful)
        return tuple(name for name in told if name)


class GuardCell(NamedTuple):
    """What one guard said of one row: PASS, BLOCK or NOT_EVALUATED. observed, limit, added: None
    = not told. is_minimum: of a guard that holds the value against the limit: it passes at or above
    it; None = not known to be one. rule: of a guard with memory, None = not told."""

    guard: str
    result: str
    observed: float | None
    limit: float | None
    is_stateful: bool
    is_minimum: bool | None = None
    added: float | None = None
    rule: GuardRule | None = None

    @property
    def figures(self) -> dict[str, float | None]:
        """What its rule goes by, as `GuardRule` takes it."""
        return {"value": self.observed, "limit": self.limit, "added": self.added}

    @property
    def is_left_out(self) -> bool:
        """Whether it did not look and lacks what its rule needs, so that there is nothing to
        record."""
        if self.rule is None or self.result != NOT_EVALUATED:
            return False
        return bool(self.rule.missing(self.figures))


def _rest(name: str) -> str:
    """A column's name without the prefix of guards, "" for another column."""
    plain = name.strip().lstrip("\ufeff")
    for prefix in _PREFIXES:
        if plain.lower().startswith(prefix):
            return plain[len(prefix) :].strip()
    return ""


def guard_columns(
    header: Iterable[str],
    given: Mapping[str, str],
    *,
    stateful: Iterable[str] = (),
    stateless: Iterable[str] = (),
    rules: Mapping[str, GuardRule] | None = None,
) -> tuple[GuardColumns, ...]:
    """The guards of a file, in the order of its columns.

    given: ours -> theirs, of which those that begin with "guard:" count. stateful, stateless: names
    of guards as the caller says; else a guard whose name sounds like positions, exposure, losses or
    the like is taken for stateful, another one not. rules: guard -> how it decides; it is stateful.
    Raises ValueError for a name that no column has, that is too long, for more than 64 guards, and
    for a rule without the columns that it needs.
    """
    rests = _rests(list(header), given)
    names = {rest.lower() for rest in rests.values()}
    extras: dict[str, dict[str, str]] = {}
    found: dict[str, GuardColumns] = {}
    for theirs, rest in rests.items():
        owner, extra = _extra(rest, names)
        if extra:
            extras.setdefault(owner.lower(), {})[extra] = theirs
        elif rest.lower() not in found:
            sounds = any(word in rest.lower() for word in STATEFUL_WORDS)
            found[rest.lower()] = GuardColumns(rest, theirs, is_stateful=sounds)
    for told, is_stateful in ((stateful, True), (rules or (), True), (stateless, False)):
        for name in told:
            if name.lower() not in found:
                known = ", ".join(one.guard for one in found.values()) or "none"
                raise ValueError(f"no column tells a guard {name!r}; there are: {known}")
            found[name.lower()] = replace(found[name.lower()], is_stateful=is_stateful)
    for name, rule in (rules or {}).items():
        found[name.lower()] = replace(found[name.lower()], rule=rule)
    _check(found.values())
    whole = tuple(_with_extras(one, extras.get(name, {})) for name, one in found.items())
    for one in whole:
        _check_rule(one)
    return whole


def _with_extras(one: GuardColumns, told: Mapping[str, str]) -> GuardColumns:
    value, limit, added, stateful = (told.get(extra, "") for extra in _EXTRAS)
    return replace(one, value=value, limit=limit, added=added, stateful=stateful)


def _check_rule(one: GuardColumns) -> None:
    if one.rule is None:
        return
    if not one.is_stateful:
        raise ValueError(f"guard {one.guard}: the rule {one.rule.word} is not stateless")
    for extra, meaning in one.rule.kind.figures.items():
        if not getattr(one, extra):
            raise ValueError(
                f"guard {one.guard}: the rule {one.rule.word} needs a column "
                f"guard:{one.guard}_{extra}: {meaning}"
            )


def _rests(columns: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Their column -> what stands behind the prefix, of the columns that tell of guards."""
    rests = {theirs: _rest(theirs) for theirs in columns if _rest(theirs)}
    for ours, theirs in given.items():
        if _rest(ours):
            if theirs not in columns:
                raise ValueError(f"--map {ours}={theirs}: the file has no column {theirs!r}")
            rests[theirs] = _rest(ours)
    return rests


def _check(guards: Collection[GuardColumns]) -> None:
    if len(guards) > GUARDS_MAX:
        raise ValueError(f"{len(guards)} guards: a decision holds at most {GUARDS_MAX}")
    for one in guards:
        if len(one.guard) > NAME_CHARS_MAX or not one.guard.isprintable():
            raise ValueError(f"guard {one.guard[:70]!r}: more than 64 characters, or unprintable")


def _extra(rest: str, names: set[str]) -> tuple[str, str]:
    """(guard, what the column tells of it), with "" for a verdict. `loss_limit` is the limit of
    `loss` where that guard has a column, else a guard of its own."""
    head, colon, tail = rest.rpartition(":")
    if colon and tail.strip().lower() in _EXTRAS:
        return head.strip(), tail.strip().lower()
    for extra in _EXTRAS:
        owner = rest[: -len(extra) - 1]
        if rest.lower().endswith(f"_{extra}") and owner.lower() in names:
            return owner, extra
    return rest, ""


def verdict(cell: Cell, *, true_blocks: bool = False) -> str:
    """PASS, BLOCK or NOT_EVALUATED of a cell; yes, true and 1 mean PASS, or BLOCK where
    `true_blocks`. Raises ValueError for other words."""
    if is_empty(cell):
        return NOT_EVALUATED
    word = text(cell).lower().removeprefix("guard_result_")
    if word in _SKIP_WORDS:
        return NOT_EVALUATED
    if word in _PASS_WORDS:
        return PASS
    if word in _BLOCK_WORDS:
        return BLOCK
    try:
        told = flag(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is neither pass nor block") from None
    return BLOCK if told == true_blocks else PASS


def guard_cells(
    row: Mapping[str, Cell], columns: Sequence[GuardColumns], *, true_blocks: bool = False
) -> tuple[tuple[GuardCell, ...], list[tuple[str, str]]]:
    """What the guards said of a row, and what is wrong with its cells as (column, reason)."""
    cells: list[GuardCell] = []
    problems: list[tuple[str, str]] = []
    for one in columns:
        try:
            result = verdict(row.get(one.verdict), true_blocks=true_blocks)
        except ValueError as error:
            problems.append((one.verdict, str(error)))
            continue
        numbers: list[float | None] = []
        for name in (one.value, one.limit, one.added):
            cell = row.get(name) if name else None
            try:
                numbers.append(None if is_empty(cell) else number(cell))
            except ValueError as error:
                problems.append((name, str(error)))
                numbers.append(None)
        cell = row.get(one.stateful) if one.stateful else None
        memory = one.is_stateful
        try:
            memory = memory if is_empty(cell) else flag(cell)
        except ValueError as error:
            problems.append((one.stateful, str(error)))
        if one.rule is not None and not memory:
            problems.append((one.stateful, f"the rule {one.rule.word} is not stateless"))
        observed, limit, added = numbers
        cells.append(
            GuardCell(one.guard, result, observed, limit, memory, added=added, rule=one.rule)
        )
    return tuple(cells), problems


def rule_problems(
    cells: Sequence[GuardCell], columns: Sequence[GuardColumns], *, is_blocked: bool
) -> Iterator[tuple[str, str]]:
    """What the rules of guards need and a row does not tell, as (column, reason).

    is_blocked: the signal was blocked. Then a guard that did not look needs its figures as well:
    without whatever blocked the signal, what it would have said decides.
    """
    for cell, one in zip(cells, columns, strict=True):
        rule = cell.rule
        if rule is None or (cell.is_left_out and not is_blocked):
            continue
        looked = "did not look, but " if cell.result == NOT_EVALUATED else ""
        for extra in rule.missing(cell.figures, blocked=cell.result == BLOCK):
            needed = f"its rule {rule.word}: {rule.kind.figures[extra]}"
            yield getattr(one, extra), f"guard {cell.guard} {looked}needs it for {needed}"
        for extra, reason in rule.faults(cell.figures):
            yield getattr(one, extra), reason


def rule_doubts(cells: Iterable[GuardCell]) -> list[str]:
    """In words, of each guard whose verdict is another than its rule gives."""
    return [
        f"guard {cell.guard} said otherwise than {cell.rule.word} would: is its value the "
        f"{cell.rule.kind.figures['value']}?"
        for cell in cells
        if cell.rule is not None
        and cell.result != NOT_EVALUATED
        and cell.rule.is_contradicted(cell.figures, passed=cell.result == PASS)
    ]


def threshold_guards(rows: Iterable[Sequence[GuardCell]]) -> dict[str, bool]:
    """Guards that hold a value against a limit, to whether it is a minimum.

    Those without memory whose every verdict with value and limit fits "passes at or below" (False)
    or "passes at or above" (True), and not both. Others are of an unknown kind.
    """
    votes: dict[str, Counter[bool]] = {}
    wrong: set[str] = set()
    for cells in rows:
        for cell in cells:
            if cell.result == NOT_EVALUATED:
                continue
            if cell.is_stateful or cell.observed is None or cell.limit is None:
                wrong.add(cell.guard)
            elif cell.observed != cell.limit:
                is_minimum = (cell.observed > cell.limit) == (cell.result == PASS)
                votes.setdefault(cell.guard, Counter())[is_minimum] += 1
            elif cell.result == BLOCK:
                # At the limit a threshold passes, whichever side it is on.
                wrong.add(cell.guard)
    return {
        guard: next(iter(told))
        for guard, told in votes.items()
        if len(told) == 1 and guard not in wrong
    }


def with_rules(cells: Iterable[GuardCell], thresholds: Mapping[str, bool]) -> tuple[GuardCell, ...]:
    """The cells, those of `threshold_guards` with their rule."""
    return tuple(
        cell._replace(is_minimum=thresholds[cell.guard])
        if cell.guard in thresholds and cell.result != NOT_EVALUATED
        else cell
        for cell in cells
    )
