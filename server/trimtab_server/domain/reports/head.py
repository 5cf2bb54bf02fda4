"""What stands at the head of every report: what it is made of."""

from dataclasses import dataclass

from trimtab_server.domain.ledger.columns import LedgerCounts
from trimtab_server.domain.reports.questions import ReportScope


@dataclass(frozen=True, slots=True)
class ReportHead:
    """What a report is made of; see the message of the same name in the contract.

    scope: as answered, its times those of the first and last signal where none were asked.
    make_time_ns: when it was made. rendered: the report written out, "" = no form was asked for.
    """

    scope: ReportScope
    make_time_ns: int
    log_id: str
    through_sequence: int
    counts: LedgerCounts
    notes: tuple[str, ...] = ()
    rendered: str = ""
