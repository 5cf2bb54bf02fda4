import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from trimtab_client import FakeSidecar
from trimtab_server.cli.import_trades import import_trades

app = typer.Typer()
app.command()(import_trades)

FREQTRADE = """\
id,pair,is_short,open_date,close_date,open_rate,close_rate,amount,profit_ratio,confidence,enter_tag
1,BTC/USDT,false,2024-01-01 00:00:00+00:00,2024-01-02 00:00:00+00:00,42000,43000,0.01,0.0218,0.7,x
2,ETH/USDT,true,2024-01-01 05:00:00+00:00,2024-01-02 00:00:00+00:00,2300,2350,1,-0.0227,0.55,x
3,ETH/USDT,false,2024-01-03 05:00:00+00:00,,2300,,1,,0.6,x
"""


@pytest.fixture
def fake() -> Iterator[FakeSidecar]:
    """An empty log."""
    with FakeSidecar() as one:
        yield one


def run(fake: FakeSidecar, file: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of an import as engine ft, PAPER."""
    given = [str(file), "--source", "ft", "--environment", "paper", "--address", fake.address]
    result = CliRunner().invoke(app, [*given, *arguments])
    return result.exit_code, result.stdout, result.stderr


def written(path: Path, text: str) -> Path:
    """The file with this text."""
    path.write_text(text, encoding="utf-8")
    return path


def test_a_trade_becomes_signal_executions_and_outcome(fake: FakeSidecar, tmp_path: Path) -> None:
    """freqtrade's columns are understood; an open trade has no outcome yet."""
    code, out, _ = run(fake, written(tmp_path / "t.csv", FREQTRADE))
    assert code == 0
    assert "3 trades read (1 still open)" in out
    assert "strategy = enter_tag" in out
    kinds = [len(fake.events(kind=kind)) for kind in ("SIGNAL", "EXECUTION", "OUTCOME")]
    assert kinds == [3, 5, 2]
    outcome = fake.events(kind="OUTCOME")[1]
    assert (outcome.symbol, outcome.outcome.side, outcome.outcome.return_fraction) == (
        "ETH/USDT", 2, -0.0227,
    )  # fmt: skip
    assert outcome.outcome.confidence_used == 0.55
    assert outcome.outcome.holding_time.seconds == 19 * 3600


def test_a_repeated_row_is_told_and_left_out(fake: FakeSidecar, tmp_path: Path) -> None:
    """A row with the same id and content counts once, and as a row: it need not be a trade."""
    text = FREQTRADE + FREQTRADE.splitlines()[1] + "\n"
    code, out, _ = run(fake, written(tmp_path / "t.csv", text))
    assert code == 0
    assert "3 trades read (1 still open), 1 repeated row left out, 0 problems\n" in out
    assert len(fake.events(kind="SIGNAL")) == 3


def test_importing_twice_stores_once(fake: FakeSidecar, tmp_path: Path) -> None:
    """Ids depend on source, environment, run and trade only: the second time all are duplicates."""
    file = written(tmp_path / "t.csv", FREQTRADE)
    run(fake, file)
    code, out, _ = run(fake, file)
    assert code == 0
    assert "0 events stored, 10 were there before" in out
    assert len(fake.events()) == 10
    code, out, _ = run(fake, file, "--run-id", "other")
    assert "10 events stored" in out


def test_the_same_trades_under_another_run_are_warned_of(fake: FakeSidecar, tmp_path: Path) -> None:
    """In PAPER runs add up, so whoever imports a file again under another run id is told; not for
    the same run, not for other trades with the same ids, not for BACKTEST, whose runs never mix."""
    file = written(tmp_path / "t.csv", FREQTRADE)
    assert "the same trades" not in run(fake, file)[2]
    assert "the same trades" not in run(fake, file)[2]
    code, _, err = run(fake, file, "--run-id", "two")
    assert code == 0
    assert "warning: the same trades are there with no run id" in err
    later = written(tmp_path / "later.csv", FREQTRADE.replace("2024-01", "2024-02"))
    assert "the same trades" not in run(fake, later, "--run-id", "three")[2]
    for run_id in ("b1", "b2"):
        told = ["--environment", "backtest", "--run-id", run_id]
        assert "the same trades" not in run(fake, file, *told)[2]


def test_a_trade_that_closed_meanwhile_adds_its_outcome(fake: FakeSidecar, tmp_path: Path) -> None:
    """The signal of the open trade is the same; exit and outcome are new."""
    run(fake, written(tmp_path / "t.csv", FREQTRADE))
    closed = FREQTRADE.replace(
        "3,ETH/USDT,false,2024-01-03 05:00:00+00:00,,2300,,1,,0.6",
        "3,ETH/USDT,false,2024-01-03 05:00:00+00:00,2024-01-04 05:00:00+00:00,2300,2400,1,,0.6",
    )
    code, out, _ = run(fake, written(tmp_path / "t.csv", closed))
    assert code == 0
    assert "2 events stored, 10 were there before, 0 refused" in out


def test_a_changed_trade_is_refused_with_its_line(fake: FakeSidecar, tmp_path: Path) -> None:
    """The same trade id with another result: ID_REUSED, the line, what to do; exit 1."""
    run(fake, written(tmp_path / "t.csv", FREQTRADE))
    changed = FREQTRADE.replace("-0.0227", "0.5")
    code, out, err = run(fake, written(tmp_path / "t.csv", changed))
    assert code == 1
    assert "line 3: ID_REUSED: trade 2 was imported before and its outcome has changed" in err
    assert "1 refused" in out
    assert fake.events(kind="OUTCOME")[1].outcome.return_fraction == -0.0227


BAD = """\
id,symbol,entry_time,exit_time,return_pct,confidence
1,A,2024-01-01,2024-01-02,1.5,0.7
2,A,yesterday,2024-01-02,1.5,70

4,A,2024-01-01,2024-01-02,abc
1,A,2024-01-01,2024-01-02,1.6,0.7
"""


def test_bad_rows_are_all_told_and_nothing_is_imported(fake: FakeSidecar, tmp_path: Path) -> None:
    """Every problem with its line, not only the first; exit 1; the log stays empty."""
    code, _, err = run(fake, written(tmp_path / "bad.csv", BAD))
    assert code == 1
    for words in (
        "line 3: entry_time: 'yesterday' is not a time",
        "line 3: confidence: '70' is not between 0 and 1 (per cent?",
        "line 5: 5 cells, but the header has 6",
        "line 6: id: trade 1 stands on line 2 already, with other content",
        "nothing imported",
    ):
        assert words in err
    assert fake.events() == []


def test_good_rows_of_a_bad_file_are_imported_when_asked(fake: FakeSidecar, tmp_path: Path) -> None:
    """--skip-bad takes the rest, tells how many rows it skipped, and exits with 0."""
    code, out, err = run(fake, written(tmp_path / "bad.csv", BAD), "--skip-bad")
    assert code == 0
    assert "3 bad rows skipped" in err
    assert "2 events stored" in out


def test_problems_are_shown_up_to_a_limit(fake: FakeSidecar, tmp_path: Path) -> None:
    """A thousand bad rows print fifty and the number of the rest."""
    text = "symbol,entry_time\n" + "A,never\n" * 1000
    _, _, err = run(fake, written(tmp_path / "bad.csv", text))
    assert err.count("'never' is not a time") == 50
    assert "... and 950 more" in err


def test_a_dry_run_needs_no_sidecar_and_records_nothing(tmp_path: Path) -> None:
    """It reads and checks everything."""
    silent = FakeSidecar("127.0.0.1:1")
    code, out, _ = run(silent, written(tmp_path / "t.csv", FREQTRADE), "--dry-run")
    assert code == 0
    assert "dry run: nothing imported" in out


def test_json_lines_of_a_trade_recorder_are_read(fake: FakeSidecar, tmp_path: Path) -> None:
    """clm_trades.jsonl: nested objects as dotted columns, --map where no alias fits."""
    line = {
        "trade_id": "abc", "symbol": "BTC", "direction": "long",
        "timestamp": "2024-01-01T10:00:00Z",
        "exit_timestamp": "2024-01-01T12:00:00Z", "pnl_pct": 1.25,
        "prediction": {"confidence": 0.81}, "models": ["xgb", "lgbm"], "win": True,
    }  # fmt: skip
    file = written(tmp_path / "clm_trades.jsonl", json.dumps(line) + "\n\n")
    code, _, _ = run(fake, file, "--map", "confidence=prediction.confidence")
    assert code == 0
    outcome = fake.events(kind="OUTCOME")[0].outcome
    assert (outcome.return_fraction, outcome.confidence_used, outcome.won) == (0.0125, 0.81, True)


def test_broken_json_is_told_with_its_line(fake: FakeSidecar, tmp_path: Path) -> None:
    """A cut line, a list, a number: each with its place."""
    code, _, err = run(fake, written(tmp_path / "t.jsonl", '{"a": 1\n[1]\n7\n'))
    assert code == 1
    assert "line 1: not JSON" in err
    assert "line 2: not a JSON object" in err
    assert "line 3: not a JSON object" in err


def test_json_that_is_nested_too_deeply_is_a_line_that_is_wrong(
    fake: FakeSidecar, tmp_path: Path
) -> None:
    """It ends in one line, not in a traceback, as a list and as an object."""
    for name, text in (("t.jsonl", "[" * 100_000), ("t.json", '{"a":' * 100_000)):
        code, _, err = run(fake, written(tmp_path / name, text + "\n"))
        assert code == 1
        assert "line 1: not JSON: nested too deeply" in err


def test_parquet_keeps_nanoseconds_and_missing_values(fake: FakeSidecar, tmp_path: Path) -> None:
    """Typed columns, nanosecond stamps with a zone, nulls as nothing."""
    stamp = pa.timestamp("ns", tz="UTC")
    table = pa.table(
        {
            "symbol": ["A", "B"],
            "entry_time": pa.array([1_700_000_000_123_456_789, 1_700_000_001_000_000_000], stamp),
            "exit_time": pa.array([1_700_000_100_000_000_000, None], stamp),
            "return_fraction": [0.01, None],
            "confidence": [0.6, 0.7],
            "date": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC")),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    code, out, _ = run(fake, tmp_path / "t.parquet")
    assert code == 0
    assert "2 trades read (1 still open)" in out
    assert fake.events(kind="SIGNAL")[0].event_time.ToNanoseconds() == 1_700_000_000_123_456_789


def test_compressed_files_and_other_separators_are_read(fake: FakeSidecar, tmp_path: Path) -> None:
    """A semicolon CSV in gzip."""
    text = "symbol;entry_time;exit_time;return\nA;2024-01-01;2024-01-02;0.1\n"
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert run(fake, tmp_path / "t.csv.gz")[0] == 0
    assert len(fake.events()) == 2


def test_equal_rows_without_an_id_are_several_trades(fake: FakeSidecar, tmp_path: Path) -> None:
    """Two equal fills in a second are two trades, and importing them again adds none."""
    text = "symbol,entry_time,exit_time,return\n" + "A,2024-01-01,2024-01-02,0.1\n" * 2
    file = written(tmp_path / "t.csv", text)
    assert run(fake, file)[0] == 0
    assert run(fake, file)[0] == 0
    assert len(fake.events(kind="OUTCOME")) == 2


@pytest.mark.parametrize(
    ("name", "text", "arguments", "words"),
    [
        ("t.xyz", "a", [], "tell --file-format"),
        ("t.csv", FREQTRADE, ["--map", "nonsense=id"], "unknown; there are trade_id"),
        ("t.csv", FREQTRADE, ["--map", "confidence=gone"], "has no column 'gone'"),
        ("t.csv", FREQTRADE, ["--map", "confidence"], "write it as ours=theirs"),
        ("t.csv", FREQTRADE, ["--environment", "moon"], "MOON"),
        ("t.csv", FREQTRADE, ["--environment", "backtest"], "run_id"),
        ("t.parquet", "not parquet", [], "not Parquet"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    fake: FakeSidecar, tmp_path: Path, name: str, text: str, arguments: list[str], words: str
) -> None:
    """Exit 2, no traceback, nothing recorded."""
    code, _, err = run(fake, written(tmp_path / name, text), *arguments)
    assert code == 2
    assert words in err
    assert fake.events() == []


@pytest.mark.parametrize("text", ["", "\n\n", "symbol,entry_time,exit_time,return\n"])
def test_a_file_without_rows_is_told(fake: FakeSidecar, tmp_path: Path, text: str) -> None:
    """Empty, or a header alone: one sentence, exit 1."""
    code, _, err = run(fake, written(tmp_path / "t.csv", text))
    assert code == 1
    assert err.endswith("t.csv: no rows\n")


def test_a_directory_and_standard_input_are_told(fake: FakeSidecar, tmp_path: Path) -> None:
    """What to do instead, exit 2."""
    for file, words in ((tmp_path, "is a directory"), (Path("-"), "standard input is not read")):
        code, _, err = run(fake, file)
        assert code == 2
        assert words in err


def test_doubtful_rows_are_counted(fake: FakeSidecar, tmp_path: Path) -> None:
    """Return against pnl and prices, a return that is no number, per cent that are fractions."""
    text = """\
symbol,open_date,close_date,open_rate,close_rate,amount,profit_ratio,profit_abs,confidence
A,2024-01-01,2024-01-02,100,110,1,-0.10,10,0.7
A,2024-01-02,2024-01-03,100,110,1,nan,10,0.7
A,2024-01-03,2024-01-04,100,110,1,0.10,10,0.7
"""
    code, _, err = run(fake, written(tmp_path / "t.csv", text), "--confidence-scale", "percent")
    assert code == 0
    assert "warning: 1 row: return and pnl disagree grossly" in err
    assert "warning: 1 row: return and prices disagree grossly" in err
    assert "warning: 1 row: profit_ratio is no number; computed from pnl instead" in err
    assert "warning: 3 rows: no confidence above 1 %" in err


def test_a_result_of_freqtrade_is_read(fake: FakeSidecar, tmp_path: Path) -> None:
    """backtest-result.json: the trades of every strategy, pretty-printed or not."""
    trade = {
        "pair": "BTC/USDT", "open_date": "2024-01-01 00:00:00+00:00", "open_rate": 100.0,
        "close_date": "2024-01-02 00:00:00+00:00", "close_rate": 110.0, "amount": 1.0,
        "profit_ratio": 0.1, "enter_tag": "tag", "is_short": False, "orders": [{"amount": 1.0}],
    }  # fmt: skip
    result = {"strategy": {"Mine": {"trades": [trade]}}, "strategy_comparison": []}
    for indent in (None, 2):
        file = written(tmp_path / "backtest-result.json", json.dumps(result, indent=indent))
        code, out, _ = run(fake, file)
        assert code == 0
        assert "1 trade read" in out
    assert [event.strategy for event in fake.events(kind="OUTCOME")] == ["Mine"]


def test_won_is_enough_of_a_result(fake: FakeSidecar, tmp_path: Path) -> None:
    """Confidence and won or lost, without any return."""
    text = "symbol,entry_time,exit_time,confidence,won\nA,2024-01-01,2024-01-02,0.7,win\n"
    code, _, err = run(fake, written(tmp_path / "t.csv", text))
    assert (code, err) == (0, "")
    outcome = fake.events(kind="OUTCOME")[0].outcome
    assert outcome.won
    assert not outcome.HasField("return_fraction")


def test_a_missing_file_and_a_missing_sidecar_are_told(fake: FakeSidecar, tmp_path: Path) -> None:
    """One line each."""
    code, _, err = run(fake, tmp_path / "gone.csv")
    assert code == 2
    assert "No such file" in err
    silent = FakeSidecar("127.0.0.1:1")
    code, _, err = run(silent, written(tmp_path / "t.csv", FREQTRADE))
    assert code == 1
    assert "no sidecar answers" in err
