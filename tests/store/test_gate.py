"""What the signal gate keeps, on every backend: changes happen once, and survive whole."""

from dataclasses import replace
from functools import partial

import pytest

from tests.store.conftest import Backend
from tests.store.gate_orders import (
    ALL,
    LIVE,
    LOSSES,
    PAPER,
    an_order,
    decided_halt,
    decided_trip,
    everything,
    full_breaker,
    halt,
    halted,
    keep,
    run,
)
from trimtab_server.domain.gate.breaker import granted
from trimtab_server.domain.gate.breaker_record import Breaker, BreakerRule, Probe
from trimtab_server.domain.gate.gate_world import (
    Altered,
    BreakerKey,
    Decided,
    GateWorld,
    Grant,
    key_of,
    with_reset,
)
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    Scope,
)
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import StaleEtag, TrimtabError
from trimtab_server.store import gate as store_gate
from trimtab_server.store.gate import GateLimits
from trimtab_server.store.store import Store


def test_an_order_is_carried_out_once(backend: Backend) -> None:
    """The same id and body again is answered as the first time, after a restart too, and changes
    nothing; another body is refused."""
    store = backend.open()
    order = an_order()
    assert store.change_gate(order, partial(decided_halt, ALL)).answer == b"revision 1"
    halt(store, scope=Scope("alpha"))
    store = backend.reopen(store)
    again = store.change_gate(order, partial(decided_halt, ALL))
    assert (again.answer, again.world.revision) == (b"revision 1", 2)
    with pytest.raises(TrimtabError) as refused:
        store.change_gate(order._replace(digest=b"e" * 16), partial(decided_halt, ALL))
    assert refused.value.reason is Reason.REQUEST_ID_REUSED


def test_a_stale_etag_changes_nothing(backend: Backend) -> None:
    """Whoever decided on an older state of the world is told the present one."""
    store = backend.open()
    order = an_order(etag="0")
    store.change_gate(order, partial(decided_halt, ALL))
    with pytest.raises(TrimtabError) as refused:
        store.change_gate(an_order(etag="0"), partial(decided_halt, Scope("alpha")))
    assert isinstance(refused.value, StaleEtag)
    assert (refused.value.reason, refused.value.metadata) == (Reason.ETAG_STALE, {"etag": "1"})
    assert everything(store)[LIVE].revision == 1


def test_what_was_kept_is_read_back_to_the_last_bit(backend: Backend) -> None:
    """Every field of states and breakers survives a restart."""
    store = backend.open()
    whole = full_breaker()
    halt(store)
    kept = keep(store, whole)
    assert kept.revision == 2
    store = backend.reopen(store)
    found = everything(store)[LIVE]
    assert found == replace(kept, states=(halted()._replace(revision=1),))
    assert found.breakers == (replace(whole, revision=2),)


def test_only_what_a_signal_notices_moves_the_revision(backend: Backend) -> None:
    """A window that grows does not, nor a probe; opening and closing do. Others hear of all but
    the window."""
    store = backend.open()
    shut = full_breaker(is_open=False, probes=(), open_until_ns=None)
    assert keep(store, shut).revision == 0
    assert store.gate.since(-1, 0).generation == 0
    opened = replace(shut, is_open=True, open_until_ns=5)
    assert keep(store, opened, shut).revision == 1
    probed = replace(opened, probes=(Probe("alpha", "s-1", 9),))
    assert keep(store, probed, opened).revision == 1
    assert store.gate.since(-1, 0).generation == 2
    assert keep(store, shut, probed).revision == 2
    assert everything(store)[LIVE].breakers == ()


def test_a_reader_gets_what_changed_behind_its_generation(backend: Backend) -> None:
    """Worlds are read again only when they changed, and each whole."""
    store = backend.open()
    halt(store, LIVE)
    first = store.gate.since(-1, 0)
    assert [each.world for each in first.worlds] == [LIVE]
    assert store.gate.since(first.generation, 0).worlds == []
    halt(store, PAPER)
    halt(store, PAPER, Scope("alpha"))
    (news,) = store.gate.since(first.generation, 0).worlds
    assert (news.world, len(news.states), news.revision) == (PAPER, 2, 2)


def test_worlds_never_touch_each_other(backend: Backend) -> None:
    """An order for one run changes no other run and no environment."""
    store = backend.open()
    for name in ("one", "two"):
        halt(store, run(name))
    store.change_gate(
        an_order(run("one")),
        lambda before: Decided(with_reset(before, ALL, None, include_narrower=True), b""),
    )
    assert {world: each.revision for world, each in everything(store).items()} == {
        run("one"): 1,
        run("two"): 1,
    }


