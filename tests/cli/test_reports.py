import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.cli.report_server import ReportServer
from trimtab_client import Client, DeadlineExceeded, EventBuilder
from trimtab_server.cli import app

HOUR_NS = 3_600_000_000_000
KINDS = ["learning", "blocked", "guards", "leaderboard", "decay", "compare"]
_COMMANDS = [["report", "guards"], ["report", "calibration"], ["what-if"]]


def signals(address: str, environment: str, run_id: str = "", count: int = 3) -> None:
    """Puts signals, an hour apart, into the log."""
    build = EventBuilder(source="alpha", environment=environment, run_id=run_id)
    with Client(address) as client:
        client.record_events(
            [
                build.signal(signal_id=f"s{k}", side="BUY", symbol="A", event_time_ns=k * HOUR_NS)
                for k in range(count)
            ]
        )


@pytest.fixture
def empty() -> Iterator[ReportServer]:
    """A sidecar without any event."""
    with ReportServer() as one:
        yield one


@pytest.fixture
def server(empty: ReportServer) -> ReportServer:
    """A sidecar whose log holds one world."""
    signals(empty.address, "PAPER")
    return empty


def run(server: ReportServer, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a command."""
    result = CliRunner().invoke(app, [*arguments, "--address", server.address])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_every_report_is_written_in_every_form(
    server: ReportServer, tmp_path: Path, kind: str
) -> None:
    """Terminal, Markdown, JSON and a page, to standard output or to a file by its suffix."""
    code, out, _ = run(server, "report", kind)
    assert code == 0
    assert "What it is made of" in out
    for suffix, begin in ((".html", "<!doctype html>"), (".md", "# "), (".json", "{")):
        target = tmp_path / f"report{suffix}"
        code, out, _ = run(server, "report", kind, "--output", str(target))
        assert code == 0
        assert f"written to {target}" in out
        assert target.read_text().startswith(begin)
    _, out, _ = run(server, "report", kind, "--format", "json")
    assert json.loads(out)["head"]["log_id"] == "log-1"


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_missing_folder_is_named_before_anything_is_asked(
    server: ReportServer, tmp_path: Path, command: list[str]
) -> None:
    """Exit 2, the folder is named and not made, and no report was worked out for nothing."""
    target = tmp_path / "not there" / "report.html"
    change = ["--max-positions", "1"] if command == ["what-if"] else []
    code, _, err = run(server, *command, *change, "--output", str(target))
    assert (code, err) == (
        2, f"trimtab: --output {target}: there is no folder {target.parent}\n",
    )  # fmt: skip
    assert not target.parent.exists()
    assert server.reports.asked == []


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_file_that_is_a_folder_is_refused_before_anything_is_asked(
    server: ReportServer, tmp_path: Path, command: list[str]
) -> None:
    """Exit 2, whatever format is told, and no report was worked out for nothing."""
    change = ["--max-positions", "1"] if command == ["what-if"] else []
    told = [*command, *change, "--format", "markdown", "--output", str(tmp_path)]
    code, _, err = run(server, *told)
    assert (code, err) == (2, f"trimtab: --output {tmp_path}: that is a folder, not a file\n")
    assert server.reports.asked == []


def test_the_only_world_is_taken(server: ReportServer) -> None:
    """Nothing has to be told of a log with one environment; the whole log counts."""
    assert run(server, "report", "guards")[0] == 0
    request = server.reports.asked[0]
    assert (request.scope.environment, request.scope.run_id) == (2, "")
    assert request.options.after_sequence == 3
    assert request.scope.level == 0.95


def test_the_scope_is_told_field_by_field(server: ReportServer) -> None:
    """Names, times and level go as they are."""
    code, _, _ = run(
        server, "report", "blocked", "--environment", "live", "--run-id", "r", "--source", "s",
        "--strategy", "t", "--symbol", "A", "--start", "2024-01-01", "--end", "2024-02-01",
        "--level", "0.9",
    )  # fmt: skip
    assert code == 0
    scope = server.reports.asked[0].scope
    told = (scope.environment, scope.run_id, scope.source, scope.strategy, scope.symbol)
    assert told == (1, "r", "s", "t", "A")
    assert scope.start_time.ToJsonString() == "2024-01-01T00:00:00Z"
    assert scope.end_time.ToJsonString() == "2024-02-01T00:00:00Z"
    assert scope.level == 0.9


def test_hours_count_back_from_the_last_signal(server: ReportServer) -> None:
    """Event time, not the clock: a log of last year has a last hour too."""
    assert run(server, "report", "learning", "--hours", "1.5")[0] == 0
    scope = server.reports.asked[0].scope
    assert scope.start_time.ToNanoseconds() == 2 * HOUR_NS - HOUR_NS * 3 // 2
    assert scope.end_time.ToNanoseconds() == 2 * HOUR_NS + 1


def test_several_worlds_are_listed(empty: ReportServer) -> None:
    """Exit 2 with what there is: environments, then runs of a backtest."""
    signals(empty.address, "PAPER")
    signals(empty.address, "BACKTEST", "r1")
    code, _, err = run(empty, "report", "guards")
    assert (code, err) == (
        2, "trimtab: environments never mix: tell --environment (backtest, paper)\n",
    )  # fmt: skip
    code, _, _ = run(empty, "report", "guards", "--environment", "backtest")
    assert code == 0
    assert empty.reports.asked[-1].scope.run_id == "r1"
    signals(empty.address, "BACKTEST", "r2")
    code, _, err = run(empty, "report", "guards", "--environment", "backtest")
    assert code == 2
    assert err == "trimtab: runs never mix: tell --run-id (latest: r2, r1)\n"


def test_a_log_without_signals_is_told(empty: ReportServer) -> None:
    """Exit 1, one sentence."""
    code, _, err = run(empty, "report", "guards")
    assert (code, err) == (1, "trimtab: the log holds no signal\n")


def test_a_leaderboard_is_cut_by_fields_and_readings(server: ReportServer) -> None:
    """--by once or several times; --basis, --bins and --trials go with it."""
    code, _, _ = run(
        server, "report", "leaderboard", "--by", "symbol", "--by", "indicator:rsi", "--bins", "5",
        "--by", "attribute:desk", "--basis", "shadow", "--trials", "20",
    )  # fmt: skip
    assert code == 0
    request = server.reports.asked[0]
    assert [one.WhichOneof("by") for one in request.slices] == ["field", "indicator", "attribute"]
    assert (request.slices[0].field, request.slices[1].indicator) == (2, "rsi")
    assert [one.bin_count for one in request.slices] == [0, 5, 0]
    assert (request.basis, request.undeclared_trial_count) == (2, 20)


def test_reports_on_schedule_are_listed_and_shown(server: ReportServer) -> None:
    """Page by page up to the limit; one of them by its id."""
    code, out, err = run(server, "report", "list", "--limit", "2")
    assert code == 0
    assert [line[:2] for line in out.splitlines()] == ["r0", "  ", "r1", "  "]
    assert "paper run r|1  2024-01-01 00:00 to 2024-06-30 12:30" in out
    assert "there is more: --page-token 2" in err
    code, out, _ = run(server, "report", "list", "--format", "json")
    assert [json.loads(line)["report_id"] for line in out.splitlines()] == ["r0", "r1", "r2"]
    code, out, _ = run(server, "report", "learning", "--id", "r1")
    assert code == 0
    assert server.reports.asked[-1].report_id == "r1"
    assert "What was learned?" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["guards", "--environment", "moon"], "MOON"),
        (["guards", "--start", "yesterday"], "--start: 'yesterday' is not a time"),
        (["guards", "--start", "2024-02-01", "--end", "2024-01-01"], "--end lies before --start"),
        (["guards", "--hours", "3", "--start", "2024-01-01"], "--hours: above 0, and in the place"),
        (["guards", "--output", "report"], "tell --format"),
        (["leaderboard", "--by", "mood"], "there are strategy, symbol"),
        (["leaderboard", *["--by", "symbol"] * 4], "--by: at most 3"),
        (["learning", "--id", "r1", "--source", "s"], "has a scope of its own"),
        (["list", "--environment", "moon"], "MOON"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    server: ReportServer, arguments: list[str], words: str
) -> None:
    """Exit 2, no traceback, no report asked for."""
    code, _, err = run(server, "report", *arguments)
    assert code == 2
    assert words in err
    assert server.reports.asked == []


def test_one_what_if_is_one_scenario_of_all_changes(server: ReportServer) -> None:
    """Options become changes of one scenario; the answer stands first."""
    code, out, _ = run(
        server, "what-if", "--guard-off", "volatility", "--max-positions", "3", "--per-symbol",
        "--weight", "m=0.5", "--fee-bps", "2",
    )  # fmt: skip
    assert code == 0
    assert "This seems to have made more" in out
    changes = server.reports.asked[0].scenario.changes
    assert [one.WhichOneof("change") for one in changes] == [
        "guard_off", "model_weights", "costs", "position_limit",
    ]  # fmt: skip
    assert changes[0].guard_off.guard == "volatility"
    assert dict(changes[1].model_weights.weights) == {"m": 0.5}
    assert not changes[2].costs.HasField("spread_multiplier")
    assert changes[3].position_limit.per_symbol
    code, _, err = run(server, "what-if")
    assert code == 2
    assert "nothing changes" in err


def test_a_sweep_is_a_grid_shown_in_its_order(server: ReportServer) -> None:
    """Results come as they are done, and are shown as they were asked for."""
    grid = ["--sweep", "guard-limit:volatility=0.02,0.03", "--sweep", "max-positions=1,2,3"]
    code, out, _ = run(server, "what-if", *grid, "--format", "markdown")
    assert code == 0
    rows = [line for line in out.splitlines() if line.startswith("| scenario ")][1:]
    assert [row[:13] for row in rows] == [f"| scenario {k} " for k in range(6)]
    axes = server.reports.asked[0].axes
    assert [len(axis.changes) for axis in axes] == [2, 3]
    assert axes[0].changes[1].guard_limit.limit == 0.03
    _, out, _ = run(server, "what-if", *grid, "--format", "json")
    plain = json.loads(out)
    assert [one["index"] for one in plain["results"]] == list(range(6))
    assert (plain["done_count"], plain["scenario_count"]) == (6, 6)
    assert plain["head"]["log_id"] == "log-1"


def test_a_report_that_takes_too_long_is_told(
    server: ReportServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as an absent sidecar: what was waited for, and what to do."""

    def late(client: Client, **told: Any) -> Any:
        raise DeadlineExceeded("not taken in yet")

    monkeypatch.setattr(Client, "get_guard_effectiveness", late)
    code, _, err = run(server, "report", "guards")
    assert code == 1
    assert "the report was not ready in time (not taken in yet): ask again later" in err


def test_no_sidecar_is_told_in_one_line(server: ReportServer) -> None:
    """Exit 1 with what to do."""
    result = CliRunner().invoke(app, ["report", "guards", "--address", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "no sidecar answers at 127.0.0.1:1" in result.stderr


def test_an_interrupted_sweep_shows_what_is_done(
    server: ReportServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C: the work in the sidecar ends, the scenarios that are done are shown, exit 130."""
    server.reports.waits_after = 2
    asked = Client.run_what_if_sweep

    def interrupted(client: Client, **told: Any) -> Iterator[Any]:
        stream: Any = asked(client, **told)
        with contextlib.closing(stream):
            yield from itertools.islice(stream, 3)
            raise KeyboardInterrupt

    monkeypatch.setattr(Client, "run_what_if_sweep", interrupted)
    grid = ["--sweep", "max-positions=1,2,3,4,5,6"]
    code, out, _ = run(server, "what-if", *grid, "--format", "json")
    assert code == 130
    plain = json.loads(out)
    assert (plain["done_count"], plain["scenario_count"]) == (2, 6)
    assert [one["index"] for one in plain["results"]] == [4, 5]
    assert server.reports.left.wait(30.0)
    code, out, _ = run(server, "what-if", *grid)
    assert code == 130
    assert "Ended early: 2 of 6 scenarios are done." in out
