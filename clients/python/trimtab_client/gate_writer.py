"""Writes what was heard to disk on a thread of its own: a disk that hangs holds up nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from itertools import product

from trimtab_client.gate_answer import GateScope
from trimtab_client.gate_memory import GateMemory, Heard
from trimtab_client.gate_rules import GateRules

logger = logging.getLogger("trimtab_client")

# A write that takes longer is no longer waited for.
PATIENCE_S = 0.25


class Writing:
    """What is to be written, with its rules; `is_over`: it was, or could not be."""

    def __init__(self, heard: Heard, rules: GateRules) -> None:
        self.heard = heard
        self.rules = rules
        self.is_over = threading.Event()


class GateWriter:
    """Writes the latest; one that has to wait is dropped when a later one comes. Its thread lives
    while there is something to write."""

    def __init__(
        self,
        memory: GateMemory,
        *,
        written: Callable[[Writing], None],
        failed: Callable[[Exception | None], None],
    ) -> None:
        """written: told each one that is over. failed: told what went wrong, None = nothing did;
        before `written`. Both on the writer's thread, as a rule."""
        self._memory = memory
        self._written = written
        self._failed = failed
        self._lock = threading.Lock()
        self._next: Writing | None = None
        self._begin_s = 0.0
        self._idle = threading.Event()
        self._idle.set()
        self._has_complained = False
        # What is being written now.
        self.present: Writing | None = None

    def put(self, writing: Writing) -> float:
        """Has it written; for how many seconds it is worth to wait for that: not behind an older
        one that hangs."""
        with self._lock:
            self._next = writing
            if not self._idle.is_set():
                return max(0.0, PATIENCE_S - (time.monotonic() - self._begin_s))
            self._idle.clear()
            self._begin_s = time.monotonic()
        try:
            threading.Thread(target=self._run, name="trimtab-gate-disk", daemon=True).start()
        except RuntimeError:
            # No thread to be had (limits, interpreter shutdown).
            self._run()
        return PATIENCE_S

    def wait(self, timeout_s: float) -> bool:
        """Whether everything is written within `timeout_s` seconds."""
        return self._idle.wait(timeout_s)

    def _run(self) -> None:
        while True:
            with self._lock:
                writing = self.present = self._next
                self._next = None
                if writing is None:
                    self._idle.set()
                    return
                self._begin_s = time.monotonic()
            try:
                self._write(writing)
            except Exception as error:
                # Nothing here may end the gate of a trading engine.
                logger.exception("trimtab gate: writing failed")
                self._failed(error)
                writing.is_over.set()
                self._written(writing)

    def _write(self, writing: Writing) -> None:
        descriptor: int | None = None
        try:
            descriptor = self._memory.write(writing.heard)
        except OSError as error:
            self._failed(error)
            self._spoil(writing)
        else:
            self._has_complained = False
            self._failed(None)
        writing.is_over.set()
        self._written(writing)
        if descriptor is None:
            return
        try:
            self._memory.settle(descriptor)
        except OSError as error:
            self._failed(error)

    def _spoil(self, writing: Writing) -> None:
        """What could not be written must not be forgotten for what is there."""
        try:
            self._memory.spoil_unless(lambda there: _denies_as_much(there, writing))
        except OSError as error:
            if not self._has_complained:
                logger.warning("trimtab gate: what is on disk is out of date and stays: %s", error)
            self._has_complained = True


def _denies_as_much(there: Heard | None, writing: Writing) -> bool:
    """Whether an engine that reads `there` passes nothing that what was heard later denies."""
    rules = writing.rules
    heard_ns = writing.heard.server_time.ToNanoseconds()
    if there is None:
        return not (rules.denies_anything(heard_ns) or rules.always_closed)
    told, wanted = there.snapshot, writing.heard.snapshot
    if there.log_id == writing.heard.log_id and told.revision > wanted.revision:
        return True  # of another engine of this name, which hears the same
    known = GateRules(rules.world, told)
    for name in ("parameters", "calibrators"):
        if list(getattr(told, name)) != list(getattr(wanted, name)):
            return False
    if (told.fallback, told.fail_policy) != (wanted.fallback, wanted.fail_policy):
        return False
    denied = known.denied_scopes(there.server_time.ToNanoseconds())
    return all(
        any(GateScope(*names) in denied for names in product(*((name, "") for name in scope)))
        for scope in rules.denied_scopes(heard_ns)
    )
