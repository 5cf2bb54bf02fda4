"""The monitor: committed events open and close breakers, once, wherever it runs."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from tests.loop.gate_world import (
    LIVE,
    LOSSES,
    NS,
    RUN,
    START_NS,
    FakeClock,
    Running,
    an_order,
    decided,
    losses,
    outcome,
    running,
    until,
)
from tests.store.conftest import Backend, backend, databases  # noqa: F401  (fixtures)
from trimtab_server.domain.gate.breaker_record import (
    Breaker,
    BreakerRule,
    BreakerState,
    Probe,
    Sample,
    SampleKind,
)
from trimtab_server.domain.gate.gate_world import key_of, with_reset
from trimtab_server.domain.gate.signal_gate import BreakerKind, GateReason, Scope
from trimtab_server.loop import signal_gate as loop_signal_gate

MOMENTUM = Scope("alpha", "momentum", "BTC-USDT", "")
CARRY = Scope("alpha", "carry", "BTC-USDT", "")
OPEN = [GateReason.BREAKER_OPEN]
STALE = BreakerRule(
    name="stale",
    kind=BreakerKind.STALE_DATA,
    limit=60.0,
    per=("symbol",),
    confirmation_count=2,
)


async def _open(one: Running, count: int = 5) -> None:
    """Trips the strategy's breaker in the run."""
    await one.record(*losses(RUN, count, START_NS))
    await until(lambda: bool(one.gate.held(RUN).breakers), "the breaker")


async def test_the_fifth_loss_in_a_row_opens_the_breaker_of_its_strategy(
    backend: Backend,  # noqa: F811
) -> None:
    """Four do not; the fifth denies entries of that strategy in that run, and nothing else."""
    async with running(backend.open()) as one:
        await one.monitored(await one.record(*losses(RUN, 4, START_NS)))
        assert one.codes(RUN, MOMENTUM, START_NS) == []
        await _open(one, 1)
        assert one.codes(RUN, MOMENTUM, START_NS + 9 * NS) == OPEN
        assert one.codes(RUN, CARRY, START_NS + 9 * NS) == []
        assert one.codes(LIVE, MOMENTUM, START_NS) == []
        assert one.gate.held(LIVE).rules.revision == 0


async def test_four_losses_and_a_restart_make_the_fifth_trip(backend: Backend) -> None:  # noqa: F811
    """What was measured survives; so does the state, with its revision and its end."""
    store = backend.open()
    async with running(store) as one:
        await one.monitored(await one.record(*losses(RUN, 4, START_NS)))
    store = backend.reopen(store)
    async with running(store, "two") as one:
        await one.record(outcome(RUN, START_NS + 5 * NS, won=False))
        await until(lambda: bool(one.gate.held(RUN).breakers), "the breaker")
        held = one.gate.held(RUN)
    store = backend.reopen(store)
    async with running(store, "three") as one:
        again = one.gate.held(RUN)
        assert (again.rules, again.breakers) == (held.rules, held.breakers)
        assert one.codes(RUN, MOMENTUM, START_NS + 6 * NS) == OPEN


async def test_a_hundred_losses_of_a_run_do_not_move_live(backend: Backend) -> None:  # noqa: F811
    """Worlds are separate: LIVE's revision stays, and nothing is denied there."""
    async with running(backend.open()) as one:
        last = await one.record(*losses(RUN, 100, START_NS))
        await one.monitored(last)
        assert one.gate.held(RUN).rules.revision == 1
        assert one.gate.held(LIVE).rules.revision == 0
        assert one.codes(LIVE, MOMENTUM, START_NS) == []


