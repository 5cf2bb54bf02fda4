import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from trimtab_server.cli.demo import _say_replaced, demo
from trimtab_server.demo.run import Places

app = typer.Typer()
app.command()(demo)


def test_the_demo_prints_the_promised_line_and_writes_both_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """End to end on a year of three symbols: count, report on the screen, JSON and HTML files."""
    monkeypatch.chdir(tmp_path)
    arguments = "--symbols AAPL,MSFT,XOM --start 2020-01-01 --end 2020-12-31 --threshold 0.6"
    result = CliRunner().invoke(app, arguments.split(), env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert "0 lost, 0 doubled" in result.output
    assert "SIGKILL" in result.output
    for heading in (
        "baseline against",
        "claimed confidence against",
        "what each guard cost or saved",
        "what if (baseline book)",
    ):
        assert heading in result.output
    folder = tmp_path / "artifacts" / "learning_engine"
    report = json.loads((folder / "demo-001.json").read_text())
    assert report["count"]["lost"] == report["count"]["doubled"] == 0
    assert report["threshold"] == 0.6
    assert report["calibration"]["n"] == report["baseline"]["trade_count"]
    kinds = report["events_by_kind"]
    assert sum(kinds.values()) - kinds["SHADOW_OUTCOME"] == report["count"]["stored"]
    signals = sum(book["signal_count"] for book in report["ledger"]["books"].values())
    # Its own life and, when their time has come, three horizons.
    assert signals / 2 < kinds["SHADOW_OUTCOME"] <= 4 * signals
    errors = [book["simulation_error"]["value"] for book in report["ledger"]["books"].values()]
    assert all(abs(error) < 1e-4 for error in errors if error is not None)
    assert any(
        line["guard"] == "confidence" for line in report["ledger"]["books"]["filtered"]["guards"]
    )
    assert {line["identifiability"] for line in report["ledger"]["what_if"]} <= {
        "exact",
        "simulated",
    }
    assert (folder / "demo-001.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--symbols", "TSLA"], "no prices of TSLA"),
        (["--start", "2030-01-01"], "no bars between"),
        (["--report", "x.pdf"], "end it in .json or .html"),
        (["--start", "soon"], "not a time"),
    ],
)
def test_wrong_arguments_are_told_before_anything_starts(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, one line, no files."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback when skfolio and hvsampledata are not there."""
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "skfolio" else find(name)
    )
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1
    assert "pip install 'trimtab[demo]'" in result.stderr


def test_the_command_line_loads_nothing_heavy() -> None:
    """Importing the commands imports neither numpy nor grpc: start-up stays fast."""
    code = (
        "import sys; from trimtab_server.cli import demo, events, import_trades, report; "
        "print([m for m in ('numpy', 'scipy', 'sklearn', 'pandas', 'grpc', 'pyarrow') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_earlier_reports_of_the_same_database_are_told(tmp_path: Path) -> None:
    """Before they are replaced, in one line; nothing is said when there are none."""
    written = io.StringIO()
    console = Console(file=written, width=200)
    places = Places(tmp_path / "x.db")
    _say_replaced(console, places, None)
    assert written.getvalue() == ""
    places.beside(".json").touch()
    _say_replaced(console, places, None)
    assert "will be replaced" in written.getvalue()
