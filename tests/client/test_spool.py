from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from trimtab_client import spool
from trimtab_client.spool import (
    Meta,
    SpoolFolder,
    SpoolFull,
    SpoolTaken,
    bytes_in,
    default_directory,
    folders_in,
    is_held,
    read_meta,
)
from trimtab_client.spool_frames import HEADER_BYTES
from trimtab_client.spool_segments import SpoolReader, Stretch, ending, segments_in

CAP = 1024 * 1024


def meta(source: str = "alpha-1") -> Meta:
    """A new producer's."""
    return Meta(source, str(uuid.uuid4()), 1)


def filled(root: Path, count: int, size: int = 100, cap: int = CAP) -> SpoolFolder:
    """A folder with so many events, each of which holds its number."""
    folder = SpoolFolder.create(root, meta(), cap)
    folder.append([event(number, size) for number in range(1, count + 1)])
    return folder


def event(number: int, size: int = 100) -> bytes:
    """The event with this number."""
    return f"{number:08}".encode().ljust(size, b".")


def everything(folder: SpoolFolder, last: int) -> tuple[list[int], list[int]]:
    """Numbers that are read and numbers that are damaged."""
    reader = SpoolReader(folder.segments)
    intact: list[int] = []
    damaged: list[int] = []
    number = 1
    while number <= last:
        stretch = reader.read(number, last, 7, 10_000)
        for data in stretch.events:
            assert data == event(number, len(data))
            intact.append(number)
            number += 1
        damaged += range(number, number + stretch.damaged_count)
        number += stretch.damaged_count
    reader.close()
    return intact, damaged


def test_events_are_read_in_order_over_segments(tmp_path: Path) -> None:
    """A small cap makes small segments."""
    folder = filled(tmp_path, 1_000)
    assert len(folder.segments) > 1
    assert folder.byte_count == 1_000 * (100 + HEADER_BYTES) == bytes_in(tmp_path, "alpha-1")
    assert everything(folder, 1_000) == (list(range(1, 1_001)), [])
    assert segments_in(folder.path) == folder.segments
    folder.release()


def test_a_reader_follows_a_folder_that_is_being_written(tmp_path: Path) -> None:
    """What was appended after the last read is read next."""
    folder = filled(tmp_path, 5)
    reader = SpoolReader(folder.segments)
    assert reader.read(1, 5, 99, CAP) == Stretch([event(n) for n in range(1, 6)], 0)
    folder.append_one(event(6))
    folder.append([event(n) for n in range(7, 2_000)])
    for number in range(6, 2_000):
        assert reader.read(number, 1_999, 1, CAP).events == [event(number)]
    reader.close()
    folder.release()


def test_a_reader_goes_where_it_is_told(tmp_path: Path) -> None:
    """What was settled meanwhile is skipped."""
    folder = filled(tmp_path, 1_000)
    reader = SpoolReader(folder.segments)
    for number in (900, 3, 4, 999, 1):
        assert reader.read(number, 1_000, 1, CAP).events == [event(number)]
    reader.close()
    folder.release()


def test_an_event_larger_than_what_is_read_at_once_is_read(tmp_path: Path) -> None:
    """Its header says how much is needed."""
    folder = filled(tmp_path, 3, size=700_000, cap=100 * CAP)
    assert everything(folder, 3) == ([1, 2, 3], [])
    folder.release()


def test_segments_are_deleted_only_below_the_mark(tmp_path: Path) -> None:
    """And never the one that is written to."""
    folder = filled(tmp_path, 2_000)
    second = folder.segments[1].first
    folder.drop_below(second - 1)
    assert folder.segments[0].first == 1
    folder.drop_below(second)
    assert folder.segments[0].first == second == segments_in(folder.path)[0].first
    folder.drop_below(2_001)
    assert len(folder.segments) == len(segments_in(folder.path)) == 1
    folder.release()


