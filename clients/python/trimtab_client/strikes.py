"""What to do about a server that refuses the same thing again and again."""

from __future__ import annotations

import enum

import grpc

from trimtab_client.errors import TrimtabError
from trimtab_client.session import Session

_STRIKE_COUNT_MAX = 3
_NUMBERS_DISAGREE = ("SEQUENCE_REUSED", "SEQUENCE_GAP")
_TOO_LARGE = ("BATCH_TOO_LARGE", "EVENT_TOO_LARGE", "INVALID_FIELD", "")


class Remedy(enum.Enum):
    """What the stream does before it tries again."""

    NONE = "NONE"
    # Send the same events under a new producer id: their ids keep them from being stored twice.
    RENUMBER = "RENUMBER"
    # The oldest event is the one that ends every stream.
    DECLARE_LOST = "DECLARE_LOST"


class Strikes:
    """Counts refusals without progress in between."""

    def __init__(self) -> None:
        self._count = 0
        # While events up to this ordinal are pending, they go one by one: one of them is poison.
        self.suspect_through = 0

    def reset(self) -> None:
        """Something was acknowledged."""
        self._count = 0

    def count(self, session: Session, error: TrimtabError, settled_count: int) -> Remedy:
        """What to do about the error that ended a session."""
        numbers = error.reason in _NUMBERS_DISAGREE or session.numbers_unknown
        refused = error.code in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        )
        size = refused and error.reason in _TOO_LARGE and session.sent_count > 0
        if not numbers and not size:
            return Remedy.NONE
        self._count += 1
        if self._count < _STRIKE_COUNT_MAX and not session.numbers_unknown:
            return Remedy.NONE
        self._count = 0
        if numbers:
            return Remedy.RENUMBER
        if settled_count < self.suspect_through:
            return Remedy.DECLARE_LOST
        self.suspect_through = settled_count + session.sent_count
        return Remedy.NONE