def _limited(backend: Backend, rules_max: int = 10_000, runs_max: int = 1_000) -> Store:
    store = backend.open()
    store.gate._limits = GateLimits(rules_max, runs_max)
    return store


def test_a_full_world_takes_no_more_orders_but_lets_go(backend: Backend) -> None:
    """TOO_MANY_RULES, without a retry; replacing and resuming still work."""
    store = _limited(backend, rules_max=2)
    halt(store, scope=Scope("a"))
    halt(store, scope=Scope("b"))
    with pytest.raises(TrimtabError) as refused:
        halt(store, scope=Scope("c"))
    assert refused.value.reason is Reason.TOO_MANY_RULES
    assert refused.value.retry_after_s is None
    assert halt(store, scope=Scope("b")).revision == 3


def test_everything_can_be_halted_in_a_full_world(backend: Backend) -> None:
    """Neither states nor breakers stand in the way of a halt of all; nor do breakers in the way of
    a halt of some, nor states in the way of a trip by hand."""
    store = _limited(backend, rules_max=2)
    for name in "abc":
        keep(store, full_breaker(scope=Scope(name)))
    for name in "de":
        halt(store, scope=Scope(name))
    assert {each.scope for each in halt(store).states} == {Scope("d"), Scope("e"), ALL}
    halt(store)
    with pytest.raises(TrimtabError, match="trading states"):
        halt(store, scope=Scope("f"))
    by_hand = BreakerKey(ALL, LOSSES, "")
    with pytest.raises(TrimtabError, match="open breakers") as refused:
        store.change_gate(an_order(), partial(decided_trip, by_hand))
    assert refused.value.reason is Reason.TOO_MANY_RULES
    for name in "abc":
        keep(store, full_breaker(scope=Scope(name), is_open=False), full_breaker(scope=Scope(name)))
    assert store.change_gate(an_order(), partial(decided_trip, by_hand)).answer == b"tripped"


def test_closed_breakers_make_room_the_oldest_first(backend: Backend) -> None:
    """What is open never goes; what was looked at last stays, however many states there are."""
    store = _limited(backend, rules_max=2)
    for name in "xy":
        halt(store, scope=Scope(name))
    keep(store, full_breaker(scope=Scope("open")))
    for name in ("a", "b", "c"):
        keep(store, full_breaker(scope=Scope(name), is_open=False))
    page = store.gate.page(LIVE, None, 10, include_closed=True)
    assert [each.scope.source for each in page.breakers] == ["b", "c", "open"]


def test_the_run_that_rested_longest_makes_room_and_its_revision_never_falls(
    backend: Backend,
) -> None:
    """A run that is forgotten, and every one that is not known, is from then on at a revision above
    all that the forgotten ones had."""
    store = _limited(backend, runs_max=2)
    for _ in range(3):
        halt(store, run("old"))
    for name in ("b", "c"):
        halt(store, run(name))
    news = store.gate.since(-1, 0)
    assert news.runs == {"b", "c"}
    assert news.floor == 4
    assert {each.world for each in news.worlds} == {run("b"), run("c")}
    assert halt(store, run("old")).revision == 5
    assert store.gate.page(run("new"), None, 1, include_closed=True).world.revision == 5
    assert store.gate.page(LIVE, None, 1, include_closed=True).world.revision == 0


def test_a_run_that_was_only_measured_goes_on_from_the_floor(backend: Backend) -> None:
    """Nobody heard of it, so it is told to be where unknown runs are; its first change is above."""
    store = _limited(backend, runs_max=2)
    keep(store, full_breaker(run("r"), is_open=False))
    for name in ("old", "old", "old", "c"):
        halt(store, run(name))
    keep(store, full_breaker(run("r"), is_open=False, trip_count=0))
    halt(store, run("d"))
    assert (floor := store.gate.since(-1, 0).floor)
    assert store.gate.page(run("r"), None, 1, include_closed=True).world.revision == floor
    assert halt(store, run("r")).revision == floor + 1


def test_pages_hold_every_breaker_once_in_the_contract_s_order(backend: Backend) -> None:
    """By scope, then kind, then rule; on both backends by code points."""
    store = backend.open()
    names = ("Z", "a", "é", "", "\U0001f600", "b")
    keys = [
        BreakerKey(Scope(name), kind, rule)
        for name in names
        for kind in (BreakerKind.DRAWDOWN, BreakerKind.LOSS_RATE)
        for rule in ("r2", "r1")
    ]
    for key in keys:
        keep(store, full_breaker(scope=key.scope, kind=key.kind, rule=key.rule))
    found: list[BreakerKey] = []
    more = True
    while more:
        page = store.gate.page(LIVE, found[-1] if found else None, 5, include_closed=False)
        found += [key_of(each) for each in page.breakers]
        more = page.has_more
    assert found == sorted(keys)
    assert page.world.revision == len(keys)


