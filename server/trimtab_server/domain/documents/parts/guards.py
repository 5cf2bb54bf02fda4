"""What guards do: documents of GuardLine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab_server.domain.documents.charts import IntervalRow, interval_chart
from trimtab_server.domain.documents.document import (
    Block,
    Bullets,
    Chart,
    Document,
    Paragraph,
    Section,
    Table,
)
from trimtab_server.domain.documents.parts.heads import (
    counts_section,
    method_text,
    nothing_yet,
    what_text,
)
from trimtab_server.domain.documents.parts.words import (
    EXACT,
    IDENTIFIED,
    beside_others,
    bounds_text,
    estimate_text,
    known,
    money_estimate_text,
    needed_count_text,
    needed_text,
    number_text,
    told_notes,
)
from trimtab_server.domain.statistics.estimates import Estimate
from trimtab_server.domain.wording import UNKNOWN, plural

if TYPE_CHECKING:
    from trimtab_server.domain.reports.guards import GuardLine
    from trimtab_server.domain.reports.head import ReportHead
    from trimtab_server.domain.reports.opportunity import BlockerLine

# Contract numbers of GuardEffect and GuardMemory.
HELPS, COSTS, UNDECIDED, NOT_IDENTIFIABLE = 1, 2, 3, 4
EFFECTS = {
    HELPS: "helps",
    COSTS: "costs",
    UNDECIDED: "undecided",
    NOT_IDENTIFIABLE: "not identifiable",
}
NO_EFFECT = "changed nothing"
_MEMORY = {1: "stateless", 2: "stateful"}
SENTENCES_MAX = 3
LINES_CHARTED_MAX = 40

GUARD_METHOD = (
    "A guard's value is what was made with it minus what would have been made without it, all else "
    "as it was (leave-one-out): a signal that another guard blocks too changes nothing. The "
    "Shapley value shares out what all stateless guards did together, so that overlapping guards "
    "are not counted twice: it rests on their verdicts alone where an engine has no other guards, "
    "and on the replay of those with memory where it has. Guards that know positions or earlier "
    "trades are replayed where their kind is known, and not identifiable otherwise. A what-if "
    "without one guard has the interval of this guard's value, turned round."
)


def turned_text(estimate: Estimate) -> str:
    """A value below zero as a cost: the sign and the bounds turned round."""
    value, low, high = known(estimate.value), known(estimate.low), known(estimate.high)
    if value is None:
        return UNKNOWN
    shown = Estimate(
        -value,
        None if high is None else -high,
        None if low is None else -low,
        estimate.n,
        estimate.effective_n,
        estimate.level,
    )
    return estimate_text(shown)


def guard_sentence(line: GuardLine, allowing: str = "") -> str:
    """What one guard did, in one sentence with its interval. allowing: for what the outcomes that
    it still needs allow (`beside_others`)."""
    value = known(line.value.value)
    name = f"The {line.guard} guard"
    if not line.evaluated_count:
        return f"{name} was asked about no signal."
    if not line.blocked_count:
        return f"{name} blocked none of {plural(line.evaluated_count, 'signal')} that it looked at."
    over = f"over {plural(line.blocked_count, 'blocked signal')}"
    if line.effect == NOT_IDENTIFIABLE:
        return f"Whether {name[0].lower()}{name[1:]} helps is not identifiable: {_why(line)}."
    if value is None:
        return f"What {name[0].lower()}{name[1:]} did {over} is not known: {_why(line)}."
    how = "" if line.identifiability == EXACT else " (simulated)"
    if _changes_nothing(line):
        # Bounds are told where it kept orders out.
        why = "none of the orders that would change without it would have been filled"
        if known(line.value_optimistic) is None:
            why = "its absence would change no trade"
        return f"{name} blocked {plural(line.blocked_count, 'signal')}, and {why}{how}."
    amount = estimate_text(line.value) if value >= 0 else turned_text(line.value)
    if line.effect in {HELPS, COSTS}:
        did = "saved" if value >= 0 else "cost"
        return f"{name} {did} {amount} stakes {over}{how}."
    did = "seems to have saved" if value >= 0 else "seems to have cost"
    needed = needed_text(line.outcomes_needed, allowing)
    more = f"; {needed}" if needed else f": {line.value.note}" if line.value.note else ""
    return f"{name} {did} {amount} stakes {over}{how}: undecided{more}."


def _changes_nothing(line: GuardLine) -> bool:
    """Whether its absence would change no trade, as far as that can be told."""
    return (
        line.effect != NOT_IDENTIFIABLE
        and known(line.value.value) is not None
        and not line.added_count
        and not line.removed_count
    )


def _effect_text(line: GuardLine) -> str:
    """What it did, in a word or two; NO_EFFECT where that it did nothing is exact."""
    if line.identifiability == EXACT and _changes_nothing(line):
        return NO_EFFECT
    return EFFECTS.get(int(line.effect), UNKNOWN)


def _why(line: GuardLine) -> str:
    return (line.note or line.value.note or "what was recorded cannot tell").rstrip(".")


def guards_answer(guards: Sequence[GuardLine]) -> str:
    """The guards that matter, in a few sentences: decided ones first, then the widest open; those
    that changed nothing come behind, and last those that blocked nothing."""
    if not guards:
        return "No guard's verdict was recorded: decisions have to tell what every guard said."

    def rank(line: GuardLine) -> tuple[bool, bool, bool, bool, float]:
        value = known(line.value.value)
        decided = line.effect in {HELPS, COSTS}
        idle = (not line.blocked_count, _changes_nothing(line))
        return (not decided, *idle, value is None, -abs(value or 0.0))

    ordered = sorted(guards, key=rank)
    allowing = beside_others(guards)
    sentences = [guard_sentence(line, allowing) for line in ordered[:SENTENCES_MAX]]
    rest = ordered[SENTENCES_MAX:]
    if rest:
        counts = [
            f"{count} {words}"
            for words in (*EFFECTS.values(), NO_EFFECT)
            if (count := sum(_effect_text(line) == words for line in rest))
        ]
        sentences.append(f"Of {plural(len(rest), 'other')}: {', '.join(counts)}.")
    return " ".join(sentences)


def guard_blocks(guards: Sequence[GuardLine]) -> tuple[Block, ...]:
    """Tables and a chart of guards, with what limits each."""
    if not guards:
        return (Paragraph("No guard's verdict was recorded."),)
    did = tuple(
        (
            line.guard,
            _effect_text(line),
            estimate_text(line.value),
            bounds_text(line.value_pessimistic, line.value_optimistic),
            needed_count_text(line.outcomes_needed),
        )
        for line in guards
    )
    more = tuple(
        (
            line.guard,
            estimate_text(line.shapley_value) if line.shapley_value is not None else "-",
            *part_texts(line),
            money_estimate_text(line.value_money),
        )
        for line in guards
    )
    much = tuple(
        (
            line.guard,
            f"{line.evaluated_count:,}",
            f"{line.blocked_count:,}",
            f"{line.blocked_alone_count:,}",
            f"{line.added_count:,}",
            f"{line.removed_count:,}",
            f"{line.matured_count:,}",
            _kind(line),
        )
        for line in guards
    )
    notes = _guard_notes(guards)
    allowing = beside_others(guards)
    return (
        Table(
            ("guard", "effect", "value, stakes", "bad to good fills", "outcomes needed"),
            did,
            frozenset({1}),
        ),
        Chart(interval_chart("What each guard is worth", _rows(guards), _AXIS, number_text)),
        Paragraph(
            "value: above zero the guard helped. bad to good fills: the value if every doubtful "
            "fill went badly, and if every one went well. outcomes needed: more, until its effect "
            f"is decided{allowing}" + ("; intervals are each guard's own." if allowing else "."),
            is_note=True,
        ),
        Table(("guard", "Shapley", "missed profit", "avoided loss", "value, money"), more),
        Paragraph(
            "missed profit, avoided loss: of the signals that the guard alone blocked, in stakes; "
            f"{NO_RESULT}.",
            is_note=True,
        ),
        Table(_MUCH_HEADER, much, frozenset({7})),
        Paragraph(
            "alone: no other guard blocked them. adds, removes: trades that its absence would "
            "change; results: of these.",
            is_note=True,
        ),
        *((Bullets(notes),) if notes else ()),
    )


def _guard_notes(guards: Sequence[GuardLine]) -> tuple[str, ...]:
    """What limits each guard's numbers."""
    notes = tuple(f"{line.guard}: {line.note}" for line in guards if line.note)
    notes += told_notes((line.guard, line.value) for line in guards if not line.note)
    return notes + told_notes(
        (f"{line.guard} in money", line.value_money)
        for line in guards
        if known(line.value.value) is not None and known(line.value_money.value) is None
    )


