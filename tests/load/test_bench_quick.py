"""The bench itself does not rot: its pieces work, its table is whole. Nothing here is timed."""

import json
import math
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.load import messages, mix
from tests.load.bench import MEASUREMENTS, run
from tests.load.calls import THROUGH_CLIENT
from tests.load.context import Bench, Sizes
from tests.load.table import HEAD, Report, Row
from trimtab_client import EventBuilder

TINY = Sizes(
    *(1_000, 200, (), 0.1, 10, (1_000, 2_000), 5, 2, 1_000, 500, 1_000, 20, 5.0, 10, 1.0),
    *((20_000, 40_000), 2_000, 8, 10_000),
)

# What is measured together: how many rows of each name come of it, and what is told below them.
STORED = ("1,000 rows a round", "commits", "bytes of body an event", "indexes")
EXPECTED = {
    ("ingest", "record", "latency", "unary", "list", "memory"): (
        Counter(ack=2, ingest=1, list=3, memory=2, record=2, unary=1, **{"start-up": 1}),
        STORED,
    ),
    ("postgres", "fleet"): (Counter(postgres=1, fleet=1), STORED),
    ("spool",): (Counter(spool=2), ("500 events a round", "bytes on disk an event")),
    ("gate-check", "gate-call", "gate-ingest", "gate-watchers"): (
        Counter(gate=9),
        ("decisions of", "were recorded"),
    ),
    ("ledger", "day-report", "what-if", "sweep"): (
        Counter({"ledger": 2, "what-if,": 4, "what-if": 1, "sweep": 1, "gate": 1}),
        ("to catch up", "vectorbt"),
    ),
}


@pytest.mark.parametrize("names", EXPECTED, ids=" ".join)
def test_every_measurement_yields_finite_rows(disk_path: Path, names: tuple[str, ...]) -> None:
    """All measurements run at tiny sizes: every row is there, and its ratios make sense."""
    with Bench(TINY, 1, disk_path, lambda _: None) as bench:
        report = run(bench, names)
        folder = bench.folder
    assert report.failures == []
    counts, told = EXPECTED[names]
    assert Counter(row.name.split(" ")[0].rstrip(":") for row in report.rows) == counts
    for row in report.rows:
        assert all(math.isfinite(ratio) and ratio > 0 for ratio in row.ratios), row
    for words in (*HEAD, "cores", "SQLite", "file system", *told):
        assert words in report.text()
    assert report.markdown().count("\n|") == len(report.rows) + 1
    assert len(json.loads(json.dumps(report.as_json()))["rows"]) == len(report.rows)
    assert not folder.exists()


def test_every_measurement_is_tried_here() -> None:
    """One that is added to the bench is added here."""
    assert [name for names in EXPECTED for name in names] == list(MEASUREMENTS)


def test_mix_is_what_the_house_says() -> None:
    """70 % bars, 12 % signals, 12 % decisions with three verdicts and a snapshot, 6 % the rest."""
    draws = list(islice(mix.Mix(1), 1_000))
    counts = {kind: sum(type(draw) is kind for draw in draws) for kind in messages.BY_HAND}
    assert list(counts.values()) == [700, 120, 120, 30, 30]
    made = list(islice(messages.events(1, 10**18, 1_000), 1_000))
    ids = [event.event_id for event in made]
    assert ids == sorted(set(ids))
    assert {each[14] for each in ids} == {"7"}
    assert {event.symbol for event in made} == set(mix.SYMBOLS)
    assert {event.strategy for event in made} == {*mix.STRATEGIES, ""}
    for event in made:
        if event.HasField("decision"):
            assert len(event.decision.guard_verdicts) == 3
            assert event.decision.HasField("market_snapshot")
        if event.HasField("signal"):
            assert len(event.signal.indicator_values) == 6


def test_client_and_hand_make_the_same_event() -> None:
    """What is compared does the same work: equal messages but for the id and the time."""
    builder = EventBuilder(source=mix.SOURCE, environment="LIVE")
    stamps = messages.ids(1, 10**18, 1_000)
    for draw, stamp in zip(islice(mix.Mix(2), 200), stamps, strict=False):
        by_hand = messages.BY_HAND[type(draw)](draw, *stamp)
        ours = THROUGH_CLIENT[type(draw)](builder, draw)
        ours.event_id = by_hand.event_id
        ours.event_time.CopyFrom(by_hand.event_time)
        assert ours == by_hand


@pytest.mark.parametrize(
    ("ours", "at_least", "verdict"),
    [
        (2.0, False, "MISSED by 33%"),
        (1.5, False, "met"),
        (1.2, True, "MISSED by 20%"),
        (1.5, True, "met"),
    ],
)
def test_a_missed_target_is_told_as_missed(ours: float, at_least: bool, verdict: str) -> None:
    """The verdict follows the median ratio, whichever side the bound is on."""
    row = Row("x", "ms", "y", [(ours, 1.0), (2 * ours, 2.0), (ours, 1.0)], 1.5, at_least)
    assert row.verdict == verdict
    assert verdict in Report([row]).text()


def test_rounds_that_disagree_are_told() -> None:
    """A median on the right side of a target says less when a round was on the wrong one."""
    row = Row("x", "ms", "y", [(1.0, 1.0), (1.0, 1.0), (9.0, 1.0)], 1.5)
    assert row.verdict == "met (not in every round)"


def test_the_bench_can_be_started() -> None:
    """`make bench` starts the module from the root of the clone."""
    command = [sys.executable, "-m", "tests.load.bench", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--markdown" in done.stdout


def test_a_folder_in_memory_is_refused() -> None:
    """A ratio to a commit that syncs nothing would mean nothing."""
    folder = Path("/dev/shm")
    if not folder.exists():
        pytest.skip("no tmpfs here")
    with pytest.raises(RuntimeError, match="TRIMTAB_TEST_DIR"):
        Bench(TINY, 1, folder, lambda _: None)
