"""Sends what earlier recorders of the same source left in their spools."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from trimtab_client.channel import LazyChannel
from trimtab_client.rejections import OnRejected
from trimtab_client.ring import Ring
from trimtab_client.settings import RecorderSettings
from trimtab_client.spool import (
    SpoolFolder,
    SpoolTaken,
    folders_in,
    locked,
    paths_in,
    read_meta,
)
from trimtab_client.spool_segments import ending
from trimtab_client.spooler import Spooler
from trimtab_client.stream import EventStream

logger = logging.getLogger("trimtab_client")

_EVENTS_MAX = 20_000
_BYTES_MAX = 16 * 1024 * 1024
_TICK_S = 0.5
_CLOSE_S_MAX = 10.0
# The name of a folder while it is made, and how old one is that nobody will complete.
_HALF_MADE = re.compile(r"\.[0-9a-f-]{36}-[0-9a-f]{8}")
_HALF_MADE_S = 60.0


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of the events of one spool folder.

    event_count: those that it held. durable_count: stored. known_count: settled before, as the
    server said at the opening. duplicate_count: sent, and found to be stored before. left_count:
    still in the folder; `error` says why.
    """

    path: Path
    source: str
    producer_id: str
    event_count: int
    durable_count: int
    known_count: int
    duplicate_count: int
    rejected_count: int
    lost_count: int
    damaged_count: int
    left_count: int
    is_torn: bool
    error: str


class Replay:
    """One orphaned folder, held, and the stream that empties it."""

    def __init__(
        self,
        folder: SpoolFolder,
        channel: LazyChannel,
        settings: RecorderSettings,
        on_rejected: OnRejected | None,
    ) -> None:
        """Raises OSError when the folder cannot be read."""
        self._folder = folder
        self._channel = channel
        self._settings = replace(settings, linger_s=0.0, batch_events_max=_EVENTS_MAX)
        self._on_rejected = on_rejected
        self._ring = Ring(_EVENTS_MAX, _BYTES_MAX)
        self._is_torn = False
        if folder.segments:
            first = folder.segments[0].first
            last, self._is_torn = ending(folder.segments[-1])
            folder.next_number = last + 1
            self._ring.hold(first, last, folder.meta.offset)
        self._ring.shut()
        self._event_count = self._ring.pending_count
        self._spooler = Spooler(self._ring, lambda: folder, folder=folder)
        self._stream = self._new_stream(0)

    def _new_stream(self, epoch: int) -> EventStream:
        meta = self._folder.meta
        stream = EventStream(
            self._ring, self._channel, meta.source, self._settings, self._on_rejected,
            producer_id=meta.producer_id, epoch=epoch,
        )  # fmt: skip
        stream.on_renumbered = self._renumber
        return stream

    def run(self, stop: threading.Event, deadline_s: float) -> Adopted:
        """Sends until nothing is left, `stop` is set or it is `deadline_s` on the monotonic clock.
        Raises OSError when the epoch cannot be written."""
        if self._is_torn:
            logger.warning(
                "trimtab recorder: the last record of the spool %s was cut off, as by a crash in"
                " the middle of a write; it is ignored",
                self._folder.path,
            )
        fenced_epoch = self._send(self._folder.meta.epoch + 1, stop, deadline_s)
        if fenced_epoch:
            # The folder is an older copy of one that was adopted before; this process holds it.
            self._send(fenced_epoch + 1, stop, deadline_s)
        return self.result()

    def close(self) -> None:
        """Ends the threads and lets go of the folder; deletes it when nothing is left."""
        self._stream.close(1.0)
        self._spooler.close(_CLOSE_S_MAX)

    def _send(self, epoch: int, stop: threading.Event, deadline_s: float) -> int:
        """Sends under this epoch; the epoch that fenced it, 0 = none did."""
        ring, folder = self._ring, self._folder
        # Before the server hears of it: two that adopt one after the other never use the same.
        folder.replace_meta(replace(folder.meta, epoch=epoch))
        tally, self._stream = self._stream.tally, self._new_stream(epoch)
        self._stream.tally = tally
        if ring.pending_count:
            self._spooler.start()
            self._stream.start()
            with ring.lock:
                self._stream.request_flush()
                while ring.pending_count and self._stream.state != "STOPPED":
                    left_s = deadline_s - time.monotonic()
                    if stop.is_set() or left_s <= 0:
                        break
                    ring.settled.wait(min(_TICK_S, left_s))
            self._stream.close(1.0)
        error = self._stream.last_error
        if error is None or error.reason != "PRODUCER_FENCED" or not ring.pending_count:
            return 0
        told = error.metadata.get("producer_epoch", "")
        return int(told) if told.isascii() and told.isdigit() else 0

    def result(self) -> Adopted:
        """What is known now."""
        meta, tally, error = self._folder.meta, self._stream.tally, self._stream.last_error
        with self._ring.lock:
            return Adopted(
                path=self._folder.path,
                source=meta.source,
                producer_id=meta.producer_id,
                event_count=self._event_count,
                durable_count=tally.durable_count,
                known_count=tally.known_count,
                duplicate_count=tally.duplicate_count,
                rejected_count=tally.rejected_count,
                lost_count=tally.lost_count,
                damaged_count=self._spooler.damaged_count,
                left_count=self._ring.pending_count,
                is_torn=self._is_torn,
                error="" if error is None else str(error),
            )

    def wake(self) -> None:
        """Lets `run` look at `stop` now."""
        with self._ring.lock:
            self._ring.settled.notify_all()

    def forget(self) -> None:
        """Child of a fork: closes its copies of the parent's files."""
        self._spooler.forget()

    def _renumber(self, producer_id: str, offset: int) -> None:
        meta = replace(self._folder.meta, producer_id=producer_id, epoch=1, offset=offset)
        try:
            self._folder.replace_meta(meta)
        except OSError as error:
            # The events' own ids keep them from being stored twice all the same.
            logger.warning("trimtab recorder: spool %s: %s", self._folder.path, error)


