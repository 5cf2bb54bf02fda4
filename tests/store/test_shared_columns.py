"""Columns that several processes read from one file."""

from pathlib import Path

import numpy as np
import pytest

from trimtab_server.domain.ledger.columns import Names, empty_verdicts
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Unavailable
from trimtab_server.store.shared_columns import read_columns, write_columns


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    """Plain values, empty arrays and arrays of every type, to the bit."""
    arrays = [np.arange(7, dtype=kind) for kind in (np.int8, np.int32, np.int64, np.float64)]
    arrays += [np.array([np.nan, -0.0, np.inf]), np.empty(0)]
    write_columns(tmp_path / "a", (Names(symbols=("ä", "b")), arrays, empty_verdicts(3), None))
    names, found, verdicts, nothing = read_columns(tmp_path / "a")
    assert names.symbols == ("ä", "b")
    assert nothing is None
    assert verdicts.start.tolist() == [0, 0, 0, 0]
    for one, other in zip(arrays, found, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


def test_nobody_changes_what_others_read(tmp_path: Path) -> None:
    """The arrays are read-only, and they outlive the file's name."""
    write_columns(tmp_path / "a", np.arange(1000))
    found = read_columns(tmp_path / "a")
    (tmp_path / "a").unlink()
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 7
    assert int(found.sum()) == 499_500


def test_arrays_lie_where_vector_instructions_like_them(tmp_path: Path) -> None:
    """Each begins at a multiple of 64 bytes."""
    write_columns(tmp_path / "a", [np.ones(3, dtype=np.int8), np.ones(5), np.ones(1)])
    assert all(each.ctypes.data % 64 == 0 for each in read_columns(tmp_path / "a"))


def test_a_file_that_is_gone_or_finds_no_room_is_told(tmp_path: Path) -> None:
    """A typed error with a time to come back, not a driver's."""
    for act in (
        lambda: read_columns(tmp_path / "none"),
        lambda: write_columns(tmp_path / "none" / "a", 1),
    ):
        with pytest.raises(Unavailable) as refused:
            act()
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
