"""The leased local check: may this signal be emitted? Without a lock and without I/O."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from trimtab_client.channel import FAKE_ADDRESSES, LazyChannel
from trimtab_client.client import Client
from trimtab_client.errors import InvalidArgument, TrimtabError
from trimtab_client.event import Word
from trimtab_client.event_builder import EventBuilder
from trimtab_client.gate_answer import FRESH, GateAnswer
from trimtab_client.gate_background import GateBackground, OnChange
from trimtab_client.gate_calls import signal_query
from trimtab_client.gate_check import BACKTEST, LocalCheck, monotonic_ns
from trimtab_client.gate_decisions import GateDecisions
from trimtab_client.gate_lease import Intake, LeaseKeeper
from trimtab_client.gate_memory import GateMemory, Heard, gate_directory
from trimtab_client.gate_override import GateOverride, override_path
from trimtab_client.gate_rpc import answer_of
from trimtab_client.gate_rules import Question, World
from trimtab_client.gate_stats import GateStats
from trimtab_client.gate_watch import GateWatch, Request
from trimtab_client.recorder import Recorder
from trimtab_client.settings import GateSettings

logger = logging.getLogger("trimtab_client")

ON_UNAVAILABLE = ("CLOSED", "OPEN")
_POLL_S = 0.005


class SignalGate(LocalCheck):
    """Answers from a leased snapshot as the server would; by the fail policy when it cannot.

    Thread-safe, fork-safe. `check` takes no lock and does no I/O; neither does construction do any:
    the first check or `start` starts the threads.
    """

    def __init__(
        self,
        *,
        source: str,
        environment: Word,
        run_id: str = "",
        on_unavailable: str = "CLOSED",
        client: Client | None = None,
        make_channel: Callable[[], LazyChannel] | None = None,
        recorder: Recorder | None = None,
        settings: GateSettings | None = None,
        monotonic_ns: Callable[[], int] = monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """source, environment, run_id, on_unavailable: as in `connect`. client: asked by
        `check_or_ask`; None = nobody is. make_channel: opens the watch's connection; None = no
        threads and no watch, the gate lives by `apply` and `tick`. recorder: takes the decisions;
        None = none are made. monotonic_ns, wall_ns: clocks, injected by tests."""
        if on_unavailable not in ON_UNAVAILABLE:
            raise ValueError(f"on_unavailable: {on_unavailable!r} is none of CLOSED, OPEN")
        # Checks the envelope; its builder makes the decisions.
        builder = EventBuilder(source=source, environment=environment, run_id=run_id)
        is_backtest = builder.environment == BACKTEST
        world = World(source, builder.environment, run_id if is_backtest else "")
        self.settings = settings or GateSettings()
        self.on_unavailable = on_unavailable
        self._client = client
        self._make_channel = make_channel
        fakes = client is not None and client.address in FAKE_ADDRESSES
        self._memory: GateMemory | None = None
        override_file: Path | None = None
        if not is_backtest and not (fakes and self.settings.gate_dir is None):
            told = self.settings.gate_dir
            self._memory = GateMemory(gate_directory(told), source, world.environment)
            override_file = override_path(source, world.environment, told)
        decisions: GateDecisions | None = None
        if recorder is not None and self.settings.record_decisions:
            decisions = GateDecisions(
                builder,
                recorder,
                self.settings.decisions_max,
                monotonic_ns=monotonic_ns,
                wall_ns=wall_ns,
            )
        super().__init__(
            world,
            LeaseKeeper(world, self._memory, has_watch=make_channel is not None),
            decisions,
            built_closed=on_unavailable == "CLOSED",
            monotonic_ns=monotonic_ns,
            wall_ns=wall_ns,
        )
        self._background = GateBackground(
            self._keeper,
            make_watch=self._watch if make_channel is not None else None,
            decisions=decisions,
            override_file=override_file,
            monotonic_ns=monotonic_ns,
            wall_ns=wall_ns,
        )
        # The last message was of no use: ask for everything.
        self._ask_all = False
        self._lock = threading.Lock()
        self._running = make_channel is None
        self._closed = False
        _live.add(self)

    def _override(self) -> GateOverride | None:
        return self._background.override

    # -- asking the server --------------------------------------------------------------------

    def check_or_ask(
        self,
        timeout_s: float,
        *,
        signal_id: str,
        symbol: str = "",
        side: Word = 0,
        intent: Word = "ENTRY",
        strategy: str = "",
        model_name: str = "",
        confidence: float | None = None,
        event_time_ns: int | None = None,
    ) -> GateAnswer:
        """As `check`, but asks the server when only it can say (a half-open breaker) or the lease
        is not FRESH; the local answer when it does not say within `timeout_s` seconds."""
        if not signal_id:
            raise ValueError("signal_id: required, the server counts probes by it")
        if not self._running:
            self.start()
        question = Question(strategy, symbol, model_name, intent, side)
        # What was last heard decides whether the server's word counts.
        if not self._keeper.looked:
            self._keeper.look()
        lease, now_ns = self._keeper.lease, self._monotonic_ns()
        answer = self._judge(lease, now_ns, question, confidence, event_time_ns)
        if self._may_ask(answer):
            told = self._ask(timeout_s, signal_id, question, confidence, event_time_ns)
            answer = answer if told is None else told
        self._note(
            signal_id, symbol, strategy, model_name, event_time_ns, self._monotonic_ns(), answer
        )
        return answer

    def _may_ask(self, answer: GateAnswer) -> bool:
        """Whether the server may know better. Its answer does not tell which log it is from: where
        snapshots are refused, or only a lease ends a denial, it counts for nothing."""
        codes = answer.codes
        if self._keeper.refusal or "STICKY_DENIAL" in codes:
            return False
        return answer.state != FRESH or "ASK_REQUIRED" in codes

    def _ask(
        self,
        timeout_s: float,
        signal_id: str,
        question: Question,
        confidence: float | None,
        event_time_ns: int | None,
    ) -> GateAnswer | None:
        """The server's answer; None when it gives none in time, or knows less than this client."""
        if self._client is None:
            return None
        source, environment, run_id = self.world
        query = signal_query(
            signal_id=signal_id,
            side=question.side,
            intent=question.intent,
            model_name=question.model_name,
            confidence=confidence,
        )
        try:
            response = self._client.should_allow_signals(
                source=source,
                environment=environment,
                run_id=run_id,
                strategy=question.strategy,
                symbol=question.symbol,
                signal_time=event_time_ns if self.is_backtest else None,
                signals=(query,),
                timeout_s=timeout_s,
            )
        except InvalidArgument:
            raise
        except (TrimtabError, RuntimeError) as error:  # RuntimeError: closed meanwhile
            logger.debug("trimtab gate: the sidecar was asked in vain: %s", error)
            return None
        lease = self._keeper.lease
        if len(response.verdicts) != 1 or response.revision < lease.rules.revision:
            return None
        state = lease.state_at(self._monotonic_ns())
        return answer_of(response.verdicts[0], response.revision, state)

    # -- the lease ----------------------------------------------------------------------------

    def apply(self, message: Heard, asked_ns: int | None = None) -> Intake:
        """Takes a message as the watch does: a snapshot or a renewal; what became of it. asked_ns:
        when the call was made whose message it is, by the gate's clock; None = not known."""
        override = self._override()
        intake = self._keeper.take(
            message,
            self._monotonic_ns(),
            self._event_ns if self.is_backtest else None,
            asked_ns=asked_ns,
            overridden=override is not None
            and not any(override.scope)
            and override.holds_at(self._wall_ns()),
        )
        self._ask_all = intake is Intake.UNUSABLE
        self._background.wake()
        return intake

    def tick(self) -> None:
        """What the gate's thread does over and over: reads what was heard last, looks for an
        override, tells changes, records. For gates without threads."""
        self._background.tick()

    @property
    def state(self) -> str:
        """NO_LEASE, FRESH, STALE (past two thirds of the lease) or EXPIRED."""
        return self._keeper.lease.state_at(self._monotonic_ns())

    @property
    def revision(self) -> int:
        """Of the rules that were heard last; 0 = none ever were."""
        return self._keeper.lease.rules.revision

    def on_change(self, callback: OnChange) -> Callable[[], None]:
        """Calls back with a GateChange whenever the state or the revision changes, on the gate's
        thread: keep it short. What it raises is logged. Returns what ends it."""
        return self._background.on_change(callback)

    def wait_fresh(self, timeout: float = 10.0) -> bool:
        """Whether a FRESH lease is held within `timeout` seconds; starts the gate."""
        self.start()
        end_s = time.monotonic() + timeout
        while self.state != FRESH:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or self._closed:
                return False
            time.sleep(min(_POLL_S, left_s))
        return True

    @property
    def stats(self) -> GateStats:
        """What the gate holds and what it counted."""
        keeper, background, decisions = self._keeper, self._background, self._decisions
        lease, now_ns = keeper.lease, self._monotonic_ns()
        watch = background.watch
        return GateStats(
            state=lease.state_at(now_ns),
            revision=lease.rules.revision,
            log_id=lease.log_id,
            boot_id=lease.boot_id,
            lease_age_s=(now_ns - lease.arrival_ns) / 1e9 if lease.ttl_ns else None,
            opened_count=watch.opened_count if watch else 0,
            last_error=watch.last_error if watch else "",
            refused=bool(keeper.refusal),
            refused_count=keeper.refused_count,
            log_change_count=keeper.log_change_count,
            memory_path=str(self._memory.path) if self._memory else "",
            memory_error=keeper.memory_error,
            unreadable=lease.unreadable,
            override=str(background.override or ""),
            recorded_count=decisions.recorded_count if decisions else 0,
            pending_count=len(decisions.ring) if decisions else 0,
            overflow_count=decisions.overflow_count if decisions else 0,
            refused_decision_count=decisions.refused_count if decisions else 0,
            failed_decision_count=decisions.failed_count if decisions else 0,
        )

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the threads without waiting for the first check. Idempotent."""
        with self._lock:
            if self._running or self._closed:
                return
            try:
                self._background.start()
                self._running = True
            except RuntimeError:
                # No thread to be had now (limits, interpreter shutdown): the next check tries.
                logger.exception("trimtab gate: cannot start")

    def drain(self) -> None:
        """Hands every answer so far to the recorder."""
        if self._decisions is not None:
            self._decisions.drain()

    def close(self) -> None:
        """Ends the threads; decisions so far go to the recorder. Checks go on being answered, from
        the lease while it lasts, but are no longer recorded. Idempotent."""
        with self._lock:
            self._closed = self._running = True
            self._ring = None
        self._background.close()
        _live.discard(self)

    def _watch(self) -> GateWatch:
        if self._make_channel is None:
            raise RuntimeError("this gate has no watch")
        return GateWatch(
            self._make_channel,
            self.settings,
            request=self._request,
            take=lambda message, at_ns: self.apply(message, at_ns) is not Intake.UNUSABLE,
            is_late=lambda: self._keeper.is_late,
            ended=self._watch_ended,
            tried=self._keeper.end_start,
            ttl_s=lambda: self._keeper.lease.ttl_ns / 1e9,
            monotonic_ns=self._monotonic_ns,
        )

    def _request(self) -> Request:
        source, environment, run_id = self.world
        request = Request(source=source, run_id=run_id)
        request.environment = environment  # type: ignore[assignment]
        if not self._ask_all:
            request.log_id, request.boot_id, request.revision = self._keeper.held
        return request

    def _watch_ended(self, error: TrimtabError) -> None:
        if error.reason == "REVISION_AHEAD":
            self._keeper.refuse_ahead()

    def reset_after_fork(self) -> None:
        """What a forked child does: keeps what is known, starts its own threads when it asks."""
        self._lock = threading.Lock()
        self._keeper.reset_after_fork()
        self._background.reset_after_fork()
        if self._decisions is not None:
            self._decisions.reset_after_fork()
            self._ring = None if self._closed else self._decisions.ring
        self._running = self._closed or self._make_channel is None


_live: weakref.WeakSet[SignalGate] = weakref.WeakSet()


def _drain_all() -> None:
    for gate in list(_live):
        gate.drain()


def _reset_all() -> None:
    for gate in list(_live):
        gate.reset_after_fork()


# Behind the recorder's in the file of imports, so before it at the end of the interpreter.
atexit.register(_drain_all)
os.register_at_fork(after_in_child=_reset_all)
