"""What a worker does with a job: a real ledger in a file, the domain's functions, the contract's
bytes."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from tests.store.ledger_facts import (
    LANE,
    SECOND_NS,
    START_NS,
    a_decision,
    a_markout,
    a_prediction,
    a_shadow,
    a_signal,
    an_outcome,
    write,
)
from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.domain.ledger.columns import Ledger, LedgerScope
from trimtab_server.domain.reasons import Reason
from trimtab_server.domain.reports.questions import (
    Asked,
    Basis,
    Codec,
    Made,
    Question,
    ReportForm,
    ReportJob,
    ReportKind,
    ReportScope,
    ReportWorld,
    SliceAsked,
    SweepOpening,
    SweepPart,
    SweepScenario,
    WorldsJob,
)
from trimtab_server.errors import InvalidRequest, NotFound, Unavailable
from trimtab_server.loop.worker_process import Maker
from trimtab_server.report_jobs import ReportJobs, byte_count
from trimtab_server.reports import KeptReports
from trimtab_server.rpc.report_messages import (
    RESPONSES,
    report_bytes,
    sweep_head_bytes,
    sweep_results_bytes,
)
from trimtab_server.store.learning_reports import LearningReport
from trimtab_server.store.ledger_reader import LedgerReader
from trimtab_server.store.store import Store

CODEC = Codec(report_bytes, sweep_head_bytes, sweep_results_bytes)
PAPER = ReportScope(2)
ASKED = Asked(5_000_000_000, 40)
OFF = {"changes": ({"guard_off": {"guard": "volatility"}},)}
COUNT = 40


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database whose ledger holds forty signals, every other one blocked, all followed."""
    path = tmp_path_factory.mktemp("jobs") / "log.db"
    store = opened(path)
    rng = np.random.default_rng(3)
    for n in range(COUNT):
        result = float(rng.normal(0.01, 0.02))
        at = n * 7_200
        facts: list[Any] = [
            a_signal(
                at,
                strategy=f"s{n % 3}",
                context=f'{{"i": {{"rsi": {n}}}, "a": {{"desk": "d{n % 2}"}}}}'.encode(),
            ),
            a_decision(at, strategy=f"s{n % 3}", action=2 if n % 2 else 1),
            a_prediction(at, "m1", 0.6),
            a_shadow(
                at,
                return_fraction=result,
                flags=0,
                markouts=(a_markout(60, result / 2), a_markout(600, result)),
            ),
        ]
        if not n % 2:
            facts.append(an_outcome(at, return_fraction=result - 0.001))
        write(store, *facts)
    report = LearningReport("daily-1", 2, "", 7, 5, 6, ("it costs",), b"body")
    with store._database.writing() as writer:
        store.ledger.keep_report(writer, report)
    yield f"sqlite:///{path}"
    store.close()


def opened(path: Path) -> Store:
    """A store in a new file."""
    return Store(
        f"sqlite:///{path}", new_log_id=uuid4, now_ns=time.time_ns, monotonic=time.monotonic
    )


@pytest.fixture
def jobs(url: str) -> ReportJobs:
    """A worker's jobs over that ledger."""
    return ReportJobs(url, CODEC, 1 << 30)


def asked(kind: ReportKind, scope: ReportScope = PAPER, **told: Any) -> ReportJob:
    """A job for a report."""
    return ReportJob(Question(kind, scope, **told), ASKED)


def answer(jobs: ReportJobs, job: ReportJob) -> Any:
    """The response that a job's bytes are."""
    made: Made = jobs(job)
    return RESPONSES[job.question.kind].message.FromString(made.body)


FORMS = [(kind, ReportForm.MARKDOWN) for kind in ReportKind]
FORMS += [(ReportKind.OPPORTUNITY, ReportForm.NUMBERS), (ReportKind.LEARNING, ReportForm.HTML)]


