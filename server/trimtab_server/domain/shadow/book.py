"""Follows every signal of a lane, blocked or not, along its recorded prices to what it would have
made. Simulated, always: nobody knows what an order of one's own would have done to the market.

Facts come in order; the lane's clock is the latest time among those taken. All that is settled
depends on facts and the clock at which each came alone, never on how they were cut into calls.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from trimtab_server.domain.ledger.columns import ENTRY, IntArray
from trimtab_server.domain.ledger.facts import (
    ActionFact,
    BarFact,
    DecisionFact,
    Fact,
    FillFact,
    SignalFact,
    TickFact,
)
from trimtab_server.domain.shadow.dump import Saved, dumped, loaded
from trimtab_server.domain.shadow.entry import (
    WAIT_ROWS_MAX,
    Ends,
    Entered,
    Missed,
    entries,
    new_lives,
)
from trimtab_server.domain.shadow.fill_model import FillModel
from trimtab_server.domain.shadow.follow import (
    Closings,
    Followed,
    advanced,
    delisted,
    followed,
    joined,
)
from trimtab_server.domain.shadow.outcomes import Identity, missed_result, settled_results
from trimtab_server.domain.shadow.result import ShadowResult
from trimtab_server.domain.shadow.rows import Block, bar_row, block_of, new_factor, tick_row
from trimtab_server.domain.shadow.state import (
    NEVER_NS,
    Lives,
    SymbolState,
    Waiting,
    as_bytes,
    chosen_lives,
    joined_lives,
    life_dtype,
    next_deadline,
    waiting,
)

SYMBOLS_MAX = 100_000
# Facts after which what they settle is told, so that no array grows with a call.
_FACTS_MAX = 4_096
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
        self.corrected_bar_count = 0
        """Corrections of bars and ticks: what was followed along the first ones stays."""
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
        for start in range(0, len(facts), _FACTS_MAX):
            for fact in facts[start : start + _FACTS_MAX]:
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
            self.corrected_bar_count += 1
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
        # It may be late: its decision is too then.
        over_ns = self._clock_ns + self._model.decision_wait_ns
        state.waiting[fact.key] = waiting(fact, state, over_ns)
        self._look_after(state, over_ns)

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
        if is_full or self._clock_ns > found.over_ns:
            return
        found.spread, found.last_price = state.last_spread, state.last_price
        found.from_row = state.row_count
        found.ready_ns = max(fact.time_ns, found.signal_ns) + self._model.latency_ns
        found.decide(fact)
        wait_ns = self._model.passive_wait_ns if self._model.is_passive else NEVER_NS
        self._look_after(state, found.ready_ns + min(wait_ns, self._model.censor_after_ns))

    def _look_after(self, state: SymbolState, deadline_ns: int) -> None:
        """Behind that time the clock alone may settle something of this symbol."""
        state.deadline_ns = min(state.deadline_ns, deadline_ns)
        self._deadline_ns = min(self._deadline_ns, deadline_ns)

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
                self._advance([state])
                self._delist(state)
        if fact.action == _DELISTING:
            self._state_count -= len(self._states.pop(fact.symbol))
        elif fact.action == _RENAME and fact.new_symbol and fact.new_symbol != fact.symbol:
            self._states.setdefault(fact.new_symbol, []).extend(self._states.pop(fact.symbol))

    def _correct(self, key: int, change: Callable[[Waiting], None]) -> None:
        """A correction matters until the signal has entered."""
        followed = self._followed.get(key)
        if followed is not None:
            self._advance([followed[1]])
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
        if self._clock_ns > self._deadline_ns:
            for states in self._states.values():
                for state in states:
                    if self._clock_ns > state.deadline_ns:
                        touched[id(state)] = state
        self._advance([*touched.values()])
        if self._clock_ns > self._deadline_ns:
            self._deadline_ns = min(
                (state.deadline_ns for states in self._states.values() for state in states),
                default=NEVER_NS,
            )

    def _advance(self, states: Sequence[SymbolState]) -> None:
        """What the clock and the fresh rows of these symbols settle."""
        if not states:
            return
        block = block_of([(state.rows, state.base, state.fresh) for state in states])
        bounds = zip(states, block.start.tolist(), block.stop.tolist(), strict=True)
        for state, start, stop in bounds:
            state.rows, state.fresh = block.rows[start:stop], []
        entered = [*self._entered(states)]
        picked = [each.symbol for each in entered]
        looks = [self._look(state, block, at) for at, state in enumerate(states)]
        # Those to look at, state by state, then those that have just entered.
        parts = [chosen_lives(s.lives, look) for s, look in zip(states, looks, strict=True)]
        symbol = np.repeat(np.arange(len(states)), [look.size for look in looks])
        if entered:
            parts.append(new_lives(entered, block, self._model, self._ends, self._dtype))
            symbol = np.concatenate((symbol, picked))
        lives = joined_lives(parts, self._dtype)
        if lives.size:
            is_new = np.arange(lives.size) >= lives.size - len(entered)
            these = followed(lives, symbol, is_new, block)
            closings = advanced(these, self._model, self._clock_ns)
            if closings:
                self._tell(joined(closings), these)
        self._put_back(states, looks, lives, picked)
        for state in states:
            state.trim()
            state.deadline_ns = NEVER_NS
            self._look_after(state, next_deadline(state, self._model, self._clock_ns))

    def _entered(self, states: Sequence[SymbolState]) -> Iterator[Entered]:
        """Waiting signals whose price has come; others are given up."""
        for at, state in enumerate(states):
            if not state.waiting:
                continue
            for found in [*entries(state, self._model, self._clock_ns)]:
                if isinstance(found, Missed):
                    self._miss(state, found)
                else:
                    del state.waiting[found[0].key]
                    yield Entered(at, *found)

    def _look(self, state: SymbolState, block: Block, at: int) -> IntArray:
        """The lives of a symbol of which something may be settled; the others live on."""
        lives: Any = state.lives
        if not lives.size:
            return np.empty(0, dtype=np.int64)
        fresh, stop = int(block.fresh[at]), int(block.stop[at])
        if fresh == stop:
            return np.flatnonzero(lives["next_ns"] < self._clock_ns)
        rows: Any = block.rows[fresh:stop]
        top, bottom = float(rows["high"].max()), float(rows["low"].min())
        latest_ns = max(self._clock_ns, int(block.reach[stop - 1]))
        is_touched = (lives["high_limit"] <= top) | (lives["low_limit"] >= bottom)
        is_due = (lives["next_ns"] < latest_ns) | (lives["due_ns"] <= latest_ns)
        is_looked_at = is_due | is_touched
        lives["highest"] = np.where(
            is_looked_at, lives["highest"], np.maximum(lives["highest"], top)
        )
        lives["lowest"] = np.where(
            is_looked_at, lives["lowest"], np.minimum(lives["lowest"], bottom)
        )
        return np.flatnonzero(is_looked_at)

    def _put_back(
        self,
        states: Sequence[SymbolState],
        looks: Sequence[IntArray],
        lives: Lives,
        picked: Sequence[int],
    ) -> None:
        """The lives that were looked at and those that entered, without those of which all is told
        now."""
        told: Any = lives
        is_kept = told["is_open"] | told["is_left"].any(axis=1)
        for key in told["key"][~is_kept].tolist():
            del self._followed[key]
        ends = np.cumsum([look.size for look in looks])
        fresh: IntArray = np.flatnonzero(is_kept[ends[-1] :]) + ends[-1]
        owners = np.asarray(picked, dtype=np.int64)[fresh - ends[-1]]
        bounds = np.searchsorted(owners, np.arange(len(states) + 1))
        for at, (state, look) in enumerate(zip(states, looks, strict=True)):
            begin, end = int(ends[at]) - look.size, int(ends[at])
            as_bytes(state.lives)[look] = as_bytes(lives[begin:end])
            gone = look[~is_kept[begin:end]]
            come = fresh[bounds[at] : bounds[at + 1]]
            if gone.size or come.size:
                stays = np.ones(state.lives.size, dtype=np.bool_)
                stays[gone] = False
                those = (chosen_lives(state.lives, stays), chosen_lives(lives, come))
                state.lives = joined_lives(those, self._dtype)

    def _tell(self, closings: Closings, these: Followed) -> None:
        self._results += settled_results(closings, these, self._model, self._followed)

    def _miss(self, state: SymbolState, missed: Missed) -> None:
        key = missed.waiting.key
        del state.waiting[key]
        who, _ = self._followed.pop(key)
        self._results.append(missed_result(missed, self._model, who))

    def _delist(self, state: SymbolState) -> None:
        """The last price is all that there will ever be: everything ends at it."""
        now_ns = self._clock_ns
        for one in [*state.waiting.values()]:
            self._miss(state, Missed(one, is_censored=True, time_ns=now_ns, known_ns=now_ns))
        count = state.lives.size
        if count:
            block = block_of([(state.rows, state.base, [])])
            nobody = np.zeros(count, dtype=np.bool_)
            these = followed(state.lives, np.zeros(count, dtype=np.int64), nobody, block)
            self._tell(delisted(these, now_ns), these)
            self._put_back([state], [np.arange(count)], state.lives, [])

    # -- over a restart ---------------------------------------------------------------------------

    def dump(self) -> bytes:
        """All that is known, as `load` reads it: JSON, then the arrays' bytes."""
        counts = (self.unfollowed_count, self.late_bar_count, self.corrected_bar_count)
        numbers = (self._clock_ns, *counts)
        saved = Saved(self._model.follows, numbers, self._states, self._followed)
        return dumped(saved, self._dtype)

    @classmethod
    def load(cls, model: FillModel, pending_max: int, blob: bytes) -> "ShadowBook":
        """The book as it was; what is open goes on under `model`, and its results are this model's.
        Raises ValueError for what is no dump, or one of another version or other horizons."""
        book = cls(model, pending_max)
        saved = loaded(blob, model.follows, book._dtype)
        book._clock_ns, book.unfollowed_count, *counts = saved.numbers
        book.late_bar_count, book.corrected_bar_count = counts
        book._states, book._followed = saved.states, saved.followed
        for states in book._states.values():
            book._state_count += len(states)
            for state in states:
                state.deadline_ns = next_deadline(state, model, book._clock_ns)
                book._deadline_ns = min(book._deadline_ns, state.deadline_ns)
        return book


def _order(one: _Ordered) -> tuple[int, ...]:
    return one[0]