def test_a_breaker_tripped_by_hand_leaves_nothing_behind(backend: Backend) -> None:
    """Reset, it is gone; one of a rule stays, closed and with nothing measured."""
    store = backend.open()
    by_hand = BreakerKey(ALL, LOSSES, "")
    store.change_gate(an_order(), partial(decided_trip, by_hand))
    keep(store, full_breaker())
    done = store.change_gate(
        an_order(),
        lambda before: Decided(with_reset(before, ALL, None, include_narrower=True), b""),
    )
    assert (done.world.revision, done.world.breakers) == (3, ())
    (left,) = store.gate.page(LIVE, None, 10, include_closed=True).breakers
    assert (left.rule, left.is_open, left.window) == ("losses", False, ())


def test_probes_are_kept_and_forgotten_with_their_breaker(backend: Backend) -> None:
    """A probe that was granted in memory is stored once; for a breaker that closed meanwhile, or
    when its outcome has been seen before it was stored, it means nothing."""
    store = backend.open()
    whole = keep(store, full_breaker(probes=())).breakers[0]
    assert whole.open_until_ns is not None
    grants = [
        Grant(LIVE, key_of(whole), Probe("alpha", "s-9", whole.open_until_ns + 1)),
        Grant(LIVE, BreakerKey(ALL, LOSSES, "gone"), Probe("alpha", "s-9", 1)),
    ]

    def may(breaker: Breaker, probe: Probe) -> Breaker | None:
        return granted(breaker, None, probe)

    assert store.gate.keep_grants(grants, may) == 2
    assert store.gate.keep_grants(grants, may) == 0
    (found,) = everything(store)[LIVE].breakers
    assert found.probes == (Probe("alpha", "s-9", whole.open_until_ns + 1),)
    assert found.revision == whole.revision
    ended = replace(found, probes=(found.probes[0]._replace(has_ended=True),), success_count=1)
    keep(store, ended, found)
    assert store.gate.keep_grants(grants, may) == 0
    assert everything(store)[LIVE].breakers == (ended,)


def test_another_policy_moves_live_and_paper(backend: Backend) -> None:
    """Clients that hold a snapshot of the former get the new one; runs keep theirs. Closed breakers
    that no rule would make any more go, open ones stay: a restart never re-arms trading."""
    store = backend.open()
    rule = BreakerRule("losses", LOSSES, 5, per=("source", "strategy", "symbol"))
    store.gate.start("one", [rule])
    halt(store, run("one"))
    keep(store, full_breaker())
    for world in (LIVE, run("one")):
        keep(store, full_breaker(world, scope=Scope("beta"), is_open=False))
        keep(store, full_breaker(world, scope=Scope("beta", "s"), is_open=False))
    store.gate.start("one", [])
    assert everything(store)[LIVE].revision == 1
    assert len(store.gate.page(LIVE, None, 10, include_closed=True).breakers) == 3
    store.gate.start("two", [replace(rule, per=("source",))])
    found = everything(store)
    assert {world: each.revision for world, each in found.items()} == {
        LIVE: 2,
        PAPER: 1,
        run("one"): 1,
    }
    for world, scopes in ((LIVE, ["alpha", "beta"]), (run("one"), ["beta"])):
        page = store.gate.page(world, None, 10, include_closed=True)
        assert [each.scope.source for each in page.breakers] == scopes
    store.gate.start("three", [])
    page = store.gate.page(LIVE, None, 10, include_closed=True)
    assert [each.is_open for each in page.breakers] == [True]


def test_old_orders_are_forgotten_and_the_rest_is_an_audit(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who ordered what stands in the database, in a bounded number."""
    monkeypatch.setattr(store_gate, "_CHANGES_KEPT", 2)
    store = backend.open()
    for name in ("a", "b", "c"):
        halt(store, scope=Scope(name))
    with store._database.writing() as writer:
        kept = writer.execute(
            "SELECT actor, what, revision FROM gate_changes ORDER BY row_id"
        ).fetchall()
    assert [tuple(row) for row in kept] == [
        ("tester", "what it was", 2),
        ("tester", "what it was", 3),
    ]


def test_an_order_that_will_not_do_leaves_no_trace(backend: Backend) -> None:
    """What `decide` raises ends the transaction: the id may be used again."""
    store = backend.open()
    order = an_order()

    def refuse(_before: GateWorld) -> Decided:
        raise TrimtabError(Reason.INVALID_FIELD, "no")

    with pytest.raises(TrimtabError):
        store.change_gate(order, refuse)
    assert (
        store.change_gate(order, lambda before: Decided(Altered(before), b"yes")).answer == b"yes"
    )
    assert everything(store) == {}
