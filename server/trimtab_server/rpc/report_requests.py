"""Requests for reports, read and checked: every field at fault is named by its path."""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.domain.events import Environment, Violation
from trimtab_server.domain.reports.questions import (
    LEVEL,
    Basis,
    KeptReport,
    Question,
    ReportForm,
    ReportKind,
    ReportScope,
    SliceAsked,
    SweepScenario,
)
from trimtab_server.errors import InvalidRequest
from trimtab_server.rpc.convert import to_ns
from trimtab_server.rpc.report_scenarios import (
    check_scenario,
    check_words,
    plain,
    repeated,
    scenarios_of,
)
from trimtab_server.rpc.rules import ID_LENGTH_MAX, Shape
from trimtab_server.rpc.validation import wrong_time

_LEVEL_MIN, _LEVEL_MAX = 0.5, 0.999
_SLICES_MAX = 3
_BINS_DEFAULT, _BINS_MIN, _BINS_MAX = 4, 2, 20
_TRIALS_MAX = 1_000_000
_REPORT_ID_LENGTH_MAX = 256
_TOKEN_LENGTH_MAX = 4_096
_VIOLATIONS_MAX = 16
_BACKTEST = int(Environment.BACKTEST)
_ENVIRONMENTS = frozenset(int(each) for each in Environment)
_FIELD_PREFIX = "SLICE_FIELD_"


class Wanted(NamedTuple):
    """A question, and the sequence that the ledger must have taken in before (0 = as it is)."""

    question: Question
    after_sequence: int


class SweepWanted(NamedTuple):
    """A sweep: the scope, the scenarios by index, and what the ledger must have taken in before."""

    scope: ReportScope
    scenarios: tuple[SweepScenario, ...]
    after_sequence: int


def plain_question(kind: ReportKind, request: Any) -> Wanted:
    """A question that is a scope and options, nothing else. Raises InvalidRequest."""
    found: list[Violation] = []
    wanted = _wanted(kind, request, found)
    _raise(found)
    return wanted


def learning_question(request: pb.GetLearningReportRequest) -> Wanted:
    """The question for a new learning report; `kept_report` reads the others. Raises
    InvalidRequest."""
    found: list[Violation] = []
    wanted = _wanted(ReportKind.LEARNING, request, found)
    window_ns = 0
    if request.HasField("window"):
        words = wrong_time(request.window, Shape.POSITIVE_DURATION)
        if words is not None:
            found.append(Violation("window", words))
        if request.scope.HasField("start_time"):
            found.append(Violation("window", "takes the place of scope.start_time"))
        window_ns = request.window.seconds * 10**9 + request.window.nanos
    _raise(found)
    question = Question(
        wanted.question.kind, wanted.question.scope, wanted.question.form, window_ns=window_ns
    )
    return wanted._replace(question=question)


def kept_report(request: pb.GetLearningReportRequest) -> str:
    """The id of a report that was made on schedule, "" when a new one is asked for. Raises
    InvalidRequest for what cannot be asked of one that is made already."""
    report_id = request.report_id
    if not report_id:
        return ""
    found: list[Violation] = []
    check_words(report_id, "report_id", found, _REPORT_ID_LENGTH_MAX)
    told = [name for name in ("scope", "window") if request.HasField(name)]
    if request.options.after_sequence:
        told.append("options.after_sequence")
    words = "is not for a report that is made already"
    found += [Violation(name, words) for name in told]
    if request.options.format not in (pb.REPORT_FORMAT_UNSPECIFIED, pb.REPORT_FORMAT_MARKDOWN):
        words = "one that was made on schedule is kept with Markdown only"
        found.append(Violation("options.format", words))
    _raise(found)
    return report_id


def leaderboard_question(request: pb.GetStrategyLeaderboardRequest) -> Wanted:
    """The question. Raises InvalidRequest."""
    found: list[Violation] = []
    wanted = _wanted(ReportKind.LEADERBOARD, request, found)
    slices = request.slices
    if len(slices) > _SLICES_MAX:
        words = f"has {len(slices)} entries; {_SLICES_MAX} are allowed"
        found.append(Violation("slices", words))
    told = [_slice(each, path, found) for path, each in repeated(slices[:_SLICES_MAX], "slices")]
    if len({(each.by, each.name) for each in told}) < len(told):
        found.append(Violation("slices", "the same slice is told twice"))
    if request.basis not in pb.LeaderboardBasis.values():
        found.append(Violation("basis", f"{request.basis} is no value of LeaderboardBasis"))
    count = request.undeclared_trial_count
    if not 0 <= count <= _TRIALS_MAX:
        words = f"must be from 0 to {_TRIALS_MAX:,}, is {count}"
        found.append(Violation("undeclared_trial_count", words))
    _raise(found)
    question = Question(
        ReportKind.LEADERBOARD,
        wanted.question.scope,
        wanted.question.form,
        slices=tuple(told),
        basis=Basis(request.basis or Basis.REAL),
        undeclared_trial_count=count,
    )
    return wanted._replace(question=question)


def what_if_question(request: pb.RunWhatIfRequest) -> Wanted:
    """The question. Raises InvalidRequest."""
    found: list[Violation] = []
    wanted = _wanted(ReportKind.WHAT_IF, request, found)
    if not request.HasField("scenario"):
        found.append(Violation("scenario", "is required"))
    else:
        check_scenario(request.scenario, "scenario.", found)
    _raise(found)
    question = Question(
        ReportKind.WHAT_IF,
        wanted.question.scope,
        wanted.question.form,
        scenario=plain(request.scenario),
    )
    return wanted._replace(question=question)


