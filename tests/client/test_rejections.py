from __future__ import annotations

import pytest

from trimtab.v1 import error_pb2
from trimtab_client import Rejection
from trimtab_client.rejections import RejectionReports


def rejection(number: int) -> Rejection:
    """As a server tells it."""
    made = Rejection(producer_seq=number, event_id=f"e{number}")
    made.reason = error_pb2.ERROR_REASON_INVALID_FIELD
    made.violations.add(field="signal.confidence", description="0 to 1")
    made.violations.add(field="symbol", description="second")
    return made


def test_the_first_warns_at_once_then_one_a_minute_with_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A broken field rejects every event: one line says so, a thousand would hide it."""
    now_s = 0.0
    reports = RejectionReports(None, lambda: now_s)
    reports.report([])
    assert caplog.messages == []
    reports.report([rejection(1)])
    [told] = caplog.messages
    assert told == (
        "trimtab recorder: the server rejected an event, not stored: "
        "INVALID_FIELD, signal.confidence: 0 to 1 (event_id e1)"
    )
    now_s = 59.0
    reports.report([rejection(2), rejection(3)])
    assert len(caplog.messages) == 1
    now_s = 60.0
    reports.report([rejection(4)])
    assert len(caplog.messages) == 2
    assert "rejected 3 events, not stored: for example INVALID_FIELD" in caplog.messages[1]
    reports.finish()
    assert len(caplog.messages) == 2


def test_the_end_tells_of_those_that_no_warning_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A recorder that ends within the minute keeps nothing back."""
    reports = RejectionReports(None, lambda: 0.0)
    reports.report([rejection(1)])
    reports.report([rejection(2), rejection(3)])
    reports.finish()
    assert len(caplog.messages) == 2
    assert "2 events" in caplog.messages[1]


def test_the_callback_hears_of_each() -> None:
    """Warnings are rare, calls are not."""
    told: list[Rejection] = []
    reports = RejectionReports(told.append, lambda: 0.0)
    reports.report([rejection(1), rejection(2)])
    assert [r.producer_seq for r in told] == [1, 2]
