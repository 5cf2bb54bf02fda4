from collections.abc import Iterator
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

TRADES = """\
id,symbol,signal_time,entry_time,exit_time,entry_price,exit_price,quantity,action,guard:volatility,\
guard:volatility_value,guard:volatility_limit,guard_max_positions,holding_days,stop_loss,spread_bps
1,AAPL,2024-01-02T00:00,2024-01-02T00:01,2024-01-04T00:00,100,110,3,approved,pass,0.01,0.03,1,2,95,2.5
2,AAPL,2024-01-03T00:00,,,101,,3,blocked,block,0.05,0.03,1,2,95,2.5
3,BTC/USDT,2024-01-03T12:00,,,40000,,0.1,blocked,,,,0,2,,
"""
DAYS = ("01", "02", "03", "04", "05")


@pytest.fixture
def fake() -> Iterator[FakeSidecar]:
    """An empty log."""
    with FakeSidecar() as one:
        yield one


def written(path: Path, text: str) -> Path:
    """The file with this text."""
    path.write_text(text, encoding="utf-8")
    return path


def folder_of_prices(path: Path, names: tuple[str, ...] = ("AAPL", "btc_usdt", "MSFT")) -> Path:
    """A folder with five daily bars a symbol, stamped at their opens."""
    path.mkdir(exist_ok=True)
    for name in names:
        rows = [f"2024-01-{day},100,111,99,101,1000" for day in DAYS]
        written(path / f"{name}.csv", "\n".join(["Date,Open,High,Low,Close,Volume", *rows]) + "\n")
    return path


