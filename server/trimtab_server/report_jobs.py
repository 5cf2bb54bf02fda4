"""What a worker does: loads a scope of the ledger, calls domain functions, hands back bytes.

It runs in a process of its own, where heavy libraries may be loaded and no event loop waits. The
same ledger gives the same report: chance comes from a fixed seed.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trimtab_server.domain.documents.report_documents import rendered
from trimtab_server.domain.events import Violation
from trimtab_server.domain.ledger.cohorts import settled_ledger
from trimtab_server.domain.ledger.columns import (
    Ledger,
    LedgerCounts,
    LedgerScope,
    ResultStatus,
    ledger_counts,
)
from trimtab_server.domain.reasons import Reason
from trimtab_server.domain.reports.decay import decay_curves
from trimtab_server.domain.reports.guards import guard_lines
from trimtab_server.domain.reports.head import ReportHead
from trimtab_server.domain.reports.leaderboard import Leaderboard, leaderboard
from trimtab_server.domain.reports.learning_report import learning_report
from trimtab_server.domain.reports.missing_results import (
    given_up,
    missing_results,
    nothing_found,
)
from trimtab_server.domain.reports.opportunity import blocked_opportunity_cost
from trimtab_server.domain.reports.performance import performance_comparison
from trimtab_server.domain.reports.questions import (
    Asked,
    Codec,
    Job,
    Made,
    Question,
    ReportJob,
    ReportKind,
    ReportScope,
    ReportWorld,
    ScenarioAsked,
    SliceAsked,
    SweepOpening,
    SweepPart,
    WorldsJob,
)
from trimtab_server.domain.reports.scenarios import InvalidScenario, scenario_of
from trimtab_server.domain.reports.slices import (
    Groups,
    SliceField,
    attribute_groups,
    combined_groups,
    field_groups,
    number_groups,
)
from trimtab_server.domain.reports.what_if import ScenarioResult, WhatIf
from trimtab_server.domain.statistics.chance import part_rng
from trimtab_server.domain.wording import plural
from trimtab_server.errors import ConfigurationError, InvalidRequest, Unavailable
from trimtab_server.store.ledger_reader import LedgerReader, open_ledger
from trimtab_server.store.shared_columns import read_columns, write_columns

SEED = 20_240_229
"""Of every report, so that the same ledger gives the same one."""

_WEIGHTS = "model_weights"


class Loaded(NamedTuple):
    """A scope as it was loaded: its times narrowed to what was asked, and how far the ledger had
    come before. settled: the ledger without simulated results of signals that are too young to be
    counted: of those, what exits fast has one."""

    scope: LedgerScope
    through_sequence: int
    ledger: Ledger
    settled: Ledger
    first_ns: int
    end_ns: int
    counts: LedgerCounts


class ReportJobs:
    """Answers jobs in a worker. Remembers the scope that it loaded last, while the ledger has not
    moved on, when that takes no more than `kept_bytes_max`. rests: why the ledger does not follow
    the log, "" = it does."""

    def __init__(self, url: str, codec: Codec, kept_bytes_max: int, rests: str = "") -> None:
        self._url = url
        self._codec = codec
        self._kept_bytes_max = kept_bytes_max
        self._rests = rests
        self._opened: LedgerReader | None = None
        self._kept: Loaded | None = None
        self._shared: tuple[str, WhatIf] | None = None

    def __call__(self, job: Job) -> Any:
        """The answer to a job. Raises InvalidRequest, and Unavailable when the database is away."""
        try:
            return self._answer(job)
        except Unavailable:
            # The connection may be what is broken: the next job opens another.
            if self._opened is not None:
                self._opened.close()
            self._opened = self._kept = None
            raise

    def _answer(self, job: Job) -> Any:
        if isinstance(job, SweepPart):
            return self._part(job)
        # Its file is about to go, if it has not gone yet.
        self._shared = None
        if isinstance(job, SweepOpening):
            return self._opening(job)
        if isinstance(job, WorldsJob):
            return tuple(ReportWorld(*world) for world in self._reader().worlds())
        return self._report(job)

    def _reader(self) -> LedgerReader:
        if self._opened is None:
            try:
                self._opened = open_ledger(self._url)
            except ConfigurationError as error:
                # It was there when the sidecar started.
                raise Unavailable(Reason.STORE_UNAVAILABLE, str(error)) from error
        return self._opened

    # -- reports --------------------------------------------------------------------------------

    def _report(self, job: ReportJob) -> Made:
        question = job.question
        loaded = self._loaded(question.scope, question.window_ns)
        result, notes = self._result(question, loaded)
        head = self._head(question.scope, loaded, job.asked, notes)
        written = rendered(question.kind, result, head, question.form)
        told = replace(head, rendered=written)
        body = self._codec.report(question.kind, told, result, question.report_id)
        findings = tuple(getattr(result, "findings", ()))
        return Made(body, head.scope, head.counts.signal_count, findings)

    def _result(self, question: Question, loaded: Loaded) -> tuple[Any, tuple[str, ...]]:
        """What the kind's function says, and notes of it that belong to the head."""
        ledger, level = loaded.ledger, question.scope.level
        # Of the kind: as a part of another report it has the same numbers.
        seeded = np.random.default_rng(SEED)
        rng = part_rng(seeded, question.kind)
        match question.kind:
            case ReportKind.OPPORTUNITY:
                return blocked_opportunity_cost(loaded.settled, rng, level), ()
            case ReportKind.GUARDS:
                return guard_lines(loaded.settled, rng, level=level), ()
            case ReportKind.COMPARISON:
                return performance_comparison(loaded.settled, rng, level), ()
            case ReportKind.DECAY:
                ages = self._reader().load_ages(loaded.scope, ledger)
                curves = decay_curves(ledger, *ages, rng, level)
                return curves, curves.notes
            case ReportKind.LEADERBOARD:
                board = self._leaderboard(question, loaded, rng)
                return board, board.notes
            case ReportKind.LEARNING:
                trials = self._reader().load_trials(loaded.scope)
                return learning_report(loaded.settled, seeded, trial_count=trials, level=level), ()
            case ReportKind.WHAT_IF:
                return self._what_if(question, loaded), ()

    def _leaderboard(
        self, question: Question, loaded: Loaded, rng: np.random.Generator
    ) -> Leaderboard:
        groups, notes = self._groups(question.slices, loaded)
        board = leaderboard(
            loaded.settled,
            groups,
            rng,
            basis=question.basis,
            trial_count=self._reader().load_trials(loaded.scope),
            undeclared_trial_count=question.undeclared_trial_count,
            level=question.scope.level,
        )
        return replace(board, notes=(*board.notes, *notes))

    def _groups(
        self, slices: tuple[SliceAsked, ...], loaded: Loaded
    ) -> tuple[Groups, tuple[str, ...]]:
        """How the signals are told apart, and of what no signal told anything."""
        ledger, notes = loaded.ledger, []
        parts = []
        for each in slices or (SliceAsked("field", "strategy"),):
            if each.by == "field":
                parts.append(field_groups(ledger, SliceField[each.name.upper()]))
                continue
            told = self._reader().load_contexts(loaded.scope, ledger, each.by, each.name)
            if isinstance(told, tuple):
                parts.append(attribute_groups(each.name, *told))
            else:
                parts.append(number_groups(each.name, told, each.bin_count))
            if len(ledger) and parts[-1].is_untold:
                notes.append(f"no signal in this scope tells {each.by} {each.name!r}")
        return combined_groups(parts), tuple(notes)

    def _what_if(self, question: Question, loaded: Loaded) -> ScenarioResult:
        asked = question.scenario or {}
        predictions = None
        if has_weights([asked]):
            predictions = self._reader().load_predictions(loaded.scope, loaded.ledger)
        paths = [f"scenario.changes[{index}]" for index in range(len(asked["changes"]))]
        world = WhatIf(loaded.settled, predictions)
        return scenario_result(world, asked, paths, question.scope.level)

    # -- sweeps ---------------------------------------------------------------------------------

    def _opening(self, job: SweepOpening) -> bytes:
        loaded = self._loaded(job.scope, 0)
        predictions = None
        if job.has_predictions:
            predictions = self._reader().load_predictions(loaded.scope, loaded.ledger)
        write_columns(Path(job.path), (loaded.settled, predictions))
        # From now on it reads what all of them read.
        self._kept = None
        return self._codec.sweep_head(self._head(job.scope, loaded, job.asked, ()))

    def _part(self, job: SweepPart) -> bytes:
        if self._shared is None or self._shared[0] != job.path:
            # What is remembered makes room first.
            self._kept = self._shared = None
            self._shared = (job.path, WhatIf(*read_columns(Path(job.path))))
        world = self._shared[1]
        return self._codec.sweep_results(
            (
                each.place,
                scenario_result(world, each.asked, each.paths, job.level, job.sweep_count),
            )
            for each in job.scenarios
        )

    # -- loading --------------------------------------------------------------------------------

    def _loaded(self, asked: ReportScope, window_ns: int) -> Loaded:
        """The scope's signals, remembered or read."""
        reader = self._reader()
        through = reader.through_sequence()
        scope = LedgerScope(
            asked.environment,
            asked.run_id,
            asked.source,
            asked.strategy,
            asked.symbol,
            asked.start_time_ns,
            asked.end_time_ns,
        )
        bounds = reader.bounds(scope)
        if window_ns:
            end_ns = scope.end_ns or bounds.last_ns + 1
            scope = replace(scope, start_ns=max(1, end_ns - window_ns), end_ns=end_ns)
        kept = self._kept
        if kept is not None and (kept.scope, kept.through_sequence) == (scope, through):
            return kept
        # What is remembered makes room first.
        self._kept = kept = None
        ledger = reader.load(scope)
        counts = ledger_counts(
            ledger,
            bounds.unattributed_fill_count,
            bounds.late_event_count,
            bounds.unfollowed_count,
        )
        times = ledger.signal_time_ns
        # The end is exclusive: asked again with it, a scope holds the same signals.
        ends = (int(times[0]), int(times[-1]) + 1) if times.size else (0, 0)
        loaded = Loaded(scope, through, ledger, settled_ledger(ledger), *ends, counts)
        if byte_count(ledger) <= self._kept_bytes_max:
            self._kept = loaded
        return loaded

    def _head(
        self, asked: ReportScope, loaded: Loaded, when: Asked, notes: tuple[str, ...]
    ) -> ReportHead:
        scope = replace(
            asked,
            start_time_ns=loaded.scope.start_ns or loaded.first_ns,
            end_time_ns=loaded.scope.end_ns or loaded.end_ns,
        )
        return ReportHead(
            scope=scope,
            make_time_ns=when.time_ns,
            log_id=self._reader().log_id(),
            through_sequence=loaded.through_sequence,
            counts=loaded.counts,
            notes=(*self._missing(loaded), *self._behind(loaded, when), *_limits(loaded), *notes),
        )

    def _missing(self, loaded: Loaded) -> tuple[str, ...]:
        """What is not there to be told: signals of this scope, or their results."""
        if not len(loaded.ledger):
            return nothing_found([ReportWorld(*world) for world in self._reader().worlds()])
        return (*missing_results(loaded.ledger), *given_up(loaded.counts))

    def _behind(self, loaded: Loaded, when: Asked) -> tuple[str, ...]:
        """By how many events the ledger is behind the log, and whether it follows."""
        behind = when.last_sequence - loaded.through_sequence
        if behind <= 0:
            return ()
        if self._rests:
            events = plural(behind, "event of the log is", "events of the log are")
            return (f"{self._rests}: {events} not in it",)
        events = "event" if behind == 1 else f"{behind:,} events"
        return (f"the ledger has not taken in the last {events} of the log yet",)


