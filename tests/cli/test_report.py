import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from trimtab_client import Client, Event, EventBuilder, FakeSidecar, horizon
from trimtab_server.cli.report import app
from trimtab_server.cli.report_calibration import trades_of_events
from trimtab_server.domain.trades import TradeStatus

DAY_NS = 86_400_000_000_000
BUILD = EventBuilder(source="alpha", environment="PAPER")


def outcomes(n: int = 400, build: EventBuilder = BUILD) -> list[Event]:
    """Trades of one day whose claims are right."""
    rng = np.random.default_rng(1)
    claims = rng.uniform(0.1, 0.9, n)
    return [
        build.outcome(
            signal_id=f"s{k}", symbol=f"S{k % 4}", strategy="m" if k % 2 else "r",
            return_fraction=0.01 if rng.random() < claim else -0.01,
            confidence_used=float(claim), holding_time_s=86_400.0,
            event_time_ns=(k // 2 + 2) * DAY_NS,
        )
        for k, claim in enumerate(claims)
    ]  # fmt: skip


@pytest.fixture
def fake() -> Iterator[FakeSidecar]:
    """A served log of 400 outcomes."""
    with FakeSidecar() as one, Client(one.address) as client:
        client.record_events(outcomes())
        yield one


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    result = CliRunner().invoke(app, ["calibration", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_terminal_report_answers_the_question(fake: FakeSidecar) -> None:
    """The verdict in words, a line per bin, the scores."""
    code, out, _ = run("--address", fake.address)
    assert code == 0
    assert "Yes, it ranks" in out
    assert "Brier skill" in out
    assert "0.30 - 0.40" in out


def test_every_format_is_written(fake: FakeSidecar, tmp_path: Path) -> None:
    """By suffix or by --format, to a file or to standard output."""
    for suffix, begin in ((".html", "<!doctype html>"), (".md", "# Does"), (".json", "{")):
        target = tmp_path / f"report{suffix}"
        code, out, _ = run("--address", fake.address, "--output", str(target))
        assert code == 0
        assert "written to" in out
        assert target.read_text().startswith(begin)
    code, out, _ = run("--address", fake.address, "--format", "json")
    assert json.loads(out)["n"] == 400
    target = tmp_path / "plain"
    run("--address", fake.address, "--format", "terminal", "--output", str(target))
    assert "Yes, it ranks" in target.read_text()
    assert run("--address", fake.address, "--output", str(target))[0] == 2


def test_the_same_log_gives_the_same_report(fake: FakeSidecar) -> None:
    """The bootstrap is seeded."""
    first, second = (run("--address", fake.address, "--format", "json")[1] for _ in range(2))
    assert first == second


def test_filters_select_trades(fake: FakeSidecar) -> None:
    """By strategy, symbol and the outcome's time."""
    for arguments, n in (
        (["--strategy", "m"], 200),
        (["--symbol", "S1"], 100),
        (["--start", "1970-01-03", "--end", "1970-01-04"], 2),
    ):
        _, out, _ = run("--address", fake.address, "--format", "json", *arguments)
        assert json.loads(out)["n"] == n


def test_a_filter_that_matches_nothing_ends_with_one_sentence(fake: FakeSidecar) -> None:
    """Exit 1, what was asked for, no table."""
    code, out, err = run("--address", fake.address, "--source", "beta")
    assert (code, out) == (1, "")
    assert err == "trimtab: no outcome in the log matches source beta\n"


def test_the_report_names_its_sources(fake: FakeSidecar) -> None:
    """In the text and in the JSON."""
    _, out, _ = run("--address", fake.address)
    assert "source: alpha; environment: paper" in out
    _, plain, _ = run("--address", fake.address, "--format", "json")
    assert json.loads(plain)["sources"] == ["alpha"]


def test_eighty_columns_break_no_interval(
    fake: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each opening bracket closes on its own line, and no line is longer."""
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run("--address", fake.address)
    for line in out.splitlines():
        assert len(line.rstrip()) <= 80
        assert line.count("[") == line.count("]"), line


def test_environments_and_runs_never_mix(fake: FakeSidecar) -> None:
    """A log with several is refused until one is told."""
    with Client(fake.address) as client:
        for run_id in ("r1", "r2"):
            build = EventBuilder(source="alpha", environment="BACKTEST", run_id=run_id)
            client.record_events(outcomes(10, build))
    code, _, err = run("--address", fake.address)
    assert code == 2
    assert "backtest, paper never mix" in err
    code, _, err = run("--address", fake.address, "--environment", "backtest")
    assert code == 2
    assert "--run-id (r1, r2)" in err
    code, out, _ = run("--address", fake.address, "--run-id", "r2", "--format", "json")
    assert code == 0
    assert json.loads(out)["n"] == 10


def test_an_empty_log_is_no_error() -> None:
    """Nothing to judge yet, exit 0."""
    with FakeSidecar() as empty:
        code, out, _ = run("--address", empty.address)
    assert code == 0
    assert "nothing to judge" in out


def test_without_a_sidecar_there_is_one_line() -> None:
    """Exit 1 and no traceback."""
    code, _, err = run("--address", "127.0.0.1:1")
    assert code == 1
    assert len(err.strip().splitlines()) == 1


def test_events_become_trades_by_the_rules() -> None:
    """Claims and times of the signal fill gaps; horizons are left out; shadows are marked."""
    events = [
        BUILD.signal(
            signal_id="a", symbol="A", strategy="m", side="BUY", confidence=0.7,
            event_time_ns=DAY_NS,
        ),
        BUILD.outcome(signal_id="a", return_fraction=0.1, event_time_ns=3 * DAY_NS),
        BUILD.outcome(
            signal_id="a", return_fraction=0.5, event_time_ns=9 * DAY_NS,
            horizon=horizon(trading_days=7, calendar="XNYS"),
        ),
        BUILD.outcome(
            signal_id="b", status="CENSORED", confidence_used=0.4, event_time_ns=4 * DAY_NS
        ),
        BUILD.shadow_outcome(
            signal_id="c", fill_model="v1", return_fraction=-0.1, holding_time_s=86_400.0,
            event_time_ns=5 * DAY_NS,
        ),
    ]  # fmt: skip
    events.append(
        BUILD.outcome(
            signal_id="a", status="CORRECTED", return_fraction=0.2, won=False,
            corrects_event_id=events[1].event_id, event_time_ns=3 * DAY_NS,
        )
    )  # fmt: skip
    first, censored, shadow, corrected = trades_of_events(events)
    assert (first.confidence, first.symbol, first.strategy) == (0.7, "A", "m")
    assert (first.entry_time_ns, first.exit_time_ns) == (DAY_NS, 3 * DAY_NS)
    assert censored.status is TradeStatus.CENSORED
    assert censored.return_fraction is None
    assert shadow.simulated
    assert shadow.entry_time_ns == 4 * DAY_NS
    assert corrected.corrects_id == first.outcome_id
    assert corrected.is_win is False


def test_a_signal_of_another_run_fills_no_gap() -> None:
    """The key is source, environment, run and signal id: the same id elsewhere is another."""
    other = EventBuilder(source="alpha", environment="BACKTEST", run_id="r")
    events = [
        other.signal(signal_id="a", side="BUY", confidence=0.9, event_time_ns=1),
        BUILD.outcome(signal_id="a", return_fraction=0.1, event_time_ns=2),
    ]
    assert trades_of_events(events)[0].confidence is None