@pytest.mark.parametrize(("kind", "form"), FORMS)
def test_every_kind_of_report_is_made_in_every_form(
    jobs: ReportJobs, kind: ReportKind, form: ReportForm
) -> None:
    """From the ledger to bytes, with its head."""
    job = asked(kind, form=form, scenario=OFF if kind is ReportKind.WHAT_IF else None)
    response = answer(jobs, job)
    head = response.head
    assert (head.counts.signal_count, head.counts.blocked_count) == (COUNT, COUNT // 2)
    assert head.make_time.ToNanoseconds() == ASKED.time_ns
    assert len(head.log_id) == 36
    assert head.scope.start_time.ToNanoseconds() == START_NS
    assert head.scope.end_time.ToNanoseconds() == START_NS + (COUNT - 1) * 7_200 * SECOND_NS + 1
    assert bool(head.rendered) == (form is not ReportForm.NUMBERS)
    assert ("<html" in head.rendered) == (form is ReportForm.HTML)


def test_what_signals_made_over_horizons_is_told_with_intervals(tmp_path: Path) -> None:
    """From the shadow's results to the report: an hour's with intervals, seven trading days' with
    what is missing; one that lost its prices is told as lost, one without an entry nowhere."""
    store = opened(tmp_path / "log.db")
    hour, day = 3_600, 24 * 3_600
    moved = np.random.default_rng(4).normal(0.002, 0.01, 60)
    for n, value in enumerate(moved.tolist()):
        at = n * 3 * hour
        done = {"return_fraction": value, "mae": 0.01, "volatility": 0.001 * (1 + n % 2)}
        write(store, a_signal(at), a_shadow(at, return_fraction=value))
        end_ns = START_NS + (at + hour) * SECOND_NS
        write(store, a_shadow(at, age_ns=hour * SECOND_NS, time_ns=end_ns, **done))
        if n < 4:
            week = {"trading_days": 7, "calendar": "XNYS"}
            end_ns = START_NS + (at + 9 * day) * SECOND_NS
            write(store, a_shadow(at, time_ns=end_ns, **week, **done))
    late = 59 * 3 * hour + 60
    write(store, a_signal(late), a_shadow(late, age_ns=hour * SECOND_NS, status=2))
    write(store, a_signal(late + 1), a_shadow(late + 1, age_ns=hour * SECOND_NS, flags=8))
    jobs = ReportJobs(f"sqlite:///{tmp_path / 'log.db'}", CODEC, 1 << 30)
    response = answer(jobs, asked(ReportKind.DECAY, form=ReportForm.MARKDOWN))
    short, long = response.horizons
    assert short.horizon.duration.ToNanoseconds() == hour * SECOND_NS
    assert (short.matured_count, short.young_count, short.censored_count) == (60, 0, 1)
    mean = short.mean_return
    assert mean.value == pytest.approx(moved.mean())
    assert mean.low < moved.mean() < mean.high
    assert short.mean_mfe.value == pytest.approx(0.05)
    assert short.mean_mae.value == pytest.approx(0.01)
    assert short.mean_realized_volatility.value == pytest.approx(0.0015)
    assert (long.horizon.trading_days, long.horizon.calendar) == (7, "XNYS")
    assert (long.matured_count, long.mean_return.n) == (4, 4)
    assert not long.mean_return.HasField("low")
    assert "an interval needs 10" in long.mean_return.note
    assert "All signals over fixed horizons" in response.head.rendered
    assert "| 7 XNYS d | 4 | - |" in response.head.rendered
    assert "60 min: 1 signal left out, because prices stopped" in response.head.rendered
    store.close()


def test_the_same_ledger_gives_the_same_report(url: str) -> None:
    """To the bit, from whichever worker."""
    job = asked(ReportKind.GUARDS)
    one, other = (ReportJobs(url, CODEC, 0)(job) for _ in range(2))
    assert one == other


def test_a_report_asked_again_with_its_own_scope_holds_the_same_signals(jobs: ReportJobs) -> None:
    """The scope that a head tells ends behind the last signal, not before it."""
    made: Made = jobs(asked(ReportKind.GUARDS))
    again: Made = jobs(asked(ReportKind.GUARDS, made.scope))
    assert (again.signal_count, again.scope) == (COUNT, made.scope)


def test_a_ledger_that_is_behind_the_log_says_so(jobs: ReportJobs) -> None:
    """By how many events."""
    notes = answer(jobs, asked(ReportKind.GUARDS)).head.notes
    assert any("40 events" in note for note in notes)


@pytest.mark.parametrize("kind", ReportKind)
def test_a_scope_without_signals_is_a_report_that_says_so(
    jobs: ReportJobs, kind: ReportKind
) -> None:
    """No error, no number out of nothing; and which environments have signals."""
    wanted = {"changes": ({"confidence_threshold": {"threshold": 0.5}},)}
    job = asked(kind, ReportScope(1), form=ReportForm.MARKDOWN, scenario=wanted)
    head = answer(jobs, job).head
    assert not head.counts.signal_count
    assert any("no signal" in note for note in head.notes)
    assert any("there are signals of paper, from" in note for note in head.notes)
    assert not head.scope.HasField("start_time")


def test_results_of_another_fill_model_are_left_out_with_a_note(tmp_path: Path) -> None:
    """How many signals that costs, and whose results count, stands in the head."""
    store = opened(tmp_path / "log.db")
    write(store, *(a_signal(n) for n in range(3)), a_shadow(0), a_shadow(1))
    write(store, a_shadow(2, fill_model="v0"))
    jobs = ReportJobs(f"sqlite:///{tmp_path / 'log.db'}", CODEC, 1 << 30)
    head = answer(jobs, asked(ReportKind.OPPORTUNITY)).head
    assert any("fill model v1: 1 signals" in note for note in head.notes)
    assert (head.counts.shadow_matured_count, head.counts.shadow_pending_count) == (2, 0)
    store.close()


def test_a_window_ends_where_the_scope_does_or_at_the_last_signal(jobs: ReportJobs) -> None:
    """Event time, not the clock."""
    last = START_NS + (COUNT - 1) * 7_200 * SECOND_NS
    hours = 4 * 3_600 * SECOND_NS
    made: Made = jobs(asked(ReportKind.LEARNING, window_ns=hours))
    assert made.signal_count == 2
    assert (made.scope.start_time_ns, made.scope.end_time_ns) == (last + 1 - hours, last + 1)
    ended = ReportScope(2, end_time_ns=START_NS + 5 * 7_200 * SECOND_NS)
    made = jobs(asked(ReportKind.LEARNING, ended, window_ns=hours))
    assert made.signal_count == 2
    assert made.scope.end_time_ns == ended.end_time_ns
    assert made.findings


def test_a_learning_report_on_schedule_knows_its_id(jobs: ReportJobs) -> None:
    """It is in the bytes that are kept."""
    assert answer(jobs, asked(ReportKind.LEARNING, report_id="daily-2")).report_id == "daily-2"


def test_a_leaderboard_is_cut_as_it_was_asked(jobs: ReportJobs) -> None:
    """By strategies, by a reading in bins, by an attribute, by several."""
    told = {
        (): {"s0", "s1", "s2"},
        (SliceAsked("field", "symbol"),): {"BTCUSDT"},
        (SliceAsked("attribute", "desk"),): {"desk d0", "desk d1"},
        (SliceAsked("indicator", "rsi", 2),): {"rsi 0 to 20", "rsi 20 to 39"},
        (SliceAsked("feature", "none"),): {"none not told"},
        (SliceAsked("field", "side"), SliceAsked("attribute", "desk")): {
            "buy, desk d0",
            "buy, desk d1",
        },
    }
    for slices, names in told.items():
        job = asked(ReportKind.LEADERBOARD, slices=slices, basis=Basis.SHADOW)
        told_board = answer(jobs, job)
        assert {line.name for line in told_board.lines} == names
        untold = [note for note in told_board.head.notes if "no signal in this scope tells" in note]
        assert untold == (
            ["no signal in this scope tells feature 'none'"] if "none" in str(slices) else []
        )
    few, many = (
        answer(jobs, asked(ReportKind.LEADERBOARD, undeclared_trial_count=count)).trial_count
        for count in (0, 50)
    )
    assert many == few + 50


def test_a_scenario_that_the_ledger_does_not_know_is_named_by_the_request_s_path(
    jobs: ReportJobs,
) -> None:
    """The domain's refusal, with the path of the field."""
    unknown = {
        "changes": (
            {"confidence_threshold": {"threshold": 0.5}},
            {"model_weights": {"weights": {"nobody": 1.0}}},
        )
    }
    with pytest.raises(InvalidRequest) as refused:
        jobs(asked(ReportKind.WHAT_IF, scenario=unknown))
    [violation] = refused.value.violations
    assert violation.field.startswith("scenario.changes[1].model_weights")


def test_what_was_loaded_last_is_loaded_once(
    jobs: ReportJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the same scope of the same ledger; not for another scope, nor when it is too large."""
    loads: list[Any] = []
    load = LedgerReader.load

    def counted(self: LedgerReader, scope: LedgerScope) -> Ledger:
        loads.append(scope)
        return load(self, scope)

    monkeypatch.setattr(LedgerReader, "load", counted)
    for scope in (PAPER, PAPER, ReportScope(2, strategy="s1"), PAPER):
        jobs(asked(ReportKind.OPPORTUNITY, scope))
    assert len(loads) == 3
    small = ReportJobs(jobs._url, CODEC, byte_count(jobs._kept.ledger) - 1)  # type: ignore[union-attr]
    loads.clear()
    for _ in range(2):
        small(asked(ReportKind.OPPORTUNITY))
    assert len(loads) == 2


def test_a_sweep_says_what_single_scenarios_say(jobs: ReportJobs, tmp_path: Path) -> None:
    """Loaded once into a file, computed from it, in parts, by index; models' weights too."""
    weights = {"changes": ({"model_weights": {"weights": {"m1": 1.0}}},)}
    path = str(tmp_path / "columns")
    head = jobs(SweepOpening(PAPER, ASKED, path, has_predictions=True))
    assert pb.RunWhatIfSweepResponse.FromString(head).head.counts.signal_count == COUNT
    parts = (
        (SweepScenario(0, OFF, ("scenarios[0].changes[0]",)),),
        (SweepScenario(1, weights, ("scenarios[1].changes[0]",)),),
    )
    found = {}
    for part in parts:
        body = jobs(SweepPart(path, 0.95, part, 2))
        for each in pb.RunWhatIfSweepResponse.FromString(body).results:
            found[each.index] = each.result
    for index, told in enumerate((OFF, weights)):
        single = answer(jobs, asked(ReportKind.WHAT_IF, scenario=told))
        assert found[index].difference_at_once.value == single.result.difference.value
        assert not single.result.HasField("difference_at_once")
        found[index].ClearField("difference_at_once")
        assert found[index] == single.result


def test_a_sweep_whose_file_is_gone_says_so(jobs: ReportJobs, tmp_path: Path) -> None:
    """Its caller left; nobody is told a number of another sweep."""
    part = (SweepScenario(0, OFF, ("scenarios[0].changes[0]",)),)
    with pytest.raises(Unavailable):
        jobs(SweepPart(str(tmp_path / "none"), 0.95, part, 1))


def test_the_worlds_are_told_with_their_times(jobs: ReportJobs) -> None:
    """For the learning cycle."""
    last = START_NS + (COUNT - 1) * 7_200 * SECOND_NS
    assert jobs(WorldsJob()) == (ReportWorld(LANE.environment, "", START_NS, last),)


def test_a_database_that_was_away_is_opened_again(
    jobs: ReportJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that failed is not used any more."""
    jobs(asked(ReportKind.OPPORTUNITY))
    first = jobs._opened

    def away(_: LedgerReader) -> int:
        raise Unavailable(Reason.STORE_UNAVAILABLE, "away")

    with monkeypatch.context() as patched:
        patched.setattr(LedgerReader, "through_sequence", away)
        with pytest.raises(Unavailable):
            jobs(asked(ReportKind.OPPORTUNITY))
    jobs(asked(ReportKind.OPPORTUNITY))
    assert jobs._opened is not first


def test_a_worker_is_told_the_jobs_by_name(url: str) -> None:
    """The serving process loads none of what they need."""
    made = Maker("trimtab_server.report_jobs", "ReportJobs", (url, CODEC, 0))()
    assert isinstance(made, ReportJobs)
    assert made(WorldsJob())


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Not a defect: it may come back."""
    with pytest.raises(Unavailable):
        ReportJobs(f"sqlite:///{tmp_path / 'none.db'}", CODEC, 1 << 30)(WorldsJob())


def test_reports_on_schedule_are_found_and_listed(url: str) -> None:
    """One by its id, whole; a page of them without their bytes."""
    kept = KeptReports(url)
    one = kept.get("daily-1")
    assert (one.body, one.findings, one.start_time_ns) == (b"body", ("it costs",), 5)
    assert kept.page(0, None, 10) == [one._replace(body=b"")]
    assert kept.page(2, (8, ""), 10) == [one._replace(body=b"")]
    assert kept.page(1, None, 10) == kept.page(2, (7, "a"), 10) == []
    with pytest.raises(NotFound):
        kept.get("daily-9")
