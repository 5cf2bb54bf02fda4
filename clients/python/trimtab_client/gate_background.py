"""What the gate does beside the engine: remembers, looks for overrides, tells changes, records."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trimtab_client.gate_answer import EXPIRED, NO_LEASE
from trimtab_client.gate_decisions import GateDecisions
from trimtab_client.gate_entries import FOREVER_NS
from trimtab_client.gate_lease import LeaseKeeper
from trimtab_client.gate_override import GateOverride, OverrideMalformed, override_in
from trimtab_client.gate_watch import GateWatch

logger = logging.getLogger("trimtab_client")

_CALLBACKS_MAX = 64
_POLL_S = 0.05
_OVERRIDE_LOOK_NS = 500_000_000
_JOIN_S = 2.0


class GateChange(NamedTuple):
    """The lease's state or the rules' revision changed, from what, to what."""

    state: str
    revision: int
    previous_state: str
    previous_revision: int


OnChange = Callable[[GateChange], None]


class GateBackground:
    """The gate's thread. Without a watch there is none: whoever made the gate calls `tick`."""

    def __init__(
        self,
        keeper: LeaseKeeper,
        *,
        make_watch: Callable[[], GateWatch] | None,
        decisions: GateDecisions | None,
        override_file: Path | None,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        """override_file: where an override is looked for; None = nowhere."""
        self._keeper = keeper
        self._make_watch = make_watch
        self._decisions = decisions
        self._override_file = override_file
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._callbacks: list[OnChange] = []
        self._told = (NO_LEASE, 0)
        self._looked_ns = -FOREVER_NS
        self._spent: GateOverride | None = None
        self._complaint = ""
        # In force while no lease is held, or another log's is refused; looked for by this thread
        # only.
        self.override: GateOverride | None = None
        self._reset_threads()

    def _reset_threads(self) -> None:
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self.watch: GateWatch | None = None

    def start(self) -> None:
        """Starts the threads. RuntimeError when there are none to be had."""
        if self._make_watch is None:
            return
        thread = threading.Thread(target=self._run, name="trimtab-gate", daemon=True)
        thread.start()
        self._thread = thread

    def wake(self) -> None:
        """Something was heard: changes are told now."""
        self._wake.set()

    def close(self) -> None:
        """Ends the threads; what waits is handed to the recorder first."""
        self._closing.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)
        if self.watch is not None:
            self.watch.close()
        self._keeper.wait_written(_JOIN_S)
        if self._decisions is not None:
            self._decisions.drain()

    def reset_after_fork(self) -> None:
        """Child of a fork: the parent's threads are not here, what is known is."""
        # Kept alive for ever: finalising the parent's call would reach into grpc.
        _abandoned.append(self.watch)
        self._reset_threads()

    def on_change(self, callback: OnChange) -> Callable[[], None]:
        """Calls back on each change from now on; returns what ends it. ValueError beyond 64."""
        if len(self._callbacks) >= _CALLBACKS_MAX:
            raise ValueError(f"on_change: up to {_CALLBACKS_MAX} callbacks")
        self._callbacks.append(callback)

        def end() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return end

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                if self.watch is None:
                    # The disk first: the sidecar is asked for what is not known yet.
                    self._keeper.look()
                    self._start_watch()
                self.tick()
            except Exception:
                # Nothing here may end the gate of a trading engine.
                logger.exception("trimtab gate: tick failed")
            self._wake.wait(_POLL_S)
            self._wake.clear()

    def _start_watch(self) -> None:
        if self._make_watch is not None and not self._closing.is_set():
            watch = self._make_watch()
            watch.start()
            self.watch = watch

    def tick(self) -> None:
        """What the thread does twenty times a second."""
        self._keeper.look()
        with self._turn:
            self._look_for_override()
            self._tell_change()
        if self._decisions is not None:
            self._decisions.drain()

    # -- override -----------------------------------------------------------------------------

    def _look_for_override(self) -> None:
        now_ns = self._monotonic_ns()
        has_lease = self._keeper.lease.state_at(now_ns) not in (NO_LEASE, EXPIRED)
        if has_lease and not self._keeper.refuses_log:
            self.override, self._looked_ns = None, -FOREVER_NS
            return
        if self._override_file is None or now_ns - self._looked_ns < _OVERRIDE_LOOK_NS:
            return
        self._looked_ns = now_ns
        found = self._found_override(self._override_file)
        if found is not None and found != self.override:
            logger.warning("trimtab gate: local %s", found)
        self.override = found

    def _found_override(self, file: Path) -> GateOverride | None:
        """The override in force; one that has expired stays so, whatever the wall clock does."""
        complaint = ""
        found = None
        try:
            found = override_in(file)
        except OverrideMalformed as error:
            complaint = str(error)
            if complaint != self._complaint:
                logger.warning("trimtab gate: a local override is ignored: %s", complaint)
        self._complaint = complaint
        if found is None or found == self._spent:
            return None
        wall_ns = self._wall_ns()
        if wall_ns >= found.expires_ns:
            self._spent = found
        return found if found.holds_at(wall_ns) else None

    # -- changes ------------------------------------------------------------------------------

    def _tell_change(self) -> None:
        lease = self._keeper.lease
        now = (lease.state_at(self._monotonic_ns()), lease.rules.revision)
        if now == self._told:
            return
        change = GateChange(*now, *self._told)
        self._told = now
        for callback in tuple(self._callbacks):
            try:
                callback(change)
            except Exception:
                logger.exception("trimtab gate: on_change failed")


_abandoned: list[GateWatch | None] = []
