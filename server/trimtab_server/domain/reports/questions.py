"""What a report is asked, in plain values: light to load and to hand to another process."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, TypeAlias

LEVEL = 0.95
"""Level of intervals where none was asked."""

ScenarioAsked: TypeAlias = Mapping[str, Any]
"""A scenario field by field, as in the contract: names to numbers, words, tuples and mappings. What
was not told is not in it."""


class ReportKind(StrEnum):
    """Which report."""

    LEARNING = "learning"
    OPPORTUNITY = "opportunity"
    GUARDS = "guards"
    LEADERBOARD = "leaderboard"
    DECAY = "decay"
    COMPARISON = "comparison"
    WHAT_IF = "what_if"


class ReportForm(IntEnum):
    """How a report is written out beside its numbers; values as in the contract."""

    NUMBERS = 0
    MARKDOWN = 1
    HTML = 2


class Basis(IntEnum):
    """Whose results a leaderboard is made of; values as in the contract."""

    REAL = 1
    SHADOW = 2


@dataclass(frozen=True, slots=True)
class ReportScope:
    """Which signals a report is about: environment as in the contract, run_id for BACKTEST, "" =
    all of a name; those from start_time_ns (0 = the first) until before end_time_ns (0 = to the
    last). level: of the intervals."""

    environment: int
    run_id: str = ""
    source: str = ""
    strategy: str = ""
    symbol: str = ""
    start_time_ns: int = 0
    end_time_ns: int = 0
    level: float = LEVEL


class SliceAsked(NamedTuple):
    """How signals are told apart: by `field`, `indicator`, `feature` or `attribute`. name: of the
    field in lower case (`strategy`), or of the reading. bin_count: of a number."""

    by: str
    name: str
    bin_count: int = 4


@dataclass(frozen=True, slots=True)
class Question:
    """One report. What is not for its kind is left as it is.

    window_ns: LEARNING: the last so much of event time up to the scope's end (or the last signal),
    0 = the whole scope. report_id: LEARNING on schedule. basis, slices, undeclared_trial_count:
    LEADERBOARD. scenario: WHAT_IF.
    """

    kind: ReportKind
    scope: ReportScope
    form: ReportForm = ReportForm.NUMBERS
    window_ns: int = 0
    report_id: str = ""
    slices: tuple[SliceAsked, ...] = ()
    basis: Basis = Basis.REAL
    undeclared_trial_count: int = 0
    scenario: ScenarioAsked | None = None


class Asked(NamedTuple):
    """When it is asked (nanoseconds UTC) and how far the log reaches by then."""

    time_ns: int
    last_sequence: int


# -- jobs: what a worker is given -----------------------------------------------------------------


class ReportJob(NamedTuple):
    """Make a report. Answered by a `Made`."""

    question: Question
    asked: Asked


class SweepOpening(NamedTuple):
    """Load a scope once for the whole sweep, into the file `path`, so that every scenario is held
    against the same ledger. has_predictions: a scenario weights models. Answered by the head's
    bytes."""

    scope: ReportScope
    asked: Asked
    path: str
    has_predictions: bool


class SweepScenario(NamedTuple):
    """A scenario of a sweep: its place, what it is, and where the request tells each change."""

    place: int
    asked: ScenarioAsked
    paths: tuple[str, ...]


class SweepPart(NamedTuple):
    """Compute scenarios on what the file `path` holds. sweep_count: scenarios of the whole sweep.
    Answered by the results' bytes."""

    path: str
    level: float
    scenarios: tuple[SweepScenario, ...]
    sweep_count: int


class WorldsJob(NamedTuple):
    """Tell the worlds that hold signals. Answered by a tuple of `ReportWorld`."""


Job: TypeAlias = ReportJob | SweepOpening | SweepPart | WorldsJob


class ReportWorld(NamedTuple):
    """An environment or a run, with the times of its first and last signal."""

    environment: int
    run_id: str
    first_time_ns: int
    last_time_ns: int


class KeptReport(NamedTuple):
    """A learning report that was made on schedule. body: the bytes of its response; empty in a
    list."""

    report_id: str
    environment: int
    run_id: str
    make_time_ns: int
    start_time_ns: int
    end_time_ns: int
    findings: tuple[str, ...]
    body: bytes = b""


class Made(NamedTuple):
    """A report: the bytes of its response, and of a learning report what its list tells."""

    body: bytes
    scope: ReportScope
    signal_count: int
    findings: tuple[str, ...] = ()


class Codec(NamedTuple):
    """How a worker turns results into bytes: a report (kind, head, result, report_id), the head of
    a sweep, and results of a sweep by place. Functions of a module, so that they can be named to
    another process."""

    report: Callable[[ReportKind, Any, Any, str], bytes]
    sweep_head: Callable[[Any], bytes]
    sweep_results: Callable[[Iterable[tuple[int, Any]]], bytes]