class Adoption:
    """Replays one orphaned folder after the other, oldest first, on a thread of its own.

    source: "" = of every source. It begins when `after` is set.
    """

    def __init__(
        self,
        channel: LazyChannel,
        root: Path,
        source: str,
        settings: RecorderSettings,
        on_rejected: OnRejected | None,
        after: threading.Event,
    ) -> None:
        self._channel = channel
        self._root = root
        self._source = source
        self._settings = settings
        self._on_rejected = on_rejected
        self._after = after
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._replay: Replay | None = None
        self._done: list[Adopted] = []

    def start(self) -> None:
        """Starts the thread. RuntimeError when there is none to be had."""
        if self._thread is None and not self._stop.is_set():
            thread = threading.Thread(target=self._run, name="trimtab-adoption", daemon=True)
            thread.start()
            self._thread = thread

    def close(self, timeout_s: float, is_open: Callable[[], bool]) -> None:
        """Waits for the end up to `timeout_s` while `is_open`, then stops; what is left waits for
        the next start."""
        thread = self._thread
        deadline_s = time.monotonic() + timeout_s
        while thread is not None and thread.is_alive() and is_open():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                break
            thread.join(min(_TICK_S, left_s))
        self._stop.set()
        self._after.set()
        replay = self._replay
        if replay is not None:
            replay.wake()
        if thread is not None:
            thread.join(2.0)

    @property
    def adopted_count(self) -> int:
        """Events of adopted spools that were sent and are settled: durable, rejected or lost."""
        return sum(e.event_count - e.known_count - e.left_count for e in self._results())

    @property
    def damaged_count(self) -> int:
        """Damaged events found in them."""
        return sum(each.damaged_count for each in self._results())

    def _results(self) -> list[Adopted]:
        done, replay = list(self._done), self._replay
        return done if replay is None else [*done, replay.result()]

    def forget(self) -> None:
        """Child of a fork: closes its copies of the parent's files."""
        if self._replay is not None:
            self._replay.forget()

    def _run(self) -> None:
        self._after.wait()
        try:
            for found in self.replays():
                _log(found)
        except Exception:
            logger.exception("trimtab recorder: adoption of a spool failed")

    def replays(self, timeout_s: float = float("inf")) -> Iterator[Adopted]:
        """Adopts and sends each orphaned folder; what became of each that held something."""
        deadline_s = time.monotonic() + timeout_s
        remove_half_made(self._root)
        for path in folders_in(self._root):
            meta = read_meta(path)
            if self._stop.is_set() or time.monotonic() >= deadline_s:
                return
            if meta is None or self._source in ("", meta.source):
                found = self._replayed(path, deadline_s)
                if found is not None:
                    yield found

    def _replayed(self, path: Path, deadline_s: float) -> Adopted | None:
        try:
            folder = SpoolFolder.adopt(path, self._settings.spool_bytes_max)
            found = self._sent(folder, deadline_s)
        except SpoolTaken:
            return None
        except (OSError, ValueError) as error:
            logger.warning("trimtab recorder: a spool stays as it is: %s", error)
            return None
        except Exception:
            # One folder keeps none of the others waiting; the next start tries it again.
            logger.exception("trimtab recorder: a spool stays as it is: %s", path)
            return None
        return found if found.event_count or found.is_torn else None

    def _sent(self, folder: SpoolFolder, deadline_s: float) -> Adopted:
        try:
            replay = Replay(folder, self._channel, self._settings, self._on_rejected)
        except BaseException:
            folder.release()
            raise
        self._replay = replay
        try:
            found = replay.run(self._stop, deadline_s)
        finally:
            replay.close()
            self._replay = None
        self._done.append(found)
        return found


def remove_half_made(root: Path) -> None:
    """Deletes folders whose maker ended before they were complete: they hold no events."""
    for path in paths_in(root):
        if not _HALF_MADE.fullmatch(path.name):
            continue
        with contextlib.suppress(OSError, SpoolTaken):
            if time.time() - path.stat().st_mtime < _HALF_MADE_S:
                continue
            lock_fd = locked(path) if (path / "lock").exists() else None
            shutil.rmtree(path, ignore_errors=True)
            if lock_fd is not None:
                os.close(lock_fd)


def _log(found: Adopted) -> None:
    level = logging.WARNING if found.left_count or found.lost_count else logging.INFO
    logger.log(
        level,
        "trimtab recorder: adopted the spool %s: %d events, %d durable, %d rejected, %d lost, %d"
        " left%s",
        *(found.path, found.event_count, found.durable_count, found.rejected_count),
        *(found.lost_count, found.left_count, f" ({found.error})" if found.error else ""),
    )
