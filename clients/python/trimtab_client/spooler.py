"""Moves events between a recorder's ring and its spool folder, on a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from trimtab_client.ring import Ring
from trimtab_client.spool import SpoolFolder, SpoolTaken
from trimtab_client.spool_segments import SpoolReader

logger = logging.getLogger("trimtab_client")

# How long the tail waits for company, or for the head to make room, before it goes to disk.
_TAIL_AGE_S = 0.05
_STEP_EVENTS = 4_096
# So few are written while the engine waits.
_LAST_EVENTS = 512
_SYNC_INTERVAL_S = 1.0
_REFILL_EVENTS_MAX = 2_000
_RETRY_S = 1.0
_WARNING_INTERVAL_S = 60.0


class Spooler:
    """The ring's way over the disk: writes its tail, refills its head, deletes what is settled.

    folder: one that is held already (an adopted one), or None: `make` makes it when it is needed,
    raising OSError. prepare: says early, by OSError, that it could not. writes_always: every event
    goes to disk as it is accepted, on the thread that records it; this thread then syncs, and
    writes what a full or broken disk held up.
    """

    def __init__(
        self,
        ring: Ring,
        make: Callable[[], SpoolFolder],
        *,
        folder: SpoolFolder | None = None,
        prepare: Callable[[], None] | None = None,
        writes_always: bool = False,
    ) -> None:
        self._ring = ring
        self._make = make
        self._prepare = prepare
        self._writes_always = writes_always
        self._closing = False
        # Whether `close` has given up waiting: then the caller has told what is kept.
        self._is_late = False
        self._thread: threading.Thread | None = None
        self._reader = SpoolReader(folder.segments if folder else [])
        self._tail_since_s: float | None = None
        self._synced_s = 0.0
        # No writing, no reading and tidying before: the disk has just refused.
        self._write_at_s = self._read_at_s = 0.0
        self._warned = ("", 0.0)
        self.folder = folder
        self.damaged_count = 0
        # Why the disk does not take events just now; "" when it does.
        self.error = ""
        if writes_always:
            ring.write = self._write_one

    def start(self) -> None:
        """Starts the thread unless it runs. RuntimeError when there is none to be had."""
        with self._ring.lock:
            if self._thread is not None or self._closing:
                return
            thread = threading.Thread(target=self._run, name="trimtab-spool", daemon=True)
            thread.start()
            self._thread = thread

    def close(self, timeout_s: float) -> int:
        """Writes and syncs what is pending, lets go of the folder (deletes it when nothing is);
        how many events are kept in it. The ring is shut and the stream closed before."""
        ring = self._ring
        with ring.lock:
            self._closing = True
            ring.spooling.notify_all()
            if not ring.pending_count and self.folder is None:
                return 0
        if self._thread is None:
            self._finish()
        else:
            self._thread.join(timeout_s)
        with ring.lock:
            self._is_late = self._thread is not None and self._thread.is_alive()
            return min(ring.pending_count, ring.spooled_count)

    def forget(self) -> None:
        """Child of a fork: closes its copies of the parent's files."""
        self._reader.close()
        if self.folder is not None:
            self.folder.forget()

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        if self._prepare is not None:
            try:
                self._prepare()
            except OSError as error:
                self._note(error)
        while True:
            try:
                with self._ring.lock:
                    if self._closing:
                        break
                    spills, timeout_s = self._next_step()
                    if timeout_s != 0.0:
                        self._ring.spooling.wait(timeout_s)
                        continue
                self._step(spills=spills)
            except Exception:
                # Nothing here may end the recorder of a trading engine.
                logger.exception("trimtab recorder: spool")
                self._write_at_s = self._read_at_s = time.monotonic() + _RETRY_S
        self._finish()

    def _next_step(self) -> tuple[bool, float | None]:
        """Whether to write, and how many seconds to wait before looking again: 0 = do what is due,
        None = until something happens. The caller holds the ring's lock."""
        ring, now_s = self._ring, time.monotonic()
        if not ring.tail_count:
            self._tail_since_s = None
        elif self._tail_since_s is None:
            self._tail_since_s = now_s
        done = ring.is_shut and ring.is_written
        behind = self._writes_always and ring.write is None and not done
        spills, wait_s = False, None
        if ring.tail_count or behind:
            ready_s = self._write_at_s
            if not behind and ring.tail_count < ring.spill_count:
                ready_s = max(ready_s, (self._tail_since_s or now_s) + _TAIL_AGE_S)
            spills = now_s >= ready_s
            wait_s = ready_s - now_s
        reads = now_s >= self._read_at_s and (ring.refill_room()[0] or self._is_untidy(now_s))
        if spills or reads:
            return spills, 0.0
        if self.folder is not None and (self.folder.is_dirty or self.folder.segments):
            wait_s = min(wait_s or _SYNC_INTERVAL_S, _SYNC_INTERVAL_S)
        return False, wait_s

    def _is_untidy(self, now_s: float) -> bool:
        """Whether a sync is due, or a segment to be deleted."""
        folder, ring = self.folder, self._ring
        if folder is None:
            return False
        if folder.is_dirty and now_s - self._synced_s >= _SYNC_INTERVAL_S:
            return True
        return folder.has_below(ring.settled_count + 1) or self._is_drained()

    def _is_drained(self) -> bool:
        """Whether nothing of what is on disk is needed, and nothing will be written right away."""
        ring, folder = self._ring, self.folder
        done = not self._writes_always and ring.written_count <= ring.settled_count
        return done and folder is not None and bool(folder.segments)

    def _step(self, *, spills: bool) -> None:
        """What is due. Room is made first, so that a full disk holds up only what is new."""
        try:
            self._refill()
            self._tidy()
        except OSError as error:
            self._read_at_s = time.monotonic() + _RETRY_S
            self._note(error)
        if spills:
            try:
                self._spill()
            except OSError as error:
                self._note(error)

    def _tidy(self) -> None:
        """Deletes what is settled; syncs what was written."""
        folder = self.folder
        if folder is None:
            return
        with self._ring.lock:
            below, drained = self._ring.settled_count + 1, self._is_drained()
        if drained:
            folder.restart(folder.next_number)
        folder.drop_below(below)
        now_s = time.monotonic()
        if folder.is_dirty and now_s - self._synced_s >= _SYNC_INTERVAL_S:
            self._synced_s = now_s
            folder.sync()
            folder.count_others()

    def _finish(self) -> None:
        """The end: what is pending goes to disk, the folder becomes an orphan or is deleted."""
        ring = self._ring
        try:
            while not self._is_written():
                self._spill()
            if self.folder is not None and ring.pending_count:
                self.folder.sync()
        except OSError as error:
            self._note(error)
        except Exception:
            logger.exception("trimtab recorder: spool")
        self._reader.close()
        folder = self.folder
        if folder is None:
            return
        try:
            with ring.lock:
                keeps = ring.spooled_count > 0 or self._is_late
            if keeps:
                folder.release()
            else:
                folder.remove()
        except OSError as error:
            self._note(error)
            folder.forget()

    def _is_written(self) -> bool:
        with self._ring.lock:
            return self._ring.is_written

    # -- to the disk --------------------------------------------------------------------------

    def _opened(self) -> SpoolFolder:
        if self.folder is None:
            folder = self._make()
            self._reader = SpoolReader(folder.segments)
            self.folder = folder
        return self.folder

    def _write_one(self, data: bytes) -> bool:
        """Called by the ring, under its lock, on the thread that records."""
        try:
            (self.folder or self._opened()).append_one(data)
        except (OSError, SpoolTaken) as error:
            self._note(error)
            return False
        return True

    def _spill(self) -> None:
        """Writes the oldest events that are not on disk."""
        ring, folder = self._ring, self._opened()
        if self.error:
            folder.count_others()  # the full disk of a moment ago may have room
        with ring.lock:
            first, events = ring.unwritten(_STEP_EVENTS)
            if len(events) < _LAST_EVENTS and self._writes_always:
                # Under the lock, so that none comes behind: from here on each is written at once.
                self._append(folder, first, events)
                if not ring.is_shut:
                    ring.note_written(first - 1)
                    ring.write = self._write_one
                return
        self._append(folder, first, events)

    def _append(self, folder: SpoolFolder, first: int, events: list[bytes]) -> None:
        if first != folder.next_number:
            folder.restart(first)  # everything before was settled without the disk
        try:
            folder.append(events)
        finally:
            with self._ring.lock:
                self._ring.note_written(folder.next_number - 1)
        if self.error:
            logger.info("trimtab recorder: the spool works again")
            self.error = ""

    def _note(self, error: Exception) -> None:
        """Remembers why the disk refused; one warning, and one a minute while it goes on."""
        now_s = time.monotonic()
        self._write_at_s = now_s + _RETRY_S
        self.error = str(error)
        text, warned_s = self._warned
        if text != self.error or now_s - warned_s >= _WARNING_INTERVAL_S:
            self._warned = (self.error, now_s)
            logger.warning(
                "trimtab recorder: the spool takes no events, they wait in memory: %s", error
            )

    # -- from the disk ------------------------------------------------------------------------

    def _refill(self) -> None:
        ring = self._ring
        with ring.lock:
            count, size = ring.refill_room()
            first = ring.settled_count + ring.head_count + 1
            last = first + ring.stored_count - 1
        if not count:
            return
        # In steps, so that the stream sends the first while the next is read.
        stretch = self._reader.read(first, last, min(count, _REFILL_EVENTS_MAX), size)
        with ring.lock:
            taken = ring.refill(first, stretch.events, stretch.damaged_count)
        if taken and stretch.damaged_count:
            self.damaged_count += stretch.damaged_count
            logger.warning(
                "trimtab recorder: damaged in the spool %s: %d event(s), declared lost",
                self.folder.path if self.folder else "",
                stretch.damaged_count,
            )
