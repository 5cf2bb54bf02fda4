"""Looking into spool folders without touching them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from trimtab_client.spool import folders_in, is_held, read_meta
from trimtab_client.spool_segments import SpoolReader, ending, segments_in

_READ_EVENTS = 4_096
_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one spool folder holds.

    first_seq, last_seq: the producer's numbers on the wire; last_seq below first_seq = none.
    event_count: intact ones, some of which the server may have. damaged_count: those that will be
    declared lost. is_torn: the last record was cut off, as by a crash. is_held: by a live process,
    as far as can be told. age_s: since it was made. error: why it cannot be read; "" when it can.
    """

    path: Path
    source: str
    producer_id: str
    epoch: int
    first_seq: int
    last_seq: int
    event_count: int
    damaged_count: int
    byte_count: int
    is_torn: bool
    is_held: bool
    age_s: float
    error: str


def inspections(root: Path, source: str = "") -> list[Inspection]:
    """What every spool folder below `root` holds, oldest first. source: only this engine's, and
    those whose engine is not known. Takes and changes nothing."""
    found = []
    for path in folders_in(root):
        meta = read_meta(path)
        if meta is None or source in ("", meta.source):
            try:
                found.append(inspection(path))
            except FileNotFoundError:
                continue  # its owner has just removed it
            except OSError as error:
                found.append(_unreadable(path, error))
    return found


def _unreadable(path: Path, error: OSError) -> Inspection:
    """What is known of a folder that cannot be opened, as of another user."""
    return Inspection(
        path=path, source="", producer_id="", epoch=0, first_seq=1, last_seq=0, event_count=0,
        damaged_count=0, byte_count=0, is_torn=False, is_held=False, age_s=0.0, error=str(error),
    )  # fmt: skip


def inspection(path: Path) -> Inspection:
    """What one folder holds. Raises OSError when it cannot be read, FileNotFoundError when it is
    removed meanwhile."""
    meta = read_meta(path)
    age_s = max(0.0, time.time() - (path / "lock").stat().st_mtime)
    held = is_held(path)
    segments = segments_in(path)
    offset = meta.offset if meta else 0
    first, last, is_torn, intact, damaged = 1, 0, False, 0, 0
    if segments:
        first = segments[0].first
        last, is_torn = ending(segments[-1])
        reader = SpoolReader(segments)
        number = first
        while number <= last:
            stretch = reader.read(number, last, _READ_EVENTS, _READ_BYTES)
            intact += len(stretch.events)
            damaged += stretch.damaged_count
            number += len(stretch.events) + stretch.damaged_count
        reader.close()
    return Inspection(
        path=path,
        source=meta.source if meta else "",
        producer_id=meta.producer_id if meta else "",
        epoch=meta.epoch if meta else 0,
        first_seq=first - offset,
        last_seq=last - offset,
        event_count=intact,
        damaged_count=damaged,
        byte_count=sum(segment.size for segment in segments),
        is_torn=is_torn,
        is_held=held,
        age_s=age_s,
        error="" if meta else "meta is unreadable, or of another version",
    )
