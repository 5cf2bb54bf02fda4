import time
from pathlib import Path
from uuid import uuid4

import pytest

from tests.store.ledger_facts import a_decision, a_signal, write
from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.domain.reports.questions import (
    Asked,
    Question,
    ReportJob,
    ReportKind,
    ReportScope,
)
from trimtab_server.learning import jobs_maker
from trimtab_server.settings import load
from trimtab_server.store.store import Store

YET = "the ledger has not taken in the last {} of the log yet"
OFF = "the ledger is switched off here (setting `ledger`): {} of the log {} not in it"


@pytest.mark.parametrize(
    ("is_on", "behind", "words"),
    [
        (True, 40, YET.format("40 events")),
        (True, 1, YET.format("event")),
        (False, 40, OFF.format("40 events", "are")),
        (False, 1, OFF.format("1 event", "is")),
        (False, 0, ""),
    ],
)
def test_a_ledger_that_is_switched_off_is_not_said_to_come(
    tmp_path: Path, is_on: bool, behind: int, words: str
) -> None:
    """By how many events it is behind the log, and whether they will ever be in it."""
    path = tmp_path / "log.db"
    store = Store(
        f"sqlite:///{path}", new_log_id=uuid4, now_ns=time.time_ns, monotonic=time.monotonic
    )
    write(store, a_signal(0), a_decision(0))
    jobs = jobs_maker(load(flags={"database": str(path), "ledger": is_on}))()
    question = Question(ReportKind.OPPORTUNITY, ReportScope(2))
    made = jobs(ReportJob(question, Asked(1, behind)))
    store.close()
    notes = pb.GetBlockedOpportunityCostResponse.FromString(made.body).head.notes
    assert [note for note in notes if "of the log" in note] == ([words] if words else [])
