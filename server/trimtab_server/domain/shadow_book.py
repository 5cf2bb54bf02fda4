"""Follows every signal of a lane, blocked or not, along its recorded prices to what it would have
made. Simulated, always: nobody knows what an order of one's own would have done to the market.

Facts come in order; the lane's clock is the latest time among those taken. All that is settled
depends on facts and the clock at which each came alone, never on how they were cut into calls.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trimtab_server.domain.barriers import CELLS_MAX, BoolArray
from trimtab_server.domain.facts import (
    ActionFact,
    BarFact,
    DecisionFact,
    Fact,
    FillFact,
    SignalFact,
    TickFact,
)
from trimtab_server.domain.fill_model import FillModel
from trimtab_server.domain.ledger import ENTRY
from trimtab_server.domain.shadow_dump import Saved, dumped, loaded
from trimtab_server.domain.shadow_entry import WAIT_ROWS_MAX, Ends, Missed, entries, fill_lives
from trimtab_server.domain.shadow_follow import Closings, advanced, delisted, joined
from trimtab_server.domain.shadow_outcomes import Identity, missed_result, settled_results
from trimtab_server.domain.shadow_result import ShadowResult
from trimtab_server.domain.shadow_rows import bar_row, new_factor, tick_row
from trimtab_server.domain.shadow_state import (
    NEVER_NS,
    Lives,
    SymbolState,
    Waiting,
    life_dtype,
    next_deadline,
    waiting,
)

SYMBOLS_MAX = 100_000
# Rows times lives up to which all lives are taken at once, whatever row they begin at.
_FEW_CELLS = 1 << 15
_SPLIT, _DIVIDEND, _ROLL, _RENAME, _DELISTING = 1, 2, 3, 4, 5
_Ordered = tuple[tuple[int, ...], ShadowResult]


class ShadowBook:
    """The signals of one lane that are being followed.

    pending_max: signals at once; beyond it they are not followed, and counted.
    """

    def __init__(self, model: FillModel, pending_max: int) -> None:
        self._model = model
        self._pending_max = pending_max
        self._ends = Ends(model)
        self._dtype = life_dtype(len(model.spans), len(model.ages))
        self._clock_ns = -1
        # Until then nothing is settled by the clock alone.
        self._deadline_ns = NEVER_NS
        # Everything that is followed, by key: who it is, and the state of its symbol.
        self._followed: dict[int, tuple[Identity, SymbolState]] = {}
        # Whom the prices of a symbol serve: its own state first, then those renamed to it.
        self._states: dict[str, list[SymbolState]] = {}
        self._state_count = 0
        self._touched: dict[int, SymbolState] = {}
        self._results: list[_Ordered] = []
        self.unfollowed_count = 0
        """Signals that were not followed, because too many were."""
        self.late_bar_count = 0
        """Bars and ticks that came after a newer one of their symbol."""
        self._takers: dict[type, Callable[[Any], None]] = {
            BarFact: self._take_price,
            TickFact: self._take_price,
            SignalFact: self._take_signal,
            DecisionFact: self._take_decision,
            FillFact: self._take_fill,
            ActionFact: self._take_action,
        }

    @property
    def pending_count(self) -> int:
        """Signals that are being followed."""
        return len(self._followed)

    def take(self, facts: Sequence[Fact], watermark_ns: int) -> list[ShadowResult]:
        """What is settled by these facts, by when it was known.

        facts: in order, late ones where they came. watermark_ns: before it no fact is expected;
        nothing is settled by it, because where it stands depends on how facts were cut into calls
        (what it would settle, the next fact does).
        """
        clock_ns, takers = self._clock_ns, self._takers
        for fact in facts:
            if fact.time_ns > clock_ns:
                self._clock_ns = clock_ns = fact.time_ns
            take = takers.get(type(fact))
            if take is not None:
                take(fact)
        self._advance_all()
        results, self._results = self._results, []
        results.sort(key=_order)
        return [result for _, result in results]

    # -- facts ------------------------------------------------------------------------------------

    def _take_price(self, fact: BarFact | TickFact) -> None:
        if fact.corrects_id:
            return
        states = self._states.get(fact.symbol) or self._new_states(fact.symbol)
        is_late = False
        for state in states:
            if fact.time_ns < state.last_time_ns:
                is_late = True
                continue
            row = (
                bar_row(fact, self._clock_ns, state.factor, state.paid)
                if isinstance(fact, BarFact)
                else tick_row(fact, self._clock_ns, state.factor, state.paid)
            )
            if row is not None:
                state.add(row)
                if state.is_followed:
                    self._touched[id(state)] = state
        self.late_bar_count += is_late

    def _take_signal(self, fact: SignalFact) -> None:
        if fact.corrects_id:
            self._correct(fact.key, lambda found: found.correct(fact))
            return
        if fact.intent != ENTRY or fact.key in self._followed:
            return
        if len(self._followed) >= self._pending_max:
            # Some of them may be settled by now.
            self._advance_all()
        states = self._states.get(fact.symbol) or self._new_states(fact.symbol)
        if len(self._followed) >= self._pending_max or not states:
            self.unfollowed_count += 1
            return
        state = states[0]
        state.is_followed = True
        who = Identity(fact.lane, fact.signal_id, fact.strategy, fact.symbol, 0)
        self._followed[fact.key] = (who, state)
        state.waiting[fact.key] = waiting(fact, state)
        over_ns = fact.time_ns + self._model.decision_wait_ns
        state.deadline_ns = min(state.deadline_ns, over_ns)
        self._deadline_ns = min(self._deadline_ns, over_ns)

    def _take_decision(self, fact: DecisionFact) -> None:
        if fact.corrects_id:
            self._correct(fact.key, lambda found: found.decide(fact))
            return
        followed = self._followed.get(fact.key)
        found = followed[1].waiting.get(fact.key) if followed is not None else None
        if followed is None or found is None or found.ready_ns:
            return
        state = followed[1]
        is_full = state.row_count - found.from_row >= WAIT_ROWS_MAX
        if is_full or self._clock_ns > found.signal_ns + self._model.decision_wait_ns:
            return
        found.spread, found.last_price = state.last_spread, state.last_price
        found.from_row = state.row_count
        found.ready_ns = max(fact.time_ns, found.signal_ns) + self._model.latency_ns
        found.decide(fact)

    def _take_fill(self, fact: FillFact) -> None:
        for key in (fact.key, *(key for key, _ in fact.allocations)):
            followed = self._followed.get(key)
            if followed is not None and not followed[0].fill_clock_ns:
                who = followed[0]._replace(fill_clock_ns=self._clock_ns)
                self._followed[key] = (who, followed[1])

    def _take_action(self, fact: ActionFact) -> None:
        states = self._states.get(fact.symbol)
        if states is None or fact.corrects_id:
            return
        for state in states:
            if fact.action == _SPLIT:
                state.factor = new_factor(state.factor, fact.ratio)
            elif fact.action == _ROLL and fact.ratio > 0:
                state.factor = new_factor(state.factor, 1 / fact.ratio)
            elif fact.action == _DIVIDEND and np.isfinite(fact.cash_amount):
                state.paid += fact.cash_amount * state.factor
            elif fact.action == _DELISTING:
                self._advance(state)
                self._delist(state)
        if fact.action == _DELISTING:
            self._state_count -= len(self._states.pop(fact.symbol))
        elif fact.action == _RENAME and fact.new_symbol and fact.new_symbol != fact.symbol:
            self._states.setdefault(fact.new_symbol, []).extend(self._states.pop(fact.symbol))

    def _correct(self, key: int, change: Callable[[Waiting], None]) -> None:
        """A correction matters until the signal has entered."""
        followed = self._followed.get(key)
        if followed is not None:
            self._advance(followed[1])
            found = followed[1].waiting.get(key)
            if found is not None:
                change(found)

    def _new_states(self, symbol: str) -> list[SymbolState]:
        """The states that a symbol's prices serve, from now on; none when there are too many."""
        if self._state_count >= SYMBOLS_MAX:
            return []
        self._state_count += 1
        states = self._states[symbol] = [SymbolState(np.zeros(0, dtype=self._dtype))]
        return states

    # -- what is settled --------------------------------------------------------------------------

    def _advance_all(self) -> None:
        """Everything that the facts taken so far settle."""
        touched, self._touched = self._touched, {}
        for state in touched.values():
            self._advance(state)
        if self._clock_ns > self._deadline_ns:
            for states in self._states.values():
                for state in states:
                    if self._clock_ns > state.deadline_ns:
                        self._advance(state)
            self._deadline_ns = min(
                (state.deadline_ns for states in self._states.values() for state in states),
                default=NEVER_NS,
            )

    def _advance(self, state: SymbolState) -> None:
        if not (state.fresh or self._clock_ns > state.deadline_ns):
            return
        fresh_count, old_count = len(state.fresh), state.lives.size
        state.settle()
        self._enter(state)
        if fresh_count * state.lives.size <= _FEW_CELLS:
            self._follow(state, slice(None))
        else:
            self._follow(state, slice(0, old_count))
            # Those that have just entered begin at a row each.
            step = max(1, CELLS_MAX // max(1, state.rows.size))
            for start in range(old_count, state.lives.size, step):
                self._follow(state, slice(start, min(start + step, state.lives.size)))
        if state.lives.size:
            told: Any = state.lives
            self._keep(state, told["is_open"] | told["is_left"].any(axis=1))
        state.trim()
        state.deadline_ns = next_deadline(state, self._model, self._clock_ns)
        self._deadline_ns = min(self._deadline_ns, state.deadline_ns)

    def _enter(self, state: SymbolState) -> None:
        """Waiting signals whose price has come enter; others are given up."""
        entered = []
        for found in [*entries(state, self._model, self._clock_ns)]:
            if isinstance(found, Missed):
                self._miss(state, found)
                continue
            entered.append(found)
            del state.waiting[found[0].key]
        if entered:
            # Joining two tables would compare their columns one by one.
            count = state.lives.size
            lives = np.empty(count + len(entered), dtype=self._dtype)
            lives[:count] = state.lives
            fill_lives(lives[count:], entered, state, self._model, self._ends)
            state.lives = lives

    def _miss(self, state: SymbolState, missed: Missed) -> None:
        key = missed.waiting.key
        del state.waiting[key]
        who, _ = self._followed.pop(key)
        self._results.append(missed_result(missed, self._model, who))

    def _follow(self, state: SymbolState, part: slice) -> None:
        lives: Lives = state.lives[part]
        if lives.size:
            self._tell(state, lives, advanced(state, lives, self._model, self._clock_ns))

    def _tell(self, state: SymbolState, lives: Lives, closings: list[Closings]) -> None:
        if closings:
            self._results += settled_results(
                joined(closings),
                lives,
                state,
                self._model,
                lambda key: self._followed[key][0],
            )

    def _keep(self, state: SymbolState, is_kept: BoolArray) -> None:
        """Forgets the lives of which all is told."""
        if not is_kept.all():
            told: Any = state.lives
            for key in told["key"][~is_kept].tolist():
                del self._followed[key]
            state.lives = state.lives[is_kept]

    def _delist(self, state: SymbolState) -> None:
        """The last price is all that there will ever be: everything ends at it."""
        now_ns = self._clock_ns
        for one in [*state.waiting.values()]:
            self._miss(state, Missed(one, is_censored=True, time_ns=now_ns, known_ns=now_ns))
        if state.lives.size:
            self._tell(state, state.lives, delisted(state, state.lives, now_ns))
            self._keep(state, np.zeros(state.lives.size, dtype=np.bool_))

    # -- over a restart ---------------------------------------------------------------------------

    def dump(self) -> bytes:
        """All that is known, as `load` reads it: JSON, then the arrays' bytes."""
        return dumped(
            Saved(
                self._model.version,
                (self._clock_ns, self.unfollowed_count, self.late_bar_count),
                self._states,
                self._followed,
            )
        )

    @classmethod
    def load(cls, model: FillModel, pending_max: int, blob: bytes) -> "ShadowBook":
        """The book as it was. Raises ValueError for what is no dump, or one of another version or
        another fill model: its results would be neither the one's nor the other's."""
        book = cls(model, pending_max)
        saved = loaded(blob, model.version, book._dtype)
        book._clock_ns, book.unfollowed_count, book.late_bar_count = saved.numbers
        book._states, book._followed = saved.states, saved.followed
        for states in book._states.values():
            book._state_count += len(states)
            for state in states:
                state.deadline_ns = next_deadline(state, model, book._clock_ns)
                book._deadline_ns = min(book._deadline_ns, state.deadline_ns)
        return book


def _order(one: _Ordered) -> tuple[int, ...]:
    return one[0]