async def test_a_cool_down_of_an_hour_ends_within_a_replay_of_a_minute(
    backend: Backend,  # noqa: F811
) -> None:
    """A run's clock is event time: probes pass after an hour of it, and two that win close the
    breaker. The server's clock stands still meanwhile."""
    async with running(backend.open()) as one:
        await _open(one)
        later = START_NS + 3_700 * NS
        assert one.codes(RUN, MOMENTUM, later - 600 * NS) == OPEN
        granted = [GateReason.PROBE_GRANTED]
        assert one.codes(RUN, MOMENTUM, later, "p-1") == granted
        assert one.codes(RUN, MOMENTUM, later, "p-1") == granted
        # A probe's outcome may come at once: what is granted in memory counts.
        await one.record(outcome(RUN, later + NS, won=True, signal_id="p-1"))
        assert one.codes(RUN, MOMENTUM, later, "p-2") == granted
        await one.record(outcome(RUN, later + 2 * NS, won=True, signal_id="p-2"))
        await until(lambda: not one.gate.held(RUN).breakers, "the end of the breaker")
        assert one.codes(RUN, MOMENTUM, later) == []
        assert one.gate.held(RUN).rules.revision == 2


async def test_an_outcome_that_comes_before_its_grant_is_stored_counts_once(
    backend: Backend,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The probe does not come back when its grant is stored, and a second outcome of the signal
    counts no more than if it had been stored before."""
    monkeypatch.setattr(loop_signal_gate, "_GRANTS_REST_S", 0.3)
    async with running(backend.open()) as one:
        await _open(one)
        later = START_NS + 3_700 * NS
        assert one.codes(RUN, MOMENTUM, later, "p-1") == [GateReason.PROBE_GRANTED]
        won = partial(outcome, RUN, won=True, signal_id="p-1")
        await one.monitored(await one.record(won(later + NS)))
        await until(lambda: not one.gate.grants, "the storing of the grant")
        await one.monitored(await one.record(won(later + 2 * NS)))
        (breaker,) = (await one.gate.page(RUN, None, 10, include_closed=False)).breakers
        assert breaker.success_count == 1
        assert breaker.probes == (Probe("alpha", "p-1", later, has_ended=True),)
        await until(partial(_has_ended, one), "the word of it")
        assert one.codes(RUN, MOMENTUM, later, "p-1") == [GateReason.PROBES_EXHAUSTED]
        assert one.codes(RUN, MOMENTUM, later, "p-2") == [GateReason.PROBE_GRANTED]
        await one.record(outcome(RUN, later + 3 * NS, won=True, signal_id="p-2"))
        await until(lambda: not one.gate.held(RUN).breakers, "the end of the breaker")


def _has_ended(one: Running) -> bool:
    """Whether the sidecar knows of a probe that has ended."""
    return any(
        probe.has_ended for each in one.gate.held(RUN).breakers.values() for probe in each.probes
    )


async def test_probes_are_limited_and_survive_a_restart(backend: Backend) -> None:  # noqa: F811
    """Two are granted; a third signal is told that they are under way, after a restart too."""
    store = backend.open()
    later = START_NS + 3_700 * NS
    async with running(store) as one:
        await _open(one)
        for signal_id in ("p-1", "p-2"):
            assert one.codes(RUN, MOMENTUM, later, signal_id) == [GateReason.PROBE_GRANTED]
        assert one.codes(RUN, MOMENTUM, later, "p-3") == [GateReason.PROBES_EXHAUSTED]
    store = backend.reopen(store)
    async with running(store, "two") as one:
        assert one.codes(RUN, MOMENTUM, later, "p-3") == [GateReason.PROBES_EXHAUSTED]
        assert one.codes(RUN, MOMENTUM, later, "p-1") == [GateReason.PROBE_GRANTED]
        # A loss opens it again, for twice as long.
        await one.record(outcome(RUN, later + NS, won=False, signal_id="p-1"))
        await until(
            lambda: next(iter(one.gate.held(RUN).breakers.values())).trip_count == 2,
            "a second trip",
        )
        assert one.codes(RUN, MOMENTUM, later + 3_700 * NS) == OPEN


async def test_a_replay_of_the_log_gives_the_same_breakers(
    backend: Backend,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However the log is cut into pages: every field is the same, jitter included, except that a
    page may tell two changes at once, which is one revision."""
    rule = replace(LOSSES, cool_down_jitter=0.5)
    found = []
    for span in (1, 2_000):
        monkeypatch.setattr("trimtab_server.loop.stations._PAGE_SPAN", span)
        store = backend.open_empty()
        async with running(store, f"by-{span}", [rule]) as one:
            samples = losses(RUN, 7, START_NS, 600 * NS) + losses(RUN, 3, START_NS + 9_000 * NS)
            await one.monitored(await one.record(*samples))
            page = await one.gate.page(RUN, None, 10, include_closed=True)
            found.append([replace(each, revision=0) for each in page.breakers])
    assert found[0] == found[1]
    assert found[0]


async def test_events_of_a_spool_feed_no_breaker(backend: Backend) -> None:  # noqa: F811
    """LIVE: a hundred losses from before the window change nothing."""
    async with running(backend.open()) as one:
        old = START_NS - 100_000 * NS
        await one.monitored(await one.record(*losses(LIVE, 100, old)))
        assert one.gate.held(LIVE).rules.revision == 0
        await one.record(*losses(LIVE, 5, START_NS - 5 * NS))
        await until(lambda: bool(one.gate.held(LIVE).breakers), "the breaker")
        assert one.codes(LIVE, MOMENTUM, START_NS) == OPEN


async def test_a_signal_of_another_engine_with_the_id_of_a_probe_is_no_probe(
    backend: Backend,  # noqa: F811
) -> None:
    """Engines number their signals each for itself: it has no share in the probe, its win does not
    end it, and the win of the probe itself does."""
    rule = replace(LOSSES, probe_count_max=1, success_count_min=1)
    async with running(backend.open(), breakers=[rule]) as one:
        await _open(one)
        later = START_NS + 3_700 * NS
        assert one.codes(RUN, MOMENTUM, later, "1") == [GateReason.PROBE_GRANTED]
        beta = MOMENTUM._replace(source="beta")
        assert one.codes(RUN, beta, later, "1") == [GateReason.PROBES_EXHAUSTED]
        won = partial(outcome, RUN, later + NS, won=True, signal_id="1")
        for strategy in ("momentum", "carry"):
            await one.monitored(await one.record(won(source="beta", strategy=strategy)))
        (breaker,) = (await one.gate.page(RUN, None, 10, include_closed=False)).breakers
        assert breaker.probes == (Probe("alpha", "1", later),)
        await one.record(won())
        await until(lambda: not one.gate.held(RUN).breakers, "the end of the breaker")


async def test_a_full_world_opens_the_widest_breaker_of_a_rule_instead(
    backend: Backend,  # noqa: F811
) -> None:
    """However many strategies lose, the rule opens one breaker beyond the limit; it denies them all
    and says why. Its probes close it, and it opens again for the next one that finds no room."""
    async with running(backend.open(), rules_max=2) as one:
        many = [
            outcome(RUN, START_NS + i * NS, won=False, strategy=f"s-{strategy}")
            for strategy in range(20)
            for i in range(5)
        ]
        await one.monitored(await one.record(*many))
        later = START_NS + 3_700 * NS
        for _ in range(2):
            await until(lambda: len(one.gate.held(RUN).breakers) == 3, "three breakers")
            held = one.gate.held(RUN).breakers
            assert sorted(key.scope.strategy for key in held) == ["", "s-0", "s-1"]
            (wide,) = (each for key, each in held.items() if key.scope == Scope())
            assert "as 2 breakers are open already" in wide.reason
            assert one.codes(RUN, CARRY, START_NS + 9 * NS) == OPEN
            for name in ("p-1", "p-2"):
                assert one.codes(RUN, CARRY, later, name) == [GateReason.PROBE_GRANTED]
                won = outcome(RUN, later + NS, won=True, strategy="carry", signal_id=name)
                await one.monitored(await one.record(won))
            await until(lambda: len(one.gate.held(RUN).breakers) == 2, "the end of the widest")
            assert one.codes(RUN, CARRY, later) == []
            again = [
                outcome(RUN, later + (2 + i) * NS, won=False, strategy="s-7") for i in range(5)
            ]
            await one.monitored(await one.record(*again))
            later += 7_300 * NS


async def test_a_full_world_denies_while_any_symbol_s_data_are_missing(
    backend: Backend,  # noqa: F811
) -> None:
    """The widest breaker of the rule stands for those without room until the data of all of them
    came again, also when somebody resets it meanwhile."""
    clock, store = FakeClock(), backend.open()
    other = Scope("alpha", "momentum", "D", "")
    async with running(store, breakers=[STALE], clock=clock, rules_max=1) as one:
        await one.monitored(await one.record(*(_bar(START_NS, name) for name in "ABCD")))
        clock.now_ns += 70 * NS
        await until(lambda: len(one.gate.held(LIVE).breakers) == 2, "two breakers")
        assert one.codes(LIVE, other, clock.now_ns) == OPEN
        revision = one.gate.held(LIVE).rules.revision
        cleared = partial(with_reset, scope=Scope(), kind=None, include_narrower=False)
        await one.gate.order(an_order(LIVE), decided(cleared))
        await until(lambda: one.gate.held(LIVE).rules.revision == revision + 2, "the widest again")
        fresh = [_bar(clock.now_ns - i, name) for i in (1, 0) for name in "ABC"]
        await one.monitored(await one.record(*fresh))
        await until(lambda: _symbols(one) == {"D"}, "the one that is missing still")
        assert one.codes(LIVE, other, clock.now_ns) == OPEN
        await one.record(_bar(clock.now_ns - 1, "D"), _bar(clock.now_ns, "D"))
        await until(lambda: not one.gate.held(LIVE).breakers, "the end of the breakers")


def _symbols(one: Running) -> set[str]:
    return {key.scope.symbol for key in one.gate.held(LIVE).breakers}


def _bar(time_ns: int, symbol: str = "BTC-USDT") -> Sample:
    return Sample(SampleKind.MARKET_DATA, LIVE, Scope("alpha", "", symbol, ""), "", time_ns)


async def test_data_that_stop_open_a_breaker_and_fresh_ones_close_it(
    backend: Backend,  # noqa: F811
) -> None:
    """By the server's clock, without any event; only the symbol that fell silent is concerned, and
    a restart in between forgets nothing."""
    clock = FakeClock()
    store = backend.open()
    other = Scope("alpha", "momentum", "ETH-USDT", "")
    async with running(store, breakers=[STALE], clock=clock) as one:
        await one.monitored(await one.record(_bar(START_NS), _bar(START_NS, "ETH-USDT")))
        clock.now_ns += 50 * NS
        await one.monitored(await one.record(_bar(clock.now_ns, "ETH-USDT")))
    store = backend.reopen(store)
    async with running(store, "two", [STALE], clock) as one:
        clock.now_ns += 20 * NS
        await until(lambda: bool(one.gate.held(LIVE).breakers), "the breaker")
        assert one.codes(LIVE, MOMENTUM, clock.now_ns) == OPEN
        assert one.codes(LIVE, other, clock.now_ns) == []
        (breaker,) = one.gate.held(LIVE).breakers.values()
        assert breaker.state_at(clock.now_ns + 10**15) is BreakerState.OPEN
        await one.record(_bar(clock.now_ns - NS), _bar(clock.now_ns))
        await until(lambda: not one.gate.held(LIVE).breakers, "the end of the breaker")
        assert one.codes(LIVE, MOMENTUM, clock.now_ns) == []


async def test_a_reset_while_data_are_missing_does_not_disarm(
    backend: Backend,  # noqa: F811
) -> None:
    """The breaker opens again by itself: it does not take new data to be armed."""
    clock = FakeClock()
    async with running(backend.open(), breakers=[STALE], clock=clock) as one:
        await one.monitored(await one.record(_bar(START_NS)))
        clock.now_ns += 70 * NS
        await until(lambda: bool(one.gate.held(LIVE).breakers), "the breaker")
        cleared = partial(with_reset, scope=Scope(), kind=None, include_narrower=True)
        assert await one.gate.order(an_order(LIVE), decided(cleared)) == b"2"
        await until(lambda: one.gate.held(LIVE).rules.revision == 3, "the breaker once more")
        assert one.codes(LIVE, MOMENTUM, clock.now_ns) == OPEN


async def test_what_a_rule_watched_under_a_former_policy_does_not_trip(
    backend: Backend,  # noqa: F811
) -> None:
    """A rule that had a breaker for each symbol has one for all now: the former ones, which get no
    data any more, go with the start or are left alone; those that are open stay so."""
    clock = FakeClock()
    store = backend.open()
    async with running(store, breakers=[STALE], clock=clock) as one:
        await one.monitored(await one.record(_bar(START_NS)))
    store = backend.reopen(store)
    wide = replace(STALE, per=(), confirmation_count=1)
    async with running(store, "two", [wide], clock) as one:
        assert not (await one.gate.page(LIVE, None, 10, include_closed=True)).breakers
        # As a sidecar that still has the former policy may store them.
        former = Breaker(LIVE, Scope(symbol="BTC-USDT"), STALE.kind, "stale")
        former = replace(former, window=((START_NS, 0.0),))
        other = replace(former, scope=Scope(symbol="ETH-USDT"), is_open=True)
        with store._database.writing() as writer:
            gate = store.gate.held(writer, LIVE)
            store.gate.keep(
                writer, gate, {key_of(each): each for each in (former, other)}, [former, other]
            )
        clock.now_ns += 100 * NS
        await one.monitored(await one.record(_bar(clock.now_ns)))
        found = (await one.gate.page(LIVE, None, 10, include_closed=True)).breakers
        assert {each.scope.symbol: each.is_open for each in found} == {
            "": False,
            "BTC-USDT": False,
            "ETH-USDT": True,
        }


def _is_open(one: Running) -> bool:
    return bool(one.gate.held(RUN).breakers)


async def test_two_sidecars_have_one_monitor_and_one_state(databases: Backend) -> None:  # noqa: F811
    """Losses that are recorded through both count once each, and both sidecars deny; when the one
    that ran the monitor stops, the other goes on."""
    one_store, two_store = databases.open(), databases.open()
    async with running(two_store, "two") as two:
        async with running(one_store, "one") as one:
            samples = losses(RUN, 5, START_NS)
            for index, sample in enumerate(samples):
                await (one, two)[index % 2].record(sample)
            for each in (one, two):
                await until(partial(_is_open, each), "the breaker")
                assert each.codes(RUN, MOMENTUM, START_NS + 9 * NS) == OPEN
                (breaker,) = each.gate.held(RUN).breakers.values()
                assert breaker.trip_count == 1
                assert breaker.observed_value == 5
        more = [outcome(RUN, START_NS + i * NS, won=False, strategy="carry") for i in range(5)]
        await two.record(*more)
        await until(lambda: len(two.gate.held(RUN).breakers) == 2, "the second breaker")


async def test_without_a_rule_for_market_data_bars_are_not_read(
    backend: Backend,  # noqa: F811
) -> None:
    """They come in numbers, and would only be thrown away; the cursor still moves on, lazily."""
    async with running(backend.open()) as one:
        assert 11 not in one.monitor.kinds
        last = await one.record(*(_bar(START_NS + i) for i in range(10)))
        await one.monitored(last)
        assert one.gate.held(LIVE).rules.revision == 0
        await asyncio.sleep(0)