def run(fake: FakeSidecar, trades: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of an import as engine mine, PAPER."""
    given = [str(trades), "--source", "mine", "--environment", "paper", "--address", fake.address]
    result = CliRunner().invoke(app, [*given, *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_guards_and_blocked_signals_become_decisions(fake: FakeSidecar, tmp_path: Path) -> None:
    """Every verdict is in the decision; what was blocked has no execution and no outcome."""
    code, out, _ = run(fake, written(tmp_path / "t.csv", TRADES))
    assert code == 0
    assert "guard volatility: 1 passed, 1 blocked, 1 not looked at; stateless, a maximum" in out
    assert "guard max_positions: 2 passed, 1 blocked, 0 not looked at; stateful" in out
    assert "next: trimtab report guards --environment paper" in out
    assert (
        "1 trade read (0 still open, 1 without confidence), 2 signals that were not traded "
        "(2 without confidence), 0 problems\n"
    ) in out
    decisions = fake.events(kind="DECISION")
    assert [event.decision.action for event in decisions] == [1, 2, 2]
    told = decisions[1].decision
    assert [(v.guard, v.result, v.memory) for v in told.guard_verdicts] == [
        ("volatility", 2, 1), ("max_positions", 1, 2),
    ]  # fmt: skip
    first = told.guard_verdicts[0]
    assert (first.observed_value, first.limit, first.threshold.is_minimum) == (0.05, 0.03, False)
    assert first.WhichOneof("rule") == "threshold"
    assert told.guard_verdicts[1].WhichOneof("rule") is None
    assert told.market_snapshot.spread_bps == 2.5
    assert [v.result for v in decisions[2].decision.guard_verdicts] == [3, 2]
    assert len(fake.events(kind="EXECUTION")) == 2
    assert len(fake.events(kind="OUTCOME")) == 1
    plan = fake.events(kind="SIGNAL")[1].signal.exit_plan
    assert (plan.holding_period.seconds, plan.stop_loss_price) == (2 * 86_400, 95.0)


def test_bars_go_with_the_signals_in_the_order_of_time(fake: FakeSidecar, tmp_path: Path) -> None:
    """Sorted by event time over all files; a bar that closes at a signal's time is before it."""
    code, out, _ = run(
        fake,
        written(tmp_path / "t.csv", TRADES),
        "--prices",
        str(folder_of_prices(tmp_path / "prices")),
    )
    assert code == 0
    assert "10 bars of 2 symbols read, 24 h long, 0 problems" in out
    assert "not needed: prices of MSFT" in out
    events = fake.events()
    times = [event.event_time.ToNanoseconds() for event in events]
    assert times == sorted(times)
    kinds = [event.WhichOneof("payload") for event in events]
    assert kinds.index("signal") > kinds.index("market_bar")
    bars = fake.events(kind="MARKET_BAR")
    assert {bar.symbol for bar in bars} == {"AAPL", "BTC/USDT"}
    assert bars[0].event_time.ToJsonString() == "2024-01-02T00:00:00Z"
    assert (bars[0].market_bar.open, bars[0].market_bar.volume) == (100, 1000)
    assert bars[0].market_bar.interval.seconds == 86_400
    again = run(fake, tmp_path / "t.csv", "--prices", str(tmp_path / "prices"))
    assert "0 events stored, 19 were there before, 0 refused" in again[1]


def test_bars_may_be_stamped_at_their_close(fake: FakeSidecar, tmp_path: Path) -> None:
    """--bar-time close takes the time as it is."""
    prices = folder_of_prices(tmp_path / "prices")
    trades = written(tmp_path / "t.csv", TRADES)
    run(fake, trades, "--prices", str(prices), "--bar-time", "close")
    bar = fake.events(kind="MARKET_BAR")[0]
    assert bar.event_time.ToJsonString() == "2024-01-01T00:00:00Z"


def test_one_file_may_hold_many_symbols(fake: FakeSidecar, tmp_path: Path) -> None:
    """Parquet with a symbol column and nanosecond stamps; other symbols are left out."""
    stamps = [1_704_067_200_000_000_000 + k * 3_600_000_000_000 for k in range(3)] * 2
    table = pa.table(
        {
            "timestamp": pa.array(stamps, pa.timestamp("ns", tz="UTC")),
            "ticker": ["AAPL"] * 3 + ["TSLA"] * 3,
            "close": [1.0, 2.0, 3.0] * 2,
        }
    )
    pq.write_table(table, tmp_path / "p.parquet")
    trades = written(tmp_path / "t.csv", TRADES)
    code, out, err = run(fake, trades, "--prices", str(tmp_path / "p.parquet"))
    assert code == 0
    assert "3 bars of 1 symbol read, 60 min long" in out
    assert "warning: no prices of BTC/USDT" in err


def test_signals_without_a_plan_are_told(fake: FakeSidecar, tmp_path: Path) -> None:
    """The sidecar's default would end them; --holding-period says how long they are meant to be
    held."""
    text = "symbol,entry_time,guard_a,decision\nAAPL,2024-01-01,block,blocked\n"
    trades = written(tmp_path / "t.csv", text)
    prices = str(folder_of_prices(tmp_path / "prices"))
    _, _, err = run(fake, trades, "--prices", prices, "--dry-run")
    assert "1 row tells no holding period, stop or target" in err
    code, _, err = run(fake, trades, "--prices", prices, "--holding-period", "10d")
    assert (code, err) == (0, "")
    assert fake.events(kind="SIGNAL")[0].signal.exit_plan.holding_period.seconds == 864_000


def test_bad_prices_are_told_with_file_and_line(fake: FakeSidecar, tmp_path: Path) -> None:
    """Nothing is imported, unless bad rows are to be skipped."""
    prices = folder_of_prices(tmp_path / "prices")
    bad = "Date,Open,High,Low,Close\n2024-01-01,1,2,1,x\n2024-01-02,1,2,1,2\n2024-01-02,1,2,1,1\n"
    written(prices / "AAPL.csv", bad)
    trades = written(tmp_path / "t.csv", TRADES)
    code, _, err = run(fake, trades, "--prices", str(prices))
    assert code == 1
    assert "AAPL.csv: line 2: Close: 'x' is not a number" in err
    assert "AAPL.csv: line 4: Date: AAPL has another bar of this time on line 3" in err
    assert fake.events() == []
    code, _, err = run(fake, trades, "--prices", str(prices), "--skip-bad", "--interval", "1d")
    assert code == 0
    assert "2 bad rows skipped" in err


def test_a_changed_bar_is_refused_with_its_line(fake: FakeSidecar, tmp_path: Path) -> None:
    """The log keeps what it has; exit 1 says which line differs."""
    prices = folder_of_prices(tmp_path / "prices", ("AAPL",))
    trades = written(tmp_path / "t.csv", TRADES)
    run(fake, trades, "--prices", str(prices))
    text = (prices / "AAPL.csv").read_text().replace("2024-01-03,100", "2024-01-03,102")
    written(prices / "AAPL.csv", text)
    code, out, err = run(fake, trades, "--prices", str(prices))
    assert code == 1
    assert "prices, line 4: ID_REUSED: the bar of AAPL was imported before and it has" in err
    assert "1 refused" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prices", "ODD/empty"], "no price file in this folder"),
        (["--prices", "ODD/gone.csv"], "No such file"),
        (["--prices", "PRICES", "--interval", "5"], "--interval: '5' is no length of time"),
        (["--holding-period", "long"], "--holding-period: 'long' is no length of time"),
        (["--stateful", "gone"], "no column tells a guard 'gone'; there are: volatility"),
        (["--prices", "ODD/one.csv"], "one bar does not tell its length: tell --interval"),
        (["--prices", "ODD/no_close.csv"], "no column for close"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    fake: FakeSidecar, tmp_path: Path, arguments: list[str], words: str
) -> None:
    """Exit 2, no traceback, nothing recorded."""
    prices = folder_of_prices(tmp_path / "prices")
    odd = tmp_path / "odd"
    (odd / "empty").mkdir(parents=True)
    written(odd / "one.csv", "time,symbol,close\n2024-01-01,AAPL,5\n")
    written(odd / "no_close.csv", "time,symbol\n2024-01-01,AAPL\n")
    given = [one.replace("PRICES", str(prices)).replace("ODD", str(odd)) for one in arguments]
    code, _, err = run(fake, written(tmp_path / "t.csv", TRADES), *given)
    assert code == 2
    assert words in err
    assert fake.events() == []
