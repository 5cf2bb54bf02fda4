"""Rows of the database. They never leave this folder.

Times are integers, nanoseconds UTC: SQLite and Python datetimes hold microseconds only.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlmodel import Field, SQLModel

# SQLite turns only INTEGER PRIMARY KEY into the row's own key; Postgres wants BIGINT.
_BIG_KEY = BigInteger().with_variant(Integer(), "sqlite")


class LogRow(SQLModel, table=True):
    """The log's identity and its counter: one row."""

    __tablename__ = "log"

    id: int = Field(primary_key=True)
    log_id: str = Field(sa_column=Column(Text, nullable=False))
    last_sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    create_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    # When it was last restored from a backup; None = never.
    restore_time_ns: int | None = Field(default=None, sa_column=Column(BigInteger))
    # Grows with every change of the signal gate: what followers compare.
    gate_generation: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text("0"))
    )
    # The revision of a run that the gate keeps nothing of: above that of each run it forgot.
    gate_floor: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    # Digest of the policy that sidecars started with last; None = none did.
    gate_policy: str | None = Field(default=None, sa_column=Column(Text))
    # The logs that this one was restored from, newest first, as a JSON list.
    former_log_ids: str = Field(sa_column=Column(Text, nullable=False, server_default=text("'[]'")))


class EventRow(SQLModel, table=True):
    """One event: the body beside what it is looked up by. `event_id` is time-ordered with
    version 7 UUIDs, which keeps its index append-only."""

    __tablename__ = "events"
    __table_args__ = (
        # Every SQLite index ends with the row key, which is the sequence: pages in log order need
        # no sort.
        Index("ix_events_kind", "kind"),
        Index("ix_events_symbol", "symbol"),
        Index("ix_events_symbol_kind", "symbol", "kind"),
        Index("ix_events_event_time", "event_time_ns"),
        Index(
            "ix_events_signal_id",
            "signal_id",
            sqlite_where=text("signal_id IS NOT NULL"),
            postgresql_where=text("signal_id IS NOT NULL"),
        ),
        Index(
            "ix_events_run_id",
            "run_id",
            sqlite_where=text("run_id IS NOT NULL"),
            postgresql_where=text("run_id IS NOT NULL"),
        ),
        Index(
            "ix_events_run_id_kind",
            "run_id",
            "kind",
            sqlite_where=text("run_id IS NOT NULL"),
            postgresql_where=text("run_id IS NOT NULL"),
        ),
    )

    sequence: int = Field(sa_column=Column(_BIG_KEY, primary_key=True, autoincrement=False))
    ingest_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    producer_key: int | None = Field(sa_column=Column(Integer))
    producer_seq: int | None = Field(sa_column=Column(BigInteger))
    event_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    kind: int = Field(sa_column=Column(SmallInteger, nullable=False))
    source: str = Field(sa_column=Column(Text, nullable=False))
    environment: int = Field(sa_column=Column(SmallInteger, nullable=False))
    run_id: str | None = Field(sa_column=Column(Text))
    event_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    available_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    signal_id: str | None = Field(sa_column=Column(Text))
    strategy: str | None = Field(sa_column=Column(Text))
    symbol: str | None = Field(sa_column=Column(Text))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ProducerRow(SQLModel, table=True):
    """A producer's epoch and high-water mark, locked and moved in the transaction of its events."""

    __tablename__ = "producers"

    producer_key: int | None = Field(default=None, primary_key=True)
    producer_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    source: str = Field(sa_column=Column(Text, nullable=False))
    epoch: int = Field(sa_column=Column(BigInteger, nullable=False))
    durable_through_seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    open_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    # The stream that was opened last: only it may append.
    stream_key: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))