def test_a_full_spool_takes_nothing_more_and_keeps_what_it_has(tmp_path: Path) -> None:
    """The cap counts every folder of the source, and only of that source."""
    other = SpoolFolder.create(tmp_path, meta("alpha-2"), 65_536)
    other.append([event(1)] * 300)
    first = filled(tmp_path, 200, cap=65_536)
    second = SpoolFolder.create(tmp_path, meta(), 65_536)
    with pytest.raises(SpoolFull):
        second.append([event(number) for number in range(1, 2_000)])
    count = second.next_number - 1
    assert 0 < count < 1_999
    assert bytes_in(tmp_path, "alpha-1") <= 65_536
    assert everything(second, count) == (list(range(1, count + 1)), [])
    first.remove()
    second.count_others()
    second.append_one(event(second.next_number))
    for folder in (other, second):
        folder.release()


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    """Within a process and between two."""
    folder = filled(tmp_path, 1)
    with pytest.raises(SpoolTaken):
        SpoolFolder.adopt(folder.path, CAP)
    program = (
        "import pathlib, sys\nfrom trimtab_client.spool import is_held\n"
        "print(is_held(pathlib.Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder.path)], check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.stdout == "True\n"
    folder.release()
    assert not is_held(folder.path)
    again = SpoolFolder.adopt(folder.path, CAP)
    assert again.meta == folder.meta
    again.release()


def test_a_removed_folder_is_nobodys(tmp_path: Path) -> None:
    """Whoever comes for it finds nothing, and puts nothing there."""
    folder = filled(tmp_path, 1)
    folder.remove()
    with pytest.raises(SpoolTaken):
        SpoolFolder.adopt(folder.path, CAP)
    assert list(tmp_path.iterdir()) == []


def test_the_epoch_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """What a reader finds is the old meta or the new one."""
    folder = filled(tmp_path, 1)
    raised = Meta(folder.meta.source, folder.meta.producer_id, 2, 5)
    folder.replace_meta(raised)
    assert read_meta(folder.path) == raised
    folder.release()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"source": "a"}', '{"source": 1, "producer_id": 2, "epoch": 3}'],
)
def test_a_meta_file_that_says_nothing_is_not_guessed(tmp_path: Path, text: str) -> None:
    """Such a folder is left alone: whose numbers these are is not known."""
    folder = filled(tmp_path, 1)
    folder.release()
    (folder.path / "meta").write_text(text)
    assert read_meta(folder.path) is None
    with pytest.raises(ValueError, match="meta"):
        SpoolFolder.adopt(folder.path, CAP)
    assert not is_held(folder.path)


def test_a_folder_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    """A newer client wrote it, a newer client sends it."""
    folder = filled(tmp_path, 1)
    folder.release()
    found = json.loads((folder.path / "meta").read_text())
    (folder.path / "meta").write_text(json.dumps(found | {"format": 2}))
    assert read_meta(folder.path) is None


def test_folders_are_found_oldest_first(tmp_path: Path) -> None:
    """And nothing that is none."""
    assert folders_in(tmp_path / "nowhere") == []
    made = [filled(tmp_path, 1) for _ in range(3)]
    (tmp_path / ".half-made").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert folders_in(tmp_path) == [folder.path for folder in made]
    for folder in made:
        folder.release()


def test_the_directory_is_the_variables_else_the_state_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the XDG base directory specification has it."""
    monkeypatch.setenv("TRIMTAB_SPOOL_DIR", "/told")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_directory() == Path("/told")
    monkeypatch.delenv("TRIMTAB_SPOOL_DIR")
    assert default_directory() == Path("/state/trimtab/spool")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_directory() == Path("/home/me/.local/state/trimtab/spool")


def broken(folder: SpoolFolder, index: int, change: bytes | int) -> None:
    """Overwrites the beginning of the folder's record `index` (from 0), or cuts the file there."""
    path = folder.segments[0].path
    data = bytearray(path.read_bytes())
    start = index * (100 + HEADER_BYTES)
    if isinstance(change, int):
        del data[start + change :]
    else:
        data[start : start + len(change)] = change
    path.write_bytes(data)
    folder.segments = segments_in(folder.path)


