"""A trade file with a guard that depends on earlier trades, to what each guard is worth."""

import csv
import json
import random
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.conftest import Sidecar
from trimtab_client import FakeSidecar
from trimtab_server.cli import app
from trimtab_server.cli.import_trades import import_trades

FIRST = date(2022, 1, 1)
DAYS = 500
PHASE = 12
HELD_DAYS = 5
SLOTS = 3
WAIT_S = 60.0
NAMED = ["--guard-rule", "slots=position-count"]

alone = typer.Typer()
alone.command()(import_trades)


def day_text(day: int) -> str:
    """The ISO date of a day of the world."""
    return (FIRST + timedelta(days=day)).isoformat()


def is_rising(day: int) -> bool:
    """Twelve days up, twelve days down."""
    return day // PHASE % 2 == 0


def write_prices(path: Path) -> list[float]:
    """Daily bars, stamped at their opens; their closes."""
    price, closes = 100.0, []
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["Date", "Symbol", "Open", "High", "Low", "Close"])
        for day in range(DAYS):
            before, price = price, price * (1.01 if is_rising(day) else 0.99)
            high, low = max(before, price), min(before, price)
            out.writerow([day_text(day), "AAA", before, high, low, price])
            closes.append(price)
    return closes


def write_trades(path: Path, closes: list[float]) -> int:
    """The daily signals of a book with a cap of three positions and a guard against falling prices
    that errs now and then; how many the cap blocked."""
    rng = random.Random(11)
    rows: list[dict[str, Any]] = []
    exits: list[int] = []
    for day in range(2, DAYS - HELD_DAYS - 3):
        exits = [each for each in exits if each > day]
        trend = "pass" if is_rising(day) or rng.random() < 0.3 else "block"
        slots = "pass" if len(exits) < SLOTS else "block"
        # The bar of a day ends at midnight behind it.
        row: dict[str, Any] = {
            "id": day, "symbol": "AAA", "entry_time": day_text(day + 1),
            "entry_price": closes[day], "quantity": 10,
            "guard:trend": trend, "guard:slots": slots,
            "guard:slots_value": len(exits), "guard:slots_limit": SLOTS,
            "decision": "blocked" if "block" in (trend, slots) else "approved",
            "exit_time": "", "exit_price": "",
        }  # fmt: skip
        if row["decision"] == "approved":
            row["exit_time"] = day_text(day + 1 + HELD_DAYS)
            row["exit_price"] = closes[day + HELD_DAYS]
            exits.append(day + HELD_DAYS)
        rows.append(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return sum(row["guard:slots"] == "block" for row in rows)


def run(sidecar: Sidecar, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a command."""
    result = CliRunner().invoke(app, [*arguments, "--address", sidecar.address])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sidecar, int]]:
    """A sidecar with the same file twice: as run "told" with the rule of slots, as run "untold"
    without; and how many signals slots blocked."""
    folder = tmp_path_factory.mktemp("import-rules")
    trades = folder / "trades.csv"
    blocked = write_trades(trades, write_prices(folder / "prices.csv"))
    sidecar = Sidecar(folder / "log.db").start()
    try:
        for run_id, rule in (("told", NAMED), ("untold", ["--stateful", "slots"])):
            code, out, err = run(
                sidecar, "import", str(trades), "--source", "mine", "--environment", "backtest",
                "--run-id", run_id, "--prices", str(folder / "prices.csv"),
                "--holding-period", f"{HELD_DAYS}d", *rule,
            )  # fmt: skip
            assert code == 0, out + err
            assert ("stateful, position-count\n" in out) is (run_id == "told")
            assert ("--guard-rule slots=position-count" in err) is (run_id == "untold")
            assert "said otherwise" not in err
        yield sidecar, blocked
    finally:
        sidecar.kill()


def guards(sidecar: Sidecar, run_id: str) -> dict[str, Any]:
    """The lines of the guard report once every signal of the run was followed to its end."""
    deadline = time.monotonic() + WAIT_S
    scope = ["--environment", "backtest", "--run-id", run_id]
    while True:
        code, out, err = run(sidecar, "report", "guards", *scope, "--format", "json")
        assert code == 0, err
        plain: dict[str, Any] = json.loads(out)
        counts = plain["head"]["counts"]
        if counts.get("shadow_matured_count", 0) == counts.get("signal_count", "none yet"):
            return {line["guard"]: line for line in plain["guards"]}
        assert time.monotonic() < deadline, counts
        time.sleep(0.2)


def test_a_rule_told_at_import_gives_both_guards_a_value(imported: tuple[Sidecar, int]) -> None:
    """The guard without a memory and the one with it are valued by the replay of the ledger, which
    finds the recorded verdicts again."""
    sidecar, blocked = imported
    lines = guards(sidecar, "told")
    assert set(lines) == {"slots", "trend"}
    for line in lines.values():
        assert line["effect"] != "GUARD_EFFECT_NOT_IDENTIFIABLE", line["note"]
        assert line["identifiability"] == "IDENTIFIABILITY_SIMULATED"
        assert line["value"]["low"] < line["value"]["value"] < line["value"]["high"]
        assert "100.0%" in line["note"]
    assert lines["trend"]["value"]["value"] > 0
    assert int(lines["slots"]["blocked_count"]) == blocked > 50


def test_without_its_rule_no_guard_has_a_value(imported: tuple[Sidecar, int]) -> None:
    """The same file, the rule untold: nobody knows what slots would have said without trend."""
    lines = guards(imported[0], "untold")
    assert {line["effect"] for line in lines.values()} == {"GUARD_EFFECT_NOT_IDENTIFIABLE"}


def test_the_limit_of_such_a_guard_can_be_moved(imported: tuple[Sidecar, int]) -> None:
    """A what-if with room for more positions takes more of the recorded signals."""
    guards(imported[0], "told")
    code, out, err = run(
        imported[0], "what-if", "--environment", "backtest", "--run-id", "told",
        "--guard-limit", "slots=5", "--format", "json",
    )  # fmt: skip
    assert code == 0, err
    assert int(json.loads(out)["result"]["added_count"]) > 0


def test_the_rule_is_in_the_decision(tmp_path: Path) -> None:
    """As the contract's message, with times as durations; a blank figure is refused with its line,
    its guard and its column, before anything is recorded."""
    text = (
        "id,symbol,entry_time,decision,guard_slots,guard_slots_value,guard_slots_limit,guard_rest,"
        "guard_rest_value,guard_rest_limit,guard_day,guard_day_value,guard_day_limit\n"
        "1,A,2024-01-01,approved,pass,0,2,pass,,90,pass,0,0.02\n"
        "2,A,2024-01-02,blocked,block,2,2,pass,90.5,90,pass,-0.01,0.02\n"
    )
    rules = ["--guard-rule", "slots=position-count-per-symbol", "--guard-rule", "rest=cooldown",
             "--guard-rule", "day=loss-limit:1d"]  # fmt: skip
    trades = tmp_path / "t.csv"
    with FakeSidecar() as fake:
        given = [str(trades), "--source", "mine", "--environment", "paper"]
        given += ["--address", fake.address, *rules]
        trades.write_text(text.replace("block,2,2", "block,,2"))
        result = CliRunner().invoke(alone, given)
        assert result.exit_code == 1
        assert "line 3: guard_slots_value: guard slots needs it for its rule" in result.stderr
        trades.write_text(text.replace("guard_slots_limit", "other"))
        result = CliRunner().invoke(alone, given)
        assert result.exit_code == 2
        words = "guard slots: the rule position-count-per-symbol needs a column guard:slots_limit"
        assert words in result.stderr
        result = CliRunner().invoke(alone, [*given, "--guard-rule", "slots"])
        assert "--guard-rule slots: write it as NAME=RULE" in result.stderr
        assert fake.events() == []
        trades.write_text(text)
        assert CliRunner().invoke(alone, given).exit_code == 0
        first, second = (one.decision.guard_verdicts for one in fake.events(kind="DECISION"))
    slots, rest, day = second
    assert (slots.memory, slots.observed_value, slots.limit) == (2, 2, 2)
    told = slots.position_count
    assert (told.open_count, told.open_count_max, told.per_symbol) == (2, 2, True)
    assert not first[1].cooldown.HasField("elapsed")
    assert rest.cooldown.elapsed.ToMilliseconds() == 90_500
    assert rest.cooldown.cooldown.ToSeconds() == 90
    assert (day.loss_limit.period_return, day.loss_limit.loss_fraction_max) == (-0.01, 0.02)
    assert day.loss_limit.period.ToSeconds() == 86_400
