"""The event log: events, producers, counts, rejected events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Bytes in their own order: faster than a language's, and no index breaks with its next version.
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Creates the tables of the first version."""
    op.create_table(
        "log",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("log_id", _TEXT, nullable=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("create_time_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "producers",
        sa.Column("producer_key", sa.Integer, primary_key=True),
        sa.Column("producer_id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("durable_through_seq", sa.BigInteger, nullable=False),
        sa.Column("open_time_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "event_counts",
        sa.Column("source", _TEXT, primary_key=True),
        sa.Column("environment", sa.SmallInteger, primary_key=True),
        sa.Column("run_id", _TEXT, primary_key=True),
        sa.Column("kind", sa.SmallInteger, primary_key=True),
        sa.Column("event_count", sa.BigInteger, nullable=False),
        sa.Column("byte_count", sa.BigInteger, nullable=False),
        sa.Column("last_event_time_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rejected_events",
        sa.Column("row_id", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("reject_time_ns", sa.BigInteger, nullable=False),
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("producer_id", sa.LargeBinary, nullable=False),
        sa.Column("producer_seq", sa.BigInteger, nullable=False),
        sa.Column("event_id", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("violations", _TEXT, nullable=False),
        sa.Column("event_prefix", sa.LargeBinary, nullable=False),
        sa.Column("event_byte_count", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "ix_rejected_events_producer", "rejected_events", ["producer_id", "producer_seq"]
    )
    _create_events()


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("sequence", _BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("ingest_time_ns", sa.BigInteger, nullable=False),
        sa.Column("producer_key", sa.Integer),
        sa.Column("producer_seq", sa.BigInteger),
        sa.Column("event_id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("environment", sa.SmallInteger, nullable=False),
        sa.Column("run_id", _TEXT),
        sa.Column("event_time_ns", sa.BigInteger, nullable=False),
        sa.Column("available_time_ns", sa.BigInteger, nullable=False),
        sa.Column("signal_id", _TEXT),
        sa.Column("strategy", _TEXT),
        sa.Column("symbol", _TEXT),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    # Every SQLite index ends with the row key, which is the sequence; on Postgres it is named.
    key = ["sequence"] if op.get_bind().dialect.name == "postgresql" else []
    op.create_index("ix_events_kind", "events", ["kind", *key])
    op.create_index("ix_events_symbol", "events", ["symbol", *key])
    op.create_index("ix_events_symbol_kind", "events", ["symbol", "kind", *key])
    op.create_index("ix_events_event_time", "events", ["event_time_ns", *key])
    for name, columns in {
        "ix_events_signal_id": ["signal_id"],
        "ix_events_run_id": ["run_id"],
        "ix_events_run_id_kind": ["run_id", "kind"],
    }.items():
        present = sa.text(f"{columns[0]} IS NOT NULL")
        op.create_index(
            name, "events", [*columns, *key], sqlite_where=present, postgresql_where=present
        )