@pytest.mark.parametrize(
    ("index", "change", "last", "is_torn"),
    [
        (9, 10, 9, True),  # cut off in the header
        (9, HEADER_BYTES + 5, 9, True),  # cut off in the event
        (9, bytes(100 + HEADER_BYTES), 9, True),  # a block that was never written
        (9, b"junk", 10, False),  # a damaged header with nothing behind it
        (5, b"junk", 10, False),
    ],
)
def test_the_end_of_a_spool_is_told(
    tmp_path: Path, index: int, change: bytes | int, last: int, *, is_torn: bool
) -> None:
    """A record that was cut off was never accepted; one that is damaged was."""
    folder = filled(tmp_path, 10)
    broken(folder, index, change)
    assert ending(folder.segments[-1]) == (last, is_torn)
    intact, damaged = everything(folder, last)
    assert damaged == ([index + 1] if not is_torn else [])
    assert sorted(intact + damaged) == list(range(1, last + 1))
    folder.release()


def test_a_segment_that_is_gone_is_damage_of_its_numbers(tmp_path: Path) -> None:
    """The segments before and after it are read."""
    folder = filled(tmp_path, 2_000)
    first, second, third = folder.segments[:3]
    second.path.unlink()
    folder.segments = segments_in(folder.path)
    intact, damaged = everything(folder, 2_000)
    assert first.first == 1
    assert damaged == list(range(second.first, third.first))
    assert len(intact) == 2_000 - len(damaged)
    folder.release()


@pytest.mark.parametrize("kept_count", range(6))
def test_a_removal_that_is_cut_off_is_finished_by_the_next_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_count: int
) -> None:
    """Wherever the crash came: the folder can be adopted, or is nobody's and gone."""
    folder = filled(tmp_path, 600)
    assert len(folder.segments) == 2
    unlink = Path.unlink
    calls = 0

    def crash(path: Path, *, missing_ok: bool = False) -> None:
        nonlocal calls
        calls += 1
        if calls > kept_count:
            raise OSError("the machine stopped here")
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as crashing:
        crashing.setattr(Path, "unlink", crash)
        if kept_count < 5:
            with pytest.raises(OSError, match="stopped here"):
                folder.remove()
        else:
            folder.remove()
    folder.release()
    try:
        SpoolFolder.adopt(folder.path, CAP).remove()
    except SpoolTaken:
        assert kept_count >= 4
    assert list(tmp_path.iterdir()) == []


def test_a_sync_that_fails_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever file it was: the next sync has everything, and closes what is finished."""
    fsync = os.fsync
    for failing in range(6):
        folder = filled(tmp_path, 1_500)
        assert len(folder.segments) == 3
        wanted = [folder.path, tmp_path, folder.path / "meta", *(s.path for s in folder.segments)]
        synced: set[int] = set()
        calls = 0

        def fail_once(fd: int, failing: int = failing) -> None:
            nonlocal calls
            calls += 1
            if calls == failing + 1:
                raise OSError(5, "a bad block")
            fsync(fd)
            synced.add(os.fstat(fd).st_ino)  # noqa: B023 - called in this round only

        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail_once)
            with pytest.raises(OSError, match="bad block"):
                folder.sync()
            dirty_then = folder.is_dirty
            folder.sync()
        assert (dirty_then, folder.is_dirty) == (True, False)
        assert {path.stat().st_ino for path in wanted} <= synced
        folder.remove()


def test_a_folder_that_was_only_looked_at_is_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`is_held` has the lock for a moment; whoever comes just then tries once more."""
    folder = filled(tmp_path, 1)
    folder.release()
    looker = spool.locked(folder.path)
    monkeypatch.setattr("trimtab_client.spool.time.sleep", lambda _: os.close(looker))
    adopted = SpoolFolder.adopt(folder.path, CAP)
    assert adopted.meta.producer_id == folder.meta.producer_id
    adopted.remove()
    assert not folder.path.exists()


def test_new_segments_do_not_read_the_other_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In mode always the engine waits for each; one look counts until the next."""
    folder = filled(tmp_path, 1)
    monkeypatch.setattr(spool, "bytes_in", lambda *_, **__: pytest.fail("looked again"))
    folder.append([event(number) for number in range(2, 2_000)])
    assert len(folder.segments) > 2
    folder.remove()
