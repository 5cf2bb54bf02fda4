"""The judge of engines that die: what each spool mode may lose, and what it may not."""

from pathlib import Path

import pytest

from tests.chaos import lives
from tests.faults.checker import Entry, Loss, Record, faults

PRODUCER = "p"
RING = 3


def book(folder: Path, mode: str, *, closed: bool = False, dropped: int = 0) -> Path:
    """A life that took six events, was refused one, was told two durable, and died (or ended)."""
    lines = [f"life {PRODUCER} {mode}"]
    for number in range(1, 7):
        lines += [f"sent e{number} {number:02x}", f"took e{number}"]
    lines += ["durable 2", "sent refused ff", "refused refused"]
    lines += [f"closed 2 {dropped}"] if closed else ["sent last 77", "took las"]
    path = folder / "book"
    path.write_text("\n".join(lines) + ("\n" if closed else ""))
    return path


def log(*names: str, loss: Loss | None = None) -> list[Entry]:
    """A log of these events."""
    bodies = {f"e{number}": bytes([number]) for number in range(1, 7)}
    found = [
        Entry(at, name, bodies.get(name, b"\xff"), int(name[1:]) if name in bodies else None)
        for at, name in enumerate(names, 1)
    ]
    return [*found, Entry(len(found) + 1, "loss", b"", loss=loss)] if loss else found


def judged(path: Path, found: list[Entry]) -> list[str]:
    """What the judge says of a book and a log."""
    record = Record()
    told = []
    for life in lives.lives(path):
        lives.note(life, record)
        told += lives.faults(life, found, RING)
    return told + faults(found, record)


@pytest.mark.parametrize(
    ("mode", "stored"),
    [
        ("always", "e1 e2 e3 e4 e5 e6"),
        ("overflow", "e1 e2 e5 e6"),
        ("overflow", "e1 e2 e3"),
        ("off", "e1 e2 e3"),
    ],
)
def test_what_a_death_may_cost_is_no_fault(tmp_path: Path, mode: str, stored: str) -> None:
    """`always` costs nothing, `overflow` the ring, wherever in the order it stood."""
    assert judged(book(tmp_path, mode), log(*stored.split())) == []


@pytest.mark.parametrize(
    ("word", "mode", "stored"),
    [
        ("lost: e6", "always", "e1 e2 e3 e4 e5"),
        ("skipped", "always", "e1 e2 e3 e4 e6"),
        ("lost: e2", "overflow", "e1 e3 e4 e5 e6"),
        ("p lost 4 events", "overflow", "e1 e2"),
        ("reordered", "overflow", "e1 e2 e6 e5"),
        ("doubled: e1", "always", "e1 e1 e2 e3 e4 e5 e6"),
        ("invented: refused", "always", "e1 e2 e3 e4 e5 e6 refused"),
        ("invented: ghost", "off", "e1 e2 e3 ghost"),
    ],
)
def test_what_it_may_not_cost_is_found(tmp_path: Path, word: str, mode: str, stored: str) -> None:
    """Each broken promise is named."""
    assert any(word in each for each in judged(book(tmp_path, mode), log(*stored.split())))


def test_an_orderly_end_with_a_spool_keeps_everything(tmp_path: Path) -> None:
    """After `close` nothing may be missing in either mode, and nothing may have been dropped."""
    path = book(tmp_path, "overflow", closed=True)
    assert any("lost: e4" in each for each in judged(path, log("e1", "e2", "e3")))
    path = book(tmp_path, "overflow", closed=True, dropped=1)
    assert any("dropped 1" in each for each in judged(path, log("e1", "e2")))


def test_numbers_declared_lost_must_be_lost_and_not_promised(tmp_path: Path) -> None:
    """A declared loss is no invention; one of a stored or promised event is a fault."""
    path = book(tmp_path, "overflow")
    assert judged(path, log("e1", "e2", "e6", loss=Loss(PRODUCER, 3, 5))) == []
    stored = judged(path, log("e1", "e2", "e4", "e6", loss=Loss(PRODUCER, 3, 5)))
    assert stored == ["given up: e4 is stored"]
    promised = judged(path, log("e1", "e3", "e4", "e5", "e6", loss=Loss(PRODUCER, 2, 2)))
    assert "given up: e2 is promised" in promised


def test_the_event_that_a_death_cut_off_may_be_there_or_not(tmp_path: Path) -> None:
    """A line that was not written to its end says nothing."""
    (life,) = lives.lives(book(tmp_path, "always"))
    assert life.taken == [f"e{number}" for number in range(1, 7)]
    assert "last" in life.sent
