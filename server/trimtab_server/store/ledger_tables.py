"""Rows of the ledger. They never leave this folder.

All of it is derived from the log and can be made again from it (`LedgerTables.reset`). What a fact
says is packed: one column a kind of fact, laid out in `ledger_records`. Sixty columns of numbers
were measured at twice the time to read, and an upsert would have to choose each by itself; packed
behind what orders facts, the greater of two values *is* the fact that counts. What rows are looked
for by stands in columns of its own. Keys of names and lanes are digests, so they depend on nothing
but the name: rows are the same whatever came first.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Text, text
from sqlmodel import Field, SQLModel


class LedgerLaneRow(SQLModel, table=True):
    """What never mixes: one engine's one environment or run, with counts that belong to no
    signal."""

    __tablename__ = "ledger_lanes"
    __table_args__ = (Index("ix_ledger_lanes_environment", "environment", "run_id"),)

    lane_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    source: str = Field(sa_column=Column(Text, nullable=False))
    environment: int = Field(sa_column=Column(SmallInteger, nullable=False))
    run_id: str = Field(sa_column=Column(Text, nullable=False))
    unattributed_fill_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    late_event_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    unfollowed_count: int = Field(sa_column=Column(BigInteger, nullable=False))


class LedgerNameRow(SQLModel, table=True):
    """A name that records hold the key of: strategies, symbols, regimes, guards, models,
    calendars."""

    __tablename__ = "ledger_names"

    name_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    name: str = Field(sa_column=Column(Text, nullable=False))


class LedgerUseRow(SQLModel, table=True):
    """What a lane ever used a name for: 1 a strategy that gave a signal to enter, 2 a model that
    predicted, 3 a fill model. Trials are so counted without a scan."""

    __tablename__ = "ledger_uses"

    lane_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    name_use: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    name_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))


class LedgerSignalRow(SQLModel, table=True):
    """A signal and all that is known of it; an empty record = nothing of that kind yet. On SQLite
    rows lie in the order of their arrival (the key has an index of its own), so a window is read
    from neighbouring pages."""

    __tablename__ = "ledger_signals"
    __table_args__ = (
        Index(
            "ix_ledger_signals_window",
            "lane_key",
            "signal_time_ns",
            sqlite_where=text("signal_time_ns IS NOT NULL"),
            postgresql_where=text("signal_time_ns IS NOT NULL"),
        ),
    )

    signal_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    lane_key: int = Field(sa_column=Column(BigInteger, nullable=False))
    # Of the signal as it was first known; absent while only others have told of it.
    signal_time_ns: int | None = Field(sa_column=Column(BigInteger))
    intent: int | None = Field(sa_column=Column(SmallInteger))
    strategy_key: int | None = Field(sa_column=Column(BigInteger))
    symbol_key: int | None = Field(sa_column=Column(BigInteger))
    signal: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    # What it was decided on, as first known: a correction does not change it, nor the context.
    known: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    # The verdicts of the guards lie behind it.
    decision: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    # When it happened: of the last that is no correction. Below, too.
    decision_original: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    trade: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    outcome: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    outcome_original: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    # Of whatever fill model; where a lane has had several, `LedgerMarkoutRow` tells each one's.
    shadow: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    # Last: it may be long, and is rarely read.
    context: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LedgerMarkoutRow(SQLModel, table=True):
    """What a signal would have made by a fill model: over a horizon, or (ages 0) over its own life;
    markouts lie behind the numbers."""

    __tablename__ = "ledger_markouts"
    __table_args__ = ({"sqlite_with_rowid": False},)

    signal_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    fill_model_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    # Either the age in time, or that in trading days of a calendar.
    age_ns: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    trading_days: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    calendar_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    record: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LedgerPredictionRow(SQLModel, table=True):
    """What a model said of a signal, as of when it could be known."""

    __tablename__ = "ledger_predictions"
    __table_args__ = ({"sqlite_with_rowid": False},)

    signal_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    model_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    available_ns: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    record: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LedgerAccountRow(SQLModel, table=True):
    """An account's equity at a time."""

    __tablename__ = "ledger_accounts"
    __table_args__ = ({"sqlite_with_rowid": False},)

    lane_key: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    time_ns: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    record: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LedgerStateRow(SQLModel, table=True):
    """A part of what the ledger's station holds in memory, as of its cursor."""

    __tablename__ = "ledger_state"

    part: str = Field(sa_column=Column(Text, primary_key=True))
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LearningReportRow(SQLModel, table=True):
    """A learning report that was made on schedule."""

    __tablename__ = "learning_reports"
    __table_args__ = (Index("ix_learning_reports_make_time", "make_time_ns", "report_id"),)

    report_id: str = Field(sa_column=Column(Text, primary_key=True))
    environment: int = Field(sa_column=Column(SmallInteger, nullable=False))
    run_id: str = Field(sa_column=Column(Text, nullable=False))
    make_time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    start_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    end_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    # A JSON list of sentences.
    findings: str = Field(sa_column=Column(Text, nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