class EventCountRow(SQLModel, table=True):
    """How many events there are of a kind: kept up with every commit, so statistics never scan."""

    __tablename__ = "event_counts"

    source: str = Field(sa_column=Column(Text, primary_key=True))
    environment: int = Field(sa_column=Column(SmallInteger, primary_key=True))
    run_id: str = Field(sa_column=Column(Text, primary_key=True))
    kind: int = Field(sa_column=Column(SmallInteger, primary_key=True))
    event_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    byte_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_event_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class RejectedEventRow(SQLModel, table=True):
    """An event that was refused on a stream, with the first bytes of what was sent."""

    __tablename__ = "rejected_events"
    __table_args__ = (Index("ix_rejected_events_producer", "producer_id", "producer_seq"),)

    row_id: int | None = Field(
        default=None, sa_column=Column(_BIG_KEY, primary_key=True, autoincrement=True)
    )
    reject_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    source: str = Field(sa_column=Column(Text, nullable=False))
    producer_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    producer_seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    event_id: str = Field(sa_column=Column(Text, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    violations: str = Field(sa_column=Column(Text, nullable=False))
    event_prefix: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    event_byte_count: int = Field(sa_column=Column(BigInteger, nullable=False))


class StationRow(SQLModel, table=True):
    """How far a station has read the log, and which sidecar may run it until when. A newer lease
    has a larger key: whoever still holds an older one writes nothing."""

    __tablename__ = "stations"

    name: str = Field(sa_column=Column(Text, primary_key=True))
    cursor: int = Field(sa_column=Column(BigInteger, nullable=False))
    holder: str = Field(sa_column=Column(Text, nullable=False))
    lease_key: int = Field(sa_column=Column(BigInteger, nullable=False))
    lease_end_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class PrunedKindRow(SQLModel, table=True):
    """Up to which sequence retention has removed events of a kind, and how many."""

    __tablename__ = "pruned_kinds"

    kind: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    through_sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    event_count: int = Field(sa_column=Column(BigInteger, nullable=False))


class GateWorldRow(SQLModel, table=True):
    """An environment, or a run of BACKTEST, in which the gate holds something: its revision, and
    the generation of the whole gate with which it changed last."""

    __tablename__ = "gate_worlds"
    __table_args__ = (Index("ix_gate_worlds_generation", "generation"),)

    environment: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    run_id: str = Field(sa_column=Column(Text, primary_key=True))
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))
    generation: int = Field(sa_column=Column(BigInteger, nullable=False))
    # BACKTEST: the largest event time that its breakers have seen.
    event_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    change_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class GateStateRow(SQLModel, table=True):
    """A trading state in force."""

    __tablename__ = "gate_states"

    environment: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    run_id: str = Field(sa_column=Column(Text, primary_key=True))
    source: str = Field(sa_column=Column(Text, primary_key=True))
    strategy: str = Field(sa_column=Column(Text, primary_key=True))
    symbol: str = Field(sa_column=Column(Text, primary_key=True))
    model_name: str = Field(sa_column=Column(Text, primary_key=True))
    state: int = Field(sa_column=Column(SmallInteger, nullable=False))
    block_exits: int = Field(sa_column=Column(SmallInteger, nullable=False))
    actor: str = Field(sa_column=Column(Text, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    until_ns: int | None = Field(sa_column=Column(BigInteger))
    change_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))


class GateBreakerRow(SQLModel, table=True):
    """A breaker, open or closed, with what it measures. `readings` and `probes` are JSON: they are
    read and written whole."""

    __tablename__ = "gate_breakers"
    __table_args__ = (
        Index(
            "ix_gate_breakers_open",
            "environment",
            "run_id",
            sqlite_where=text("is_open = 1"),
            postgresql_where=text("is_open = 1"),
        ),
        Index(
            "ix_gate_breakers_closed",
            "environment",
            "run_id",
            "change_time_ns",
            sqlite_where=text("is_open = 0"),
            postgresql_where=text("is_open = 0"),
        ),
    )

    environment: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    run_id: str = Field(sa_column=Column(Text, primary_key=True))
    source: str = Field(sa_column=Column(Text, primary_key=True))
    strategy: str = Field(sa_column=Column(Text, primary_key=True))
    symbol: str = Field(sa_column=Column(Text, primary_key=True))
    model_name: str = Field(sa_column=Column(Text, primary_key=True))
    kind: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    rule: str = Field(sa_column=Column(Text, primary_key=True))
    is_open: int = Field(sa_column=Column(SmallInteger, nullable=False))
    open_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    open_until_ns: int | None = Field(sa_column=Column(BigInteger))
    trip_count: int = Field(sa_column=Column(Integer, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    actor: str = Field(sa_column=Column(Text, nullable=False))
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))
    probes: str = Field(sa_column=Column(Text, nullable=False))
    success_count: int = Field(sa_column=Column(Integer, nullable=False))
    breach_count: int = Field(sa_column=Column(Integer, nullable=False))
    readings: str = Field(sa_column=Column(Text, nullable=False))
    clock_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    observed_value: float | None = Field(sa_column=Column(Double))
    limit_value: float | None = Field(sa_column=Column(Double))
    change_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class GateChangeRow(SQLModel, table=True):
    """An order that was carried out: who, what, and how it was answered, so that the same order is
    answered the same again."""

    __tablename__ = "gate_changes"

    row_id: int | None = Field(
        default=None, sa_column=Column(_BIG_KEY, primary_key=True, autoincrement=True)
    )
    request_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    answer: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    environment: int = Field(sa_column=Column(SmallInteger, nullable=False))
    run_id: str = Field(sa_column=Column(Text, nullable=False))
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))
    change_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    actor: str = Field(sa_column=Column(Text, nullable=False))
    what: str = Field(sa_column=Column(Text, nullable=False))
