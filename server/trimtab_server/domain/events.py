"""The event as the log knows it: an identity, a few columns to look it up by, and opaque bytes."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from trimtab_server.domain.reasons import Reason


class Environment(IntEnum):
    """Where an event happened; the numbers are the contract's."""

    LIVE = 1
    PAPER = 2
    BACKTEST = 3


CLOCKED = (Environment.LIVE, Environment.PAPER)
"""Those that live in the server's time, not in that of their events."""


class EventKind(IntEnum):
    """Which payload an event carries; the numbers are the contract's."""

    SIGNAL = 1
    DECISION = 2
    ORDER_UPDATE = 3
    EXECUTION = 4
    EXECUTION_FAILURE = 5
    POSITION_UPDATE = 6
    ACCOUNT_SNAPSHOT = 7
    OUTCOME = 8
    SHADOW_OUTCOME = 9
    PREDICTION = 10
    MARKET_BAR = 11
    MARKET_TICK = 12
    CORPORATE_ACTION = 13
    REGIME_CHANGE = 14
    RISK_BREACH = 15
    METRIC_RECORDED = 16
    RECORDER_LOSS = 17


class EventOrder(IntEnum):
    """Order of a list; the numbers are the contract's."""

    SEQUENCE = 1
    SEQUENCE_DESC = 2
    EVENT_TIME = 3
    EVENT_TIME_DESC = 4


class Event(NamedTuple):
    """One accepted event. Times are nanoseconds UTC; `body` is its deterministic serialisation
    without the server's fields, so equal bodies are equal events. Absent names are empty."""

    event_id: bytes
    kind: int
    source: str
    environment: int
    run_id: str
    event_time_ns: int
    available_time_ns: int
    signal_id: str
    strategy: str
    symbol: str
    body: bytes


class StoredEvent(NamedTuple):
    """An event in the log: its body with what the server added."""

    sequence: int
    ingest_time_ns: int
    body: bytes


class Violation(NamedTuple):
    """One field at fault: its path from the event or request, and what is wrong with it."""

    field: str
    description: str


class Rejection(NamedTuple):
    """An event that was refused, with the first bytes of what was sent and its full size."""

    event_id: str
    reason: Reason
    violations: tuple[Violation, ...]
    prefix: bytes = b""
    byte_count: int = 0


class Loss(NamedTuple):
    """Numbers that a producer can no longer send, and the event that says so in the log."""

    first_seq: int
    last_seq: int
    event: Event


class Producer(NamedTuple):
    """Who numbers events: one recorder lifetime. The key tells its streams apart: of several, only
    the one that was opened last may append, through whichever sidecar it came."""

    producer_id: bytes
    epoch: int
    source: str
    stream_key: int = 0


@dataclass(frozen=True, slots=True)
class Append:
    """What one caller wants in the log. Events of a producer are numbered from `first_seq`; a
    unary call has no producer and no numbers."""

    events: list[Event | Rejection]
    byte_count: int
    producer: Producer | None = None
    first_seq: int = 0
    loss: Loss | None = None


@dataclass(slots=True)
class Appended:
    """What became of an `Append`, item by item.

    `sequences[i]` is the position of item i in the log, 0 where it was refused;
    `duplicates` holds the indices of items that were stored before;
    `rejections` the refused ones by index. `error_reason` is set when nothing of it was taken, and
    then `expected_seq` is the number that the producer should go on with.
    """

    sequences: list[int] = field(default_factory=list)
    duplicates: set[int] = field(default_factory=set)
    rejections: dict[int, Rejection] = field(default_factory=dict)
    error_reason: Reason | None = None
    error_message: str = ""
    expected_seq: int = 0


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events. None or empty does not restrict. Times are nanoseconds UTC; `end_time_ns` is
    exclusive, `known_at_ns` keeps what was available at that time."""

    kinds: tuple[int, ...] = ()
    source: str | None = None
    environment: int | None = None
    run_id: str | None = None
    strategy: str | None = None
    symbol: str | None = None
    signal_id: str | None = None
    start_time_ns: int | None = None
    end_time_ns: int | None = None
    known_at_ns: int | None = None


class EventPage(NamedTuple):
    """A page of events and where the next one starts (None after the last)."""

    events: list[StoredEvent]
    next_position: tuple[int, int] | None


class LogPage(NamedTuple):
    """A page of the tail: matching events, the sequence up to which all was looked at, and the last
    one at which retention took an event of a kind that is asked for (0 = none)."""

    events: list[StoredEvent]
    through_sequence: int
    pruned_sequence: int


class EventCount(NamedTuple):
    """How many events of one kind, source and environment."""

    kind: int
    source: str
    environment: int
    event_count: int
    byte_count: int
    last_event_time_ns: int


class RejectedEvent(NamedTuple):
    """A refused event as the store keeps it."""

    row_id: int
    reject_time_ns: int
    source: str
    producer_id: bytes
    producer_seq: int
    rejection: Rejection


class LogInfo(NamedTuple):
    """Identity and bounds of the log; sequences are 0 when it is empty."""

    log_id: str
    first_sequence: int
    last_sequence: int
