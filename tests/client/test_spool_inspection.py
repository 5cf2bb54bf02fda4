"""Looking at what lies in the directory of the spools, and tidying what nobody will complete."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from tests.client.test_spool import filled
from trimtab_client.spool import folders_in, locked
from trimtab_client.spool_adoption import remove_half_made
from trimtab_client.spool_inspection import inspections


def test_folders_of_another_user_are_listed_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hide nothing else, and end no command with a traceback."""
    theirs, mine = filled(tmp_path, 3), filled(tmp_path, 4)
    stat = Path.stat

    def refused_stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == theirs.path / "lock":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refused_stat)
    assert set(folders_in(tmp_path)) == {theirs.path, mine.path}
    found = {each.path: each for each in inspections(tmp_path)}
    assert found[mine.path].event_count == 4
    assert "Permission denied" in found[theirs.path].error
    monkeypatch.undo()
    for folder in (theirs, mine):
        folder.release()


def test_half_made_folders_are_removed_when_their_maker_is_gone(tmp_path: Path) -> None:
    """Not one that is being made, and nothing that is not ours."""

    def half_made(name: str, age_s: float = 3_600.0) -> Path:
        path = tmp_path / name
        path.mkdir()
        (path / "lock").touch()
        changed_s = path.stat().st_mtime - age_s
        os.utime(path, (changed_s, changed_s))
        return path

    gone = half_made(f".{uuid.uuid4()}-01234567")
    held = half_made(f".{uuid.uuid4()}-01234567")
    young = half_made(f".{uuid.uuid4()}-01234567", age_s=0.0)
    other = half_made(".git")
    lock_fd = locked(held)
    remove_half_made(tmp_path)
    assert not gone.exists()
    assert held.exists()
    assert young.exists()
    assert other.exists()
    os.close(lock_fd)