NO_RESULT = 'a "-": none of these has a simulated result'


def part_texts(line: GuardLine | BlockerLine) -> tuple[str, str]:
    """Missed profit and avoided loss, "-" where they are not known."""
    missed, avoided = known(line.missed_profit), known(line.avoided_loss)
    return (
        "-" if missed is None else number_text(missed),
        "-" if avoided is None else number_text(avoided),
    )


_AXIS = "value in stakes (above zero: the guard helped)"
_MUCH_HEADER = (
    *("guard", "looked at", "blocked", "alone", "adds", "removes", "results", "kind, how sure"),
)


def _kind(line: GuardLine) -> str:
    memory = _MEMORY.get(int(line.memory), "stateful")
    return f"{memory}, {IDENTIFIED.get(int(line.identifiability), UNKNOWN)}"


def _rows(guards: Sequence[GuardLine]) -> list[IntervalRow]:
    shown = [line for line in guards if known(line.value.value) is not None]
    return [
        IntervalRow(
            line.guard,
            known(line.value.value) or 0.0,
            known(line.value.low),
            known(line.value.high),
            _effect_text(line),
        )
        for line in shown[:LINES_CHARTED_MAX]
    ]


def guards_document(guards: Sequence[GuardLine], head: ReportHead) -> Document:
    """What each guard costs or saves."""
    return Document(
        title="What does each guard cost or save?",
        what=what_text(head),
        answer=nothing_yet(head) or guards_answer(guards),
        figures=(),
        sections=(
            Section("Guards", guard_blocks(guards)),
            counts_section(head),
            Section(
                "How it is worked out", (Paragraph(GUARD_METHOD), Paragraph(method_text(head)))
            ),
        ),
        notes=head.notes,
    )
