"""What guards do, and what blocking costs: documents of GuardLine and BlockedOpportunityCost."""

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
    bounds_text,
    decided_sign,
    estimate_text,
    known,
    money_estimate_text,
    money_text,
    needed_count_text,
    needed_text,
    number_text,
    percent_estimate_text,
    told_notes,
)
from trimtab_server.domain.statistics.estimates import Estimate
from trimtab_server.domain.wording import UNKNOWN, plural

if TYPE_CHECKING:
    from trimtab_server.domain.reports.guards import GuardLine
    from trimtab_server.domain.reports.head import ReportHead
    from trimtab_server.domain.reports.opportunity import BlockedOpportunityCost, BlockerLine

# Contract numbers of GuardEffect and GuardMemory.
HELPS, COSTS, UNDECIDED, NOT_IDENTIFIABLE = 1, 2, 3, 4
EFFECTS = {
    HELPS: "helps",
    COSTS: "costs",
    UNDECIDED: "undecided",
    NOT_IDENTIFIABLE: "not identifiable",
}
_MEMORY = {1: "stateless", 2: "stateful"}
SENTENCES_MAX = 3
LINES_CHARTED_MAX = 40

GUARD_METHOD = (
    "A guard's value is what was made with it minus what would have been made without it, all else "
    "as it was (leave-one-out): a signal that another guard blocks too changes nothing. The "
    "Shapley value shares out what all stateless guards did together, so that overlapping guards "
    "are not counted twice. Guards that know positions or earlier trades are replayed where their "
    "kind is known, and not identifiable otherwise."
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


def guard_sentence(line: GuardLine) -> str:
    """What one guard did, in one sentence with its interval."""
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
    needed = needed_text(line.outcomes_needed)
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
    sentences = [guard_sentence(line) for line in ordered[:SENTENCES_MAX]]
    rest = ordered[SENTENCES_MAX:]
    if rest:
        counts = [
            f"{sum(line.effect == effect for line in rest)} {words}"
            for effect, words in EFFECTS.items()
            if any(line.effect == effect for line in rest)
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
            EFFECTS.get(int(line.effect), UNKNOWN),
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
            *_part_texts(line),
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
    notes = tuple(f"{line.guard}: {line.note}" for line in guards if line.note)
    notes += told_notes((line.guard, line.value) for line in guards if not line.note)
    return (
        Table(
            ("guard", "effect", "value, stakes", "bad to good fills", "outcomes needed"),
            did,
            frozenset({1}),
        ),
        Chart(interval_chart("What each guard is worth", _rows(guards), _AXIS, number_text)),
        Paragraph(
            "value: above zero the guard helped. bad to good fills: the value if every doubtful "
            "fill went badly, and if every one went well.",
            is_note=True,
        ),
        Table(("guard", "Shapley", "missed profit", "avoided loss", "value, money"), more),
        Paragraph(
            "missed profit, avoided loss: of the signals that the guard alone blocked, in stakes; "
            f"{_NO_RESULT}.",
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


_NO_RESULT = 'a "-": none of these has a simulated result'


def _part_texts(line: GuardLine | BlockerLine) -> tuple[str, str]:
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
            EFFECTS.get(int(line.effect), UNKNOWN),
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


def blocked_answer(cost: BlockedOpportunityCost) -> str:
    """What blocking cost or saved, in one sentence with its interval."""
    net = known(cost.net_opportunity_cost.value)
    if not cost.blocked_count:
        return "Nothing was blocked, so nothing was missed and nothing avoided."
    if net is None:
        why = cost.net_opportunity_cost.note or "none of them has a simulated result"
        signals = plural(cost.blocked_count, "blocked signal")
        return f"What {signals} would have made is not known: {why}."
    if not cost.net_opportunity_cost.n:
        signals = plural(cost.matured_count, "blocked signal")
        return (
            f"Blocking cost nothing and saved nothing: of {signals} with a simulated result, none "
            "would have been filled (simulated)."
        )
    amount = (
        estimate_text(cost.net_opportunity_cost)
        if net >= 0
        else turned_text(cost.net_opportunity_cost)
    )
    sign = decided_sign(cost.net_opportunity_cost)
    did = "cost" if net >= 0 else "saved"
    seems = f"Blocking {did}" if sign else f"Blocking seems to have {did}"
    text = (
        f"{seems} {amount} stakes over {plural(cost.matured_count, 'blocked signal')} with a "
        f"simulated result: missed profit {number_text(known(cost.missed_profit.value))}, avoided "
        f"loss {number_text(known(cost.avoided_loss.value))}"
    )
    if sign:
        return f"{text}."
    needed = needed_text(cost.outcomes_needed)
    note = cost.net_opportunity_cost.note
    return f"{text}: undecided{f'; {needed}' if needed else f': {note}' if note else ''}."


def blocked_blocks(cost: BlockedOpportunityCost) -> tuple[Block, ...]:
    """Tables of what was missed and avoided, and by whom."""
    rows = (
        ("missed profit, stakes", estimate_text(cost.missed_profit)),
        ("avoided loss, stakes", estimate_text(cost.avoided_loss)),
        ("net cost, stakes", estimate_text(cost.net_opportunity_cost)),
        (
            "net cost, bad to good fills",
            bounds_text(
                cost.net_opportunity_cost_pessimistic, cost.net_opportunity_cost_optimistic
            ),
        ),
        ("missed profit, money", money_text(cost.missed_profit_money)),
        ("avoided loss, money", money_text(cost.avoided_loss_money)),
        ("would have won", percent_estimate_text(cost.win_rate)),
        ("blocked", f"{cost.blocked_count:,}"),
        ("of these with a simulated result", f"{cost.matured_count:,}"),
    )
    notes = told_notes(
        (
            ("missed profit", cost.missed_profit),
            ("avoided loss", cost.avoided_loss),
            ("net cost", cost.net_opportunity_cost),
            ("would have won", cost.win_rate),
        )
    )
    blocks: tuple[Block, ...] = (Table(("blocked signals, simulated", "value"), rows),)
    if notes:
        blocks += (Bullets(notes),)
    if cost.blockers:
        by_guard = tuple(
            (
                line.guard,
                f"{line.blocked_count:,}",
                f"{line.blocked_alone_count:,}",
                *_part_texts(line),
            )
            for line in cost.blockers
        )
        header = ("guard", "blocked", "alone", "missed profit", "avoided loss")
        blocks += (
            Table(header, by_guard),
            Paragraph(
                "A signal that several guards blocked stands in each of their lines: lines do "
                "not add up to the whole, and no line is what its guard did (the guard report "
                f"tells that). {_NO_RESULT[0].upper()}{_NO_RESULT[1:]}.",
                is_note=True,
            ),
        )
    return blocks


def blocked_document(cost: BlockedOpportunityCost, head: ReportHead) -> Document:
    """What blocked signals would have made."""
    return Document(
        title="What did blocking cost?",
        what=what_text(head),
        answer=nothing_yet(head) or blocked_answer(cost),
        figures=(),
        sections=(
            Section("Missed and avoided", blocked_blocks(cost)),
            counts_section(head),
            Section(
                "How it is worked out",
                (
                    Paragraph(
                        "Each blocked signal is followed by itself (simulated). Trading all of "
                        "them is another question: they would have competed for capital and for "
                        "position limits. A what-if answers that."
                    ),
                    Paragraph(method_text(head)),
                ),
            ),
        ),
        notes=head.notes,
    )