def sweep(request: pb.RunWhatIfSweepRequest) -> SweepWanted:
    """The scenarios: those that are told, then the grid, its last axis changing fastest. Raises
    InvalidRequest."""
    found: list[Violation] = []
    wanted = _wanted(ReportKind.WHAT_IF, request, found)
    scenarios = scenarios_of(request.scenarios, request.axes, found)
    _raise(found)
    return SweepWanted(wanted.question.scope, scenarios, wanted.after_sequence)


def list_environment(request: pb.ListLearningReportsRequest) -> int:
    """Of which environment, 0 = all. Raises InvalidRequest."""
    environment: int = request.environment
    if environment and environment not in _ENVIRONMENTS:
        words = f"{environment} is no value of Environment"
        raise InvalidRequest(Violation("environment", words))
    return environment


# -- page tokens --------------------------------------------------------------------------------


def reports_token(environment: int, log_id: str, last: KeptReport) -> str:
    """An opaque token of the place behind `last`, good for the same list on the same log."""
    place = [_list_digest(environment, log_id), last.make_time_ns, last.report_id]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def reports_position(environment: int, log_id: str, token: str) -> tuple[int, str] | None:
    """The place in a token, None for an empty one. Raises InvalidRequest when it is damaged or
    belongs to another list or log."""
    if not token:
        return None
    wrong = InvalidRequest(Violation("page_token", "is damaged, or belongs to another list or log"))
    if len(token) > _TOKEN_LENGTH_MAX:
        raise wrong
    try:
        words = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        digest, time_ns, report_id = json.loads(words)
    except (ValueError, TypeError, RecursionError) as error:
        raise wrong from error
    is_whole = type(time_ns) is int and abs(time_ns) < 1 << 63 and isinstance(report_id, str)
    if digest != _list_digest(environment, log_id) or not is_whole or "\0" in report_id:
        raise wrong
    return time_ns, report_id


def _list_digest(environment: int, log_id: str) -> str:
    return hashlib.blake2b(f"reports\0{environment}\0{log_id}".encode(), digest_size=9).hexdigest()


# -- what every request has ---------------------------------------------------------------------


def _wanted(kind: ReportKind, request: Any, found: list[Violation]) -> Wanted:
    """What every question has; what is wrong with it goes into `found`."""
    options = request.options
    if options.format not in pb.ReportFormat.values():
        words = f"{options.format} is no value of ReportFormat"
        _raise([*found, Violation("options.format", words)])
    if options.after_sequence < 0:
        words = f"must not be negative, is {options.after_sequence}"
        found.append(Violation("options.after_sequence", words))
    if not request.HasField("scope"):
        _raise([*found, Violation("scope", "is required")])
    question = Question(kind, _scope(request.scope, found), ReportForm(options.format))
    return Wanted(question, options.after_sequence)


def _scope(scope: pb.ReportScope, found: list[Violation]) -> ReportScope:
    environment, level = scope.environment, scope.level
    if environment not in _ENVIRONMENTS:
        words = f"{environment} is no value of Environment" if environment else "is required"
        found.append(Violation("scope.environment", words))
    check_words(scope.run_id, "scope.run_id", found, ID_LENGTH_MAX)
    if environment == _BACKTEST and not scope.run_id:
        found.append(Violation("scope.run_id", "is required for ENVIRONMENT_BACKTEST"))
    for name in ("source", "strategy", "symbol"):
        check_words(getattr(scope, name), f"scope.{name}", found)
    start_ns, end_ns = (_time(scope, name, found) for name in ("start_time", "end_time"))
    if end_ns is not None and end_ns <= (start_ns or 0):
        found.append(Violation("scope.end_time", "must lie behind scope.start_time"))
    # Written so that NaN is refused.
    if level and not _LEVEL_MIN <= level <= _LEVEL_MAX:
        words = f"must be from {_LEVEL_MIN:g} to {_LEVEL_MAX:g}, is {level:g}"
        found.append(Violation("scope.level", words))
    return ReportScope(
        environment,
        scope.run_id,
        scope.source,
        scope.strategy,
        scope.symbol,
        start_ns or 0,
        end_ns or 0,
        level or LEVEL,
    )


def _slice(told: pb.Slice, path: str, found: list[Violation]) -> SliceAsked:
    by = told.WhichOneof("by") or ""
    bins = told.bin_count
    name = ""
    if not by:
        found.append(Violation(f"{path}.by", "is required: field, indicator, feature, attribute"))
    elif by == "field":
        if told.field not in pb.SliceField.values() or not told.field:
            found.append(Violation(f"{path}.field", f"{told.field} is no field to slice by"))
        else:
            name = pb.SliceField.Name(told.field).removeprefix(_FIELD_PREFIX).lower()
    else:
        name = getattr(told, by)
        check_words(name, f"{path}.{by}", found, required=True)
    if bins and by not in ("indicator", "feature"):
        found.append(Violation(f"{path}.bin_count", "is for indicator and feature only"))
    elif bins and not _BINS_MIN <= bins <= _BINS_MAX:
        words = f"must be from {_BINS_MIN} to {_BINS_MAX}, is {bins}"
        found.append(Violation(f"{path}.bin_count", words))
    return SliceAsked(by, name, bins or _BINS_DEFAULT)


def _time(message: Any, name: str, found: list[Violation]) -> int | None:
    if not message.HasField(name):
        return None
    when = getattr(message, name)
    words = wrong_time(when, Shape.TIME)
    if words is not None:
        found.append(Violation(f"scope.{name}", words))
        return None
    return to_ns(when)


def _raise(found: Sequence[Violation]) -> None:
    if found:
        raise InvalidRequest(*found[:_VIOLATIONS_MAX])
