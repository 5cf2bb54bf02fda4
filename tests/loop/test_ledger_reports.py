"""What reports say of a log: the same bytes, whatever happened on the way."""

from pathlib import Path

import pytest

from tests.loop.ledger_world import NS, START_NS, Clock, Sidecar, World, append_all, new_store
from trimtab_server.domain.events import Event
from trimtab_server.domain.ledger.facts import Lane
from trimtab_server.domain.reports.questions import (
    Asked,
    Question,
    ReportForm,
    ReportJob,
    ReportKind,
    ReportScope,
)
from trimtab_server.learning import CODEC
from trimtab_server.loop import stations
from trimtab_server.report_jobs import ReportJobs

LANES = (Lane("alpha", 2, ""), Lane("beta", 2, ""))
WORLD = World(3, LANES, seconds=240)
GUARD_OFF = {"changes": ({"guard_off": {"guard": "volatility"}},)}
END_NS = START_NS + 300 * NS


def reports(path: Path, last_sequence: int) -> dict[ReportKind, bytes]:
    """Every report of the log's world, as the bytes of its response with the written document."""
    jobs = ReportJobs(f"sqlite:///{path}", CODEC, 0)
    found = {}
    for kind in ReportKind:
        scenario = GUARD_OFF if kind == ReportKind.WHAT_IF else None
        question = Question(kind, ReportScope(2), ReportForm.MARKDOWN, scenario=scenario)
        found[kind] = jobs(ReportJob(question, Asked(END_NS, last_sequence))).body
    return found


def reports_after(
    folder: Path, name: str, events: list[Event], kill_every: int
) -> dict[ReportKind, bytes]:
    """The reports once a sidecar, killed after every so many pages, has settled all."""
    store, clock = new_store(folder, name), Clock()
    try:
        append_all(store, events, together=90)
        sidecar, last = Sidecar(store, clock), store.info().last_sequence
        for step in range(1, 400):
            if sidecar.cursor >= last:
                break
            sidecar.step(passed_s=0.9)
            if step % kill_every == 0:
                sidecar = Sidecar(store, clock)
                sidecar.step(passed_s=2.1)
                sidecar.step(passed_s=2.1)
        sidecar.finish()
        return reports(folder / f"{name}.db", store.info().last_sequence)
    finally:
        store.close()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[ReportKind, bytes]:
    """Of the events in their order, undisturbed."""
    return reports_after(tmp_path_factory.mktemp("plain"), "plain", WORLD.events, 1_000)


def test_the_world_gives_each_report_something_to_say(expected: dict[ReportKind, bytes]) -> None:
    """Identical empty reports would promise nothing."""
    assert all(b"signals" in body for body in expected.values())
    assert b"volatility" in expected[ReportKind.GUARDS]
    assert len(set(expected.values())) == len(ReportKind)


@pytest.mark.parametrize(
    ("seed", "span", "kill_every"), [(1, 2_000, 1_000), (2, 97, 4), (3, 53, 7)]
)
def test_order_duplicates_and_restarts_change_no_byte_of_any_report(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: dict[ReportKind, bytes],
    seed: int,
    span: int,
    kill_every: int,
) -> None:
    """Another order within the lateness bound, every fifth event twice, kills at small pages."""
    monkeypatch.setattr(stations, "_PAGE_SPAN", span)
    shifted = WORLD.shifted(seed)
    assert shifted != WORLD.events
    found = reports_after(tmp_path, "other", [*shifted, *shifted[::5]], kill_every)
    assert found == expected
