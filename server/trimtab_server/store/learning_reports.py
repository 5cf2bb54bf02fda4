"""Learning reports that were made on schedule: kept, listed, found."""

import json
from typing import Any, NamedTuple

from trimtab_server.store.database import Writer

REPORTS_MAX = 10_000

_SUMMARY = "report_id, environment, run_id, make_time_ns, start_ns, end_ns, findings"


class LearningReport(NamedTuple):
    """A report: what it is about, when it was made, what stood out, and the whole of it as bytes
    that the store does not look into (b"" where only a summary was asked for)."""

    report_id: str
    environment: int
    run_id: str
    make_time_ns: int
    start_ns: int
    end_ns: int
    findings: tuple[str, ...]
    body: bytes


def keep_report(writer: Writer, report: LearningReport, count_max: int = REPORTS_MAX) -> None:
    """Keeps a report, in the place of one with the same id; the oldest beyond `count_max` go."""
    changed = f"{_SUMMARY}, body".split(", ")[1:]
    writer.execute(
        f"INSERT INTO learning_reports ({_SUMMARY}, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (report_id) DO UPDATE SET"
        f" {', '.join(f'{name} = excluded.{name}' for name in changed)}",
        (*report[:6], json.dumps(report.findings, ensure_ascii=False), report.body),
    )
    (count,) = writer.execute("SELECT count(*) FROM learning_reports").fetchone()
    if count > count_max:
        writer.execute(
            "DELETE FROM learning_reports WHERE report_id IN (SELECT report_id"
            " FROM learning_reports ORDER BY make_time_ns, report_id LIMIT ?)",
            (count - count_max,),
        )


def page_query(
    environment: int | None, before: tuple[int, str] | None, count: int
) -> tuple[str, tuple[Any, ...]]:
    """The statement for a page of summaries, newest first, behind the report that was made at
    `before` (time, id), with its parameters."""
    conditions, parameters = [], list[Any]()
    if environment is not None:
        conditions.append("environment = ?")
        parameters.append(environment)
    if before is not None:
        conditions.append("(make_time_ns, report_id) < (?, ?)")
        parameters += before
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    statement = (
        f"SELECT {_SUMMARY} FROM learning_reports{where}"
        " ORDER BY make_time_ns DESC, report_id DESC LIMIT ?"
    )
    return statement, (*parameters, count)


REPORT_BY_ID = f"SELECT {_SUMMARY}, body FROM learning_reports WHERE report_id = ?"


def report_of(row: Any) -> LearningReport:
    """The report of a row, with or without its body."""
    findings, body = tuple(json.loads(row[6])), bytes(row[7]) if len(row) > 7 else b""
    return LearningReport._make((*row[:6], findings, body))
