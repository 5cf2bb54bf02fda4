"""A worker that makes up its answers: what it does is told by the scope's strategy."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.domain.events import Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.domain.reports.questions import (
    Job,
    Made,
    ReportJob,
    ReportScope,
    SweepOpening,
    SweepPart,
)
from trimtab_server.errors import InvalidRequest, Unavailable
from trimtab_server.rpc.report_messages import RESPONSES, scope_message


def make() -> Callable[[Job], Any]:
    """The function that answers jobs."""
    return answer


def answer(job: Any) -> Any:
    """What a real worker would hand back, without anything in it."""
    if isinstance(job, ReportJob):
        _behave(job.question.scope)
        response: Any = RESPONSES[job.question.kind].message()
        response.head.scope.CopyFrom(scope_message(job.question.scope))
        response.head.make_time.FromNanoseconds(job.asked.time_ns)
        response.head.through_sequence = job.asked.last_sequence
        response.head.notes.append(repr(job.question))
        return Made(response.SerializeToString(), job.question.scope, 1)
    if isinstance(job, SweepOpening):
        _behave(job.scope)
        Path(job.path).write_text(job.scope.strategy, encoding="utf-8")
        message = pb.RunWhatIfSweepResponse()
        message.head.log_id = str(job.has_predictions)
        return message.SerializeToString()
    assert isinstance(job, SweepPart)
    message = pb.RunWhatIfSweepResponse()
    for each in job.scenarios:
        if each.asked.get("name") == "sleep":
            time.sleep(300)
        if each.asked.get("name") == "refuse":
            raise InvalidRequest(Violation(each.paths[0], "is unknown to this ledger"))
        message.results.add(index=each.place).result.name = repr(each.asked)
    return message.SerializeToString()


def _behave(scope: ReportScope) -> None:
    match scope.strategy:
        case "sleep":
            Path(scope.source).write_text(str(os.getpid()), encoding="utf-8")
            time.sleep(300)
        case "die":
            os._exit(7)
        case "fail":
            raise KeyError("nobody foresaw this")
        case "away":
            raise Unavailable(Reason.STORE_UNAVAILABLE, "the database is away")
