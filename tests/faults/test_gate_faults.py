"""The gate in front of a real sidecar that dies, stops, falls silent, comes back older.

What a client answers then is the contract's; when, is told by its lease: nothing here waits for a
time, everything waits for a state and then asks.
"""

import gc
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import trimtab_client
from tests.chaos.proxy import Proxy, Way
from tests.conftest import Sidecar
from tests.faults.waiting import until
from trimtab_client import Client, GateSettings, RecorderSettings, Trimtab
from trimtab_server.cli import app

START = Callable[..., Sidecar]
CONNECT = Callable[..., Trimtab]
LEASE_S = 1.0
SHORT_LEASE = {"TRIMTAB_GATE": json.dumps({"lease_ttl_s": LEASE_S})}
LONG_LEASE = {"TRIMTAB_GATE": json.dumps({"lease_ttl_s": 60.0})}
ABSENT = {"FALLBACK"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[CONNECT]:
    """Connections of one engine, each like a start of it: they share what the gate remembers."""
    with ExitStack() as closing:

        def connect(address: str, on_unavailable: str = "CLOSED", **more: Any) -> Trimtab:
            tt = trimtab_client.connect(
                source=more.pop("source", "alpha-1"),
                environment=more.pop("environment", "LIVE"),
                address=address,
                on_unavailable=on_unavailable,
                settings=RecorderSettings(spool_mode="off", exit_flush_timeout_s=0),
                gate_settings=GateSettings(gate_dir=tmp_path / on_unavailable, **more),
            )
            closing.callback(tt.close, 0.0)
            return tt

        yield connect


def entry(tt: Trimtab, confidence: float | None = 0.8) -> trimtab_client.GateAnswer:
    """Asks for an entry."""
    return tt.allow(signal_id="s1", symbol="AAPL", side="BUY", confidence=confidence)


def is_denied_within_the_lease(tt: Trimtab) -> bool:
    """Whether an entry is denied; it never passes once the lease is over."""
    age_s = tt.gate.stats.lease_age_s
    answer = entry(tt)
    assert age_s is not None
    assert not answer or age_s <= LEASE_S
    return not answer


def leave(tt: Trimtab) -> trimtab_client.GateAnswer:
    """Asks for an exit."""
    return tt.allow(signal_id="s1", symbol="AAPL", side="SELL", intent="EXIT")


def halt(address: str, state: str = "HALTED", *, source: str = "", symbol: str = "") -> None:
    """What an operator does."""
    with Client(address, timeout_s=20.0) as client:
        client.set_trading_state(
            environment="LIVE",
            state=state,
            actor="ops",
            reason="news",
            source=source,
            symbol=symbol,
        )


def goes(is_gone: Sidecar, how: str) -> Callable[[], None]:
    """Takes a sidecar away; returns what brings it back."""
    if how == "SIGKILL":
        is_gone.kill()
        return lambda: setattr(is_gone, "listen", is_gone.restart().address)
    os.kill(is_gone.pid, signal.SIGSTOP)
    return lambda: os.kill(is_gone.pid, signal.SIGCONT)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
def test_without_its_sidecar_a_gate_does_what_it_was_built_for(
    sidecar: START, engine: CONNECT, how: str
) -> None:
    """Within the lease a CLOSED one denies entries and an OPEN one falls back; exits always pass;
    and both have a lease again when the sidecar is back."""
    server = sidecar(environment=SHORT_LEASE)
    closed, opened = engine(server.address), engine(server.address, "OPEN")
    assert closed.gate.wait_fresh(20)
    assert opened.gate.wait_fresh(20)
    assert entry(closed).verdict == entry(opened).verdict == "ALLOW"
    come_back = goes(server, how)
    until(lambda: is_denied_within_the_lease(closed), "the CLOSED gate denies")
    assert entry(closed).codes == ("LEASE_EXPIRED",)
    until(lambda: opened.gate.state == "EXPIRED", "the OPEN gate's lease expires")
    fallen_back = entry(opened, 0.8)
    assert (fallen_back.verdict, fallen_back.probability) == ("REDUCE", 0.64)
    assert fallen_back.max_position_fraction == 0.02
    assert fallen_back.gate_source == "FALLBACK"
    assert "BELOW_FALLBACK_THRESHOLD" in entry(opened, 0.7).codes
    for tt in (closed, opened):
        assert leave(tt).verdict == "ALLOW"
    come_back()
    for tt in (closed, opened):
        until(lambda: entry(tt).gate_source == "LEASE", "a lease again")  # noqa: B023
        assert entry(tt).verdict == "ALLOW"


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
def test_a_halt_that_was_heard_outlives_sidecar_and_engine(
    sidecar: START, engine: CONNECT, how: str
) -> None:
    """A gate built OPEN that knows of a halt denies without a sidecar, also after a restart of the
    engine, until the sidecar is back and somebody resumes."""
    server = sidecar(environment=SHORT_LEASE)
    first = engine(server.address, "OPEN")
    assert first.gate.wait_fresh(20)
    halt(server.address, symbol="AAPL")
    until(lambda: not entry(first), "the halt is heard")
    come_back = goes(server, how)
    until(lambda: first.gate.state == "EXPIRED", "the lease expires")
    assert "STICKY_DENIAL" in entry(first).codes
    first.close(0.0)
    second = engine(server.address, "OPEN")
    until(lambda: "STARTING" not in entry(second).codes, "the gate has looked")
    assert second.gate.state == "NO_LEASE"
    assert {"HALTED", "STICKY_DENIAL"} <= set(entry(second).codes)
    assert second.allow(signal_id="s2", symbol="MSFT", confidence=0.8).verdict == "REDUCE"
    assert leave(second)
    come_back()
    until(lambda: second.gate.state == "FRESH", "a lease again")
    assert entry(second).codes == ("HALTED",)
    halt(server.address, "ACTIVE", symbol="AAPL")
    until(lambda: entry(second).verdict == "ALLOW", "the resume is heard")


def test_a_network_that_swallows_everything_is_noticed_and_left_behind(
    sidecar: START, engine: CONNECT
) -> None:
    """A black hole ends the lease like a dead sidecar does; what was ordered meanwhile is heard as
    soon as it heals."""
    server = sidecar(environment=SHORT_LEASE)
    with Proxy(server.address) as proxy:
        closed, opened = engine(proxy.address), engine(proxy.address, "OPEN")
        assert closed.gate.wait_fresh(20)
        assert opened.gate.wait_fresh(20)
        proxy.black_hole()
        until(lambda: is_denied_within_the_lease(closed), "the CLOSED gate denies")
        until(lambda: entry(opened).gate_source in ABSENT, "the OPEN gate falls back")
        halt(server.address)
        assert entry(opened).verdict == "REDUCE"
        proxy.heal()
        for tt in (closed, opened):
            until(lambda: "HALTED" in entry(tt).codes, "the halt is heard")  # noqa: B023
            until(lambda: tt.gate.state == "FRESH", "a lease again")  # noqa: B023
            assert entry(tt).codes == ("HALTED",)


def test_slow_renewals_make_a_lease_stale_before_it_ends(sidecar: START, engine: CONNECT) -> None:
    """Between two thirds and the whole of its time a lease still answers, and says so."""
    server = sidecar(environment={"TRIMTAB_GATE": json.dumps({"lease_ttl_s": 3.0})})
    with Proxy(server.address) as proxy:
        tt = engine(proxy.address)
        assert tt.gate.wait_fresh(20)
        states: list[str] = []
        tt.gate.on_change(lambda change: states.append(change.state))
        proxy.set(down=Way(delay_s=2.5))
        answers = []

        def is_stale() -> bool:
            answers.append(entry(tt))
            return answers[-1].gate_source == "STALE"

        until(is_stale, "an answer from a stale lease")
        assert answers[-1].verdict == "ALLOW"
        proxy.heal()
        until(lambda: entry(tt).gate_source == "LEASE", "a fresh lease")
        until(lambda: "STALE" in states and states[-1] == "FRESH", "both changes were told")


def test_a_sidecar_that_leaves_in_good_order_costs_no_lease(
    sidecar: START, engine: CONNECT
) -> None:
    """Over a SIGTERM, its GOAWAY and a new start within the lease every answer comes from it."""
    server = sidecar(environment=LONG_LEASE)
    tt = engine(server.address)
    assert tt.gate.wait_fresh(20)
    boot_id = tt.gate.stats.boot_id
    sources = set()

    def is_back() -> bool:
        sources.add(entry(tt).gate_source)
        return tt.gate.stats.boot_id != boot_id

    assert server.terminate() == 0
    assert not is_back()
    server.restart()
    until(is_back, "the lease of the new start")
    assert sources == {"LEASE"}


def test_an_older_backup_is_refused_unless_it_is_restored(
    sidecar: START, engine: CONNECT, disk_path: Path
) -> None:
    """A database put back by hand has forgotten a halt that the engine knows: its snapshot is
    refused, and the halt stays; after `trimtab restore` it is a log of its own and is believed."""
    server = sidecar(environment=SHORT_LEASE)
    halt(server.address, source="beta-1")
    assert server.terminate() == 0
    older = disk_path / "older.db"
    shutil.copy(server.file, older)
    server.restart()
    tt = engine(server.address, "OPEN")
    assert tt.gate.wait_fresh(20)
    halt(server.address)
    until(lambda: "HALTED" in entry(tt).codes, "the halt is heard")
    assert server.terminate() == 0
    for path in server.file.parent.glob(server.file.name + "-*"):
        path.unlink()
    shutil.copy(older, server.file)
    server.restart()
    until(lambda: tt.gate.stats.refused, "the older state is refused")
    # Its revision catches up and passes what the engine knows: its history is another one.
    for symbol in ("MSFT", "XOM"):
        halt(server.address, symbol=symbol)
    before = tt.gate.stats.refused_count
    until(lambda: tt.gate.stats.refused_count > before + 2, "it is refused all the same")
    until(lambda: tt.gate.state == "EXPIRED", "nothing renews the lease")
    assert {"HALTED", "STICKY_DENIAL"} <= set(entry(tt).codes)
    assert server.terminate() == 0
    restored = CliRunner().invoke(app, ["restore", str(older), "--database", str(server.file)])
    assert restored.exit_code == 0, restored.output
    server.restart()
    until(lambda: tt.gate.state == "FRESH", "the restored log is believed")
    assert entry(tt).verdict == "ALLOW"
    assert tt.gate.stats.log_change_count == 1


def test_a_sidecar_on_an_empty_database_ends_no_halt(sidecar: START, engine: CONNECT) -> None:
    """A wrong working directory, as a rule: its snapshot is refused, the halt stays, after a start
    of the engine too; with the right database again the resume is believed."""
    server = sidecar(environment=SHORT_LEASE)
    tt = engine(server.address, "OPEN")
    assert tt.gate.wait_fresh(20)
    halt(server.address)
    until(lambda: "HALTED" in entry(tt).codes, "the halt is heard")
    assert server.terminate() == 0
    kept = server.file.with_name("kept.db")
    server.file.rename(kept)
    server.restart()
    until(lambda: tt.gate.stats.refused, "the other log is refused")
    until(lambda: tt.gate.state == "EXPIRED", "nothing renews the lease")
    refused = {"HALTED", "STICKY_DENIAL", "SNAPSHOT_REFUSED"}
    assert refused <= set(entry(tt).codes)
    assert tt.gate.check_or_ask(5, signal_id="s2", symbol="AAPL", confidence=0.9).verdict == "DENY"
    again = engine(server.address, "OPEN")
    until(lambda: refused <= set(entry(again).codes), "a new start refuses it too")
    assert server.terminate() == 0
    for path in server.file.parent.glob(server.file.name + "*"):
        path.unlink()
    kept.rename(server.file)
    server.restart()
    for each in (tt, again):
        until(lambda: each.gate.state == "FRESH", "the right log is believed")  # noqa: B023
        assert entry(each).codes == ("HALTED",)
    halt(server.address, "ACTIVE")
    for each in (tt, again):
        until(lambda: entry(each).verdict == "ALLOW", "the resume is heard")  # noqa: B023


def test_a_halt_is_pushed_to_every_client(sidecar: START, engine: CONNECT) -> None:
    """Nobody waits for a renewal (20 s away here): when the order returns, each hears of it."""
    server = sidecar(environment=LONG_LEASE)
    engines = [engine(server.address, source=f"engine-{number}") for number in range(12)]
    for tt in engines:
        assert tt.gate.wait_fresh(20)
    halt(server.address)
    until(lambda: not any(map(entry, engines)), "everybody denies", limit_s=15.0)
    halt(server.address, "ACTIVE")
    until(lambda: all(map(entry, engines)), "everybody allows", limit_s=15.0)


# What an engine's thread must never wait in.
_WAITING = {
    *(
        "acquire",
        "__enter__",
        "__exit__",
        "sleep",
        "wait",
        "select",
        "poll",
        "recv",
        "send",
        "sendall",
    ),
    *("read", "write", "open", "stat", "fsync", "connect", "start_new_thread", "join"),
}


def test_a_check_waits_for_nothing_in_any_state(sidecar: START, engine: CONNECT) -> None:
    """Not for a lock, the disk, the network or another thread: fresh, stale, expired, halted."""
    server = sidecar(environment=SHORT_LEASE)
    tt = engine(server.address)
    assert tt.gate.wait_fresh(20)
    called: set[str] = set()
    states: set[str] = set()

    def profile(_frame: object, event: str, function: Any) -> None:
        if event == "c_call":
            called.add(function.__name__)

    def looked() -> bool:
        states.add(tt.gate.state)
        # What a collection finalises takes locks of its own.
        gc.disable()
        sys.setprofile(profile)
        try:
            entry(tt)
            leave(tt)
        finally:
            sys.setprofile(None)
            gc.enable()
        return states >= {"FRESH", "STALE", "EXPIRED"}

    looked()
    halt(server.address)
    until(lambda: not entry(tt), "the halt is heard")
    looked()
    os.kill(server.pid, signal.SIGSTOP)
    until(looked, "every state was looked at")
    assert called
    assert not called & _WAITING