def _limits(loaded: Loaded) -> tuple[str, ...]:
    """What limits any report on such a ledger, in words."""
    counts, found = loaded.counts, []
    if counts.signal_count and not counts.shadow_matured_count:
        found.append("no signal has a simulated result: it takes prices behind the decisions")
    elif young := int(np.count_nonzero(loaded.settled.has_shadow & ~loaded.settled.has_counted)):
        found.append(
            f"{young:,} simulated results are left out of what is compared and added up: others of"
            " their age are still open, and what exits fast is no fair sample"
        )
    names, status = loaded.ledger.names, loaded.ledger.shadow_status
    if others := int(np.count_nonzero(status == ResultStatus.NONE)):
        found.append(
            f"simulated results are those of the fill model {names.fill_model}: {others:,} signals"
            " that only another one has followed are left out"
        )
    if counts.signal_count and counts.undecided_count == counts.signal_count:
        found.append("no signal has a decision: what blocking did cannot be told")
    return tuple(found)


def scenario_result(
    world: WhatIf,
    asked: ScenarioAsked,
    paths: Sequence[str],
    level: float,
    sweep_count: int | None = None,
) -> ScenarioResult:
    """What a scenario comes to. paths: where the request tells each change. sweep_count: scenarios
    of its sweep. Raises InvalidRequest for one that makes no sense for this ledger."""
    # The guards' own: without one guard, a scenario has the interval that this guard's value has.
    rng = part_rng(np.random.default_rng(SEED), ReportKind.GUARDS)
    try:
        return world.result(scenario_of(asked), rng, level=level, sweep_count=sweep_count)
    except InvalidScenario as error:
        raise InvalidRequest(*(_located(each, paths) for each in error.violations)) from error


def _located(violation: Violation, paths: Sequence[str]) -> Violation:
    """A violation with the request's path in the place of the scenario's own."""
    for index, path in enumerate(paths):
        own = f"changes[{index}]"
        if violation.field == own or violation.field.startswith(own + "."):
            return Violation(path + violation.field.removeprefix(own), violation.description)
    return violation


def has_weights(scenarios: Iterable[Any]) -> bool:
    """Whether a scenario weights models, so that predictions are needed."""
    return any(_WEIGHTS in change for each in scenarios for change in each.get("changes", ()))


def byte_count(value: Any) -> int:
    """What the arrays in a dataclass take."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if is_dataclass(value):
        return sum(byte_count(getattr(value, field.name)) for field in fields(value))
    return sys.getsizeof(value)
