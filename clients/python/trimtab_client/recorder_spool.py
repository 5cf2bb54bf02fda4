"""A recorder's spool: its own folder, and the replay of those that earlier recorders left."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from trimtab_client.channel import LazyChannel
from trimtab_client.rejections import OnRejected
from trimtab_client.ring import Ring
from trimtab_client.settings import RecorderSettings
from trimtab_client.spool import Meta, SpoolFolder, default_directory
from trimtab_client.spool_adoption import Adoption
from trimtab_client.spooler import Spooler
from trimtab_client.stream import EventStream

logger = logging.getLogger("trimtab_client")


class RecorderSpool:
    """What a recorder asks of its spool. Construction does no I/O."""

    def __init__(
        self,
        ring: Ring,
        channel: LazyChannel,
        source: str,
        settings: RecorderSettings,
        on_rejected: OnRejected | None,
        stream: EventStream,
    ) -> None:
        """stream: the recorder's own; a replay begins when it is open."""
        self.root = Path(settings.spool_dir) if settings.spool_dir else default_directory()
        self._source = source
        # Guards the two below. Never held by a thread that waits for the ring's lock, and in
        # `overflow` never wanted by one that has it.
        self._naming = threading.Lock()
        self._numbers = (stream.producer_id, 0)
        self._folder: SpoolFolder | None = None
        self._settings = settings
        self._spooler = Spooler(
            ring,
            self._make,
            prepare=self._prepare,
            writes_always=settings.spool_mode == "always",
        )
        self._adoption = Adoption(
            channel, self.root, source, settings, on_rejected, stream.first_opened
        )

    def _prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise PermissionError(f"{self.root} is not writable")

    def _make(self) -> SpoolFolder:
        with self._naming:
            producer_id, offset = self._numbers
            meta = Meta(self._source, producer_id, 1, offset)
            self._folder = SpoolFolder.create(self.root, meta, self._settings.spool_bytes_max)
            return self._folder

    def renumber(self, producer_id: str, offset: int) -> None:
        """The stream goes on under a new producer id. Waits for the disk, so not under the ring's
        lock."""
        with self._naming:
            self._numbers = (producer_id, offset)
            folder = self._folder
            if folder is None:
                return
            try:
                folder.replace_meta(Meta(self._source, producer_id, 1, offset))
            except OSError as error:
                # The events' own ids keep them from being stored twice all the same.
                logger.warning("trimtab recorder: spool %s: %s", folder.path, error)

    def start(self) -> None:
        """Starts the threads. RuntimeError when there are none to be had."""
        self._spooler.start()
        self._adoption.start()

    def close_adoption(self, timeout_s: float, is_open: Callable[[], bool]) -> None:
        """Waits for the replay up to `timeout_s` while `is_open`, then ends it."""
        self._adoption.close(timeout_s, is_open)

    def close(self, timeout_s: float) -> int:
        """Keeps what is pending on disk; how many events that are."""
        return self._spooler.close(timeout_s)

    def forget(self) -> None:
        """Child of a fork: closes its copies of the parent's files."""
        self._spooler.forget()
        self._adoption.forget()

    @property
    def folder(self) -> str:
        """Where the events are kept."""
        return str(self._spooler.folder.path if self._spooler.folder else self.root)

    @property
    def error(self) -> str:
        """Why the disk takes no events just now."""
        return self._spooler.error

    @property
    def byte_count(self) -> int:
        """Size of the recorder's own files."""
        folder = self._spooler.folder
        return 0 if folder is None else folder.byte_count

    @property
    def adopted_count(self) -> int:
        """Events replayed from the spools of earlier recorders."""
        return self._adoption.adopted_count

    @property
    def damaged_count(self) -> int:
        """Damaged events found on disk."""
        return self._spooler.damaged_count + self._adoption.damaged_count
