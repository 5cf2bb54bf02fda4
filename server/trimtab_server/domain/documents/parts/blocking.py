"""What blocking costs: documents of BlockedOpportunityCost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab_server.domain.documents.document import (
    Block,
    Bullets,
    Document,
    Paragraph,
    Section,
    Table,
)
from trimtab_server.domain.documents.parts.guards import NO_RESULT, part_texts, turned_text
from trimtab_server.domain.documents.parts.heads import (
    counts_section,
    method_text,
    nothing_yet,
    what_text,
)
from trimtab_server.domain.documents.parts.words import (
    bounds_text,
    decided_sign,
    estimate_text,
    known,
    money_text,
    needed_text,
    number_text,
    percent_estimate_text,
    told_notes,
)
from trimtab_server.domain.wording import plural

if TYPE_CHECKING:
    from trimtab_server.domain.reports.head import ReportHead
    from trimtab_server.domain.reports.opportunity import BlockedOpportunityCost


def blocked_answer(cost: BlockedOpportunityCost) -> str:
    """What blocking cost or saved, in one sentence with its interval."""
    net = known(cost.net_opportunity_cost.value)
    if not cost.blocked_count:
        return "Nothing was blocked, so nothing was missed and nothing avoided."
    if net is None:
        why = cost.net_opportunity_cost.note or "none of them has a simulated result"
        told = plural(cost.blocked_count, "blocked signal")
        return f"What {told} would have made is not known: {why}."
    if not cost.net_opportunity_cost.n:
        signals = plural(cost.matured_count, "blocked signal")
        return (
            f"Blocking cost nothing and saved nothing: of {signals} with a simulated result, none "
            "would have been filled (simulated)."
        )
    balance = cost.net_opportunity_cost
    amount = estimate_text(balance) if net >= 0 else turned_text(balance)
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
    needed, note = needed_text(cost.outcomes_needed), balance.note
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
                *part_texts(line),
            )
            for line in cost.blockers
        )
        header = ("guard", "blocked", "alone", "missed profit", "avoided loss")
        blocks += (
            Table(header, by_guard),
            Paragraph(
                "A signal that several guards blocked stands in each of their lines: lines do "
                "not add up to the whole, and no line is what its guard did (the guard report "
                f"tells that). {NO_RESULT[0].upper()}{NO_RESULT[1:]}.",
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
