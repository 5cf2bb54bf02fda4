"""A user's own trade file and prices, through a real sidecar, to what each guard cost."""

import csv
import json
import random
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conftest import Sidecar
from trimtab_server.cli import app

FIRST = date(2023, 1, 1)
DAYS = 360
PHASE = 12
SYMBOLS = ("AAA", "BBB")
HELD_DAYS = 2
WAIT_S = 60.0


def closes(shift: int) -> list[float]:
    """Daily closes that rise for twelve days and fall for twelve, in turns."""
    price, found = 100.0, []
    for day in range(DAYS):
        price *= 1.01 if is_rising(day, shift) else 0.99
        found.append(round(price, 4))
    return found


def is_rising(day: int, shift: int) -> bool:
    """Whether the price of that day is above the one before."""
    return (day + shift) // PHASE % 2 == 0


def day_text(day: int) -> str:
    """The ISO date of a day of the world."""
    return (FIRST + timedelta(days=day)).isoformat()


def write_world(folder: Path) -> tuple[Path, Path]:
    """A trade file and a folder of prices. Guard "trend" blocks what falls, guard "lunch" blocks
    by chance, guard "slots" (of an unknown kind, with a memory) never."""
    rng = random.Random(7)
    prices = folder / "prices"
    prices.mkdir(parents=True)
    rows = []
    for shift, symbol in enumerate(SYMBOLS):
        price = closes(5 * shift)
        with (prices / f"{symbol}.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["Date", "Open", "High", "Low", "Close", "Volume"])
            for day in range(DAYS):
                opened = price[day - 1] if day else 100.0
                high, low = max(opened, price[day]), min(opened, price[day])
                out.writerow([day_text(day), opened, high, low, price[day], 1e9])
        for day in range(2, DAYS - HELD_DAYS - 3):
            trend = "pass" if is_rising(day, 5 * shift) else "block"
            lunch = "block" if rng.random() < 0.3 else "pass"
            is_blocked = "block" in (trend, lunch)
            # Daily bars are stamped at their opens: this one ends at midnight behind the day.
            row: dict[str, Any] = {
                "id": f"{symbol}-{day}", "symbol": symbol, "entry_time": day_text(day + 1),
                "entry_price": price[day], "quantity": 10,
                "action": "blocked" if is_blocked else "approved",
                "guard:trend": trend, "guard:lunch": lunch, "guard_slots": "pass",
                "exit_time": "", "exit_price": "",
            }  # fmt: skip
            if not is_blocked:
                row["exit_time"] = day_text(day + 1 + HELD_DAYS)
                row["exit_price"] = price[day + HELD_DAYS]
            rows.append(row)
    trades = folder / "trades.csv"
    with trades.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return trades, prices


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar that was given both files by one command."""
    folder = tmp_path_factory.mktemp("import-guards")
    trades, prices = write_world(folder)
    sidecar = Sidecar(folder / "log.db").start()
    try:
        code, out, err = run(
            sidecar, "import", str(trades), "--source", "mine", "--environment", "backtest",
            "--run-id", "own", "--prices", str(prices), "--holding-period", f"{HELD_DAYS}d",
            "--stateful", "slots",
        )  # fmt: skip
        assert code == 0, out + err
        assert "720 bars of 2 symbols read, 24 h long, 0 problems" in out
        assert "guard slots: " in out
        yield sidecar
    finally:
        sidecar.kill()


def run(sidecar: Sidecar, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a command."""
    result = CliRunner().invoke(app, [*arguments, "--address", sidecar.address])
    return result.exit_code, result.stdout, result.stderr


def settled(sidecar: Sidecar) -> dict[str, Any]:
    """The guard report once every signal was followed to its end."""
    deadline = time.monotonic() + WAIT_S
    while True:
        code, out, err = run(sidecar, "report", "guards", "--format", "json")
        assert code == 0, err
        plain: dict[str, Any] = json.loads(out)
        counts = plain["head"]["counts"]
        if counts.get("shadow_matured_count", 0) == counts.get("signal_count", "none yet"):
            return plain
        assert time.monotonic() < deadline, counts
        time.sleep(0.2)


def test_a_trade_file_and_prices_tell_what_each_guard_is_worth(imported: Sidecar) -> None:
    """Nothing was integrated: the guard that blocks what falls helps, chance costs nothing sure,
    and what never blocked has no value."""
    plain = settled(imported)
    guards = {line["guard"]: line for line in plain["guards"]}
    assert set(guards) == {"lunch", "slots", "trend"}
    assert guards["trend"]["effect"] == "GUARD_EFFECT_HELPS"
    assert guards["trend"]["value"]["low"] > 0
    assert guards["lunch"]["effect"] != "GUARD_EFFECT_HELPS"
    assert guards["slots"].get("blocked_count", "0") in {0, "0"}
    # Every blocked signal fell by 1 % a day for up to two days: at most 2 % each, before costs.
    blocked = int(guards["trend"]["blocked_alone_count"])
    assert 0 < guards["trend"]["value"]["value"] <= 0.025 * blocked
    head = plain["head"]["scope"]
    assert (head["environment"], head["run_id"]) == ("ENVIRONMENT_BACKTEST", "own")


def test_the_page_says_it_in_one_sentence(imported: Sidecar, tmp_path: Path) -> None:
    """The answer stands first, in words, with its interval, and says that it is simulated."""
    settled(imported)
    target = tmp_path / "guards.html"
    code, out, _ = run(imported, "report", "guards", "--output", str(target))
    assert code == 0
    assert out.startswith("The trend guard saved ")
    assert "(simulated)" in out.split("\n")[0]
    assert "<svg" in target.read_text()


def test_simulated_results_of_what_was_traded_agree_with_the_file(imported: Sidecar) -> None:
    """The same trades, real and simulated, differ by the costs that are assumed and no more."""
    settled(imported)
    code, out, _ = run(imported, "report", "compare", "--format", "json")
    assert code == 0
    error = json.loads(out)["comparison"]["simulation_error"]["value"]
    # Fees of 1 bp a side and half of a 2 bp spread twice: 4 bp.
    assert abs(error) < 0.001


def test_what_if_without_the_guard_makes_less(imported: Sidecar) -> None:
    """The guard that helps is missed; a grid of two answers both."""
    settled(imported)
    code, out, _ = run(imported, "what-if", "--guard-off", "trend", "--format", "json")
    assert code == 0
    assert json.loads(out)["result"]["difference"]["value"] < 0
    code, out, _ = run(
        imported, "what-if", "--sweep", "guard-off=trend,lunch", "--max-positions", "3",
        "--format", "json",
    )  # fmt: skip
    assert code == 0
    assert [one["index"] for one in json.loads(out)["results"]] == [0, 1]


def test_a_ledger_that_is_derived_again_says_the_same(imported: Sidecar) -> None:
    """`trimtab rebuild-ledger` beside the serving sidecar: the same report, to the bit, and not
    one event more in the log."""
    before = settled(imported)
    result = CliRunner().invoke(app, ["rebuild-ledger", "--database", str(imported.database)])
    assert result.exit_code == 0, result.output
    after = settled(imported)
    for told in (before, after):
        del told["head"]["make_time"]
    assert after == before
