"""The signal gate: worlds with their revision, trading states, breakers, and who ordered what."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ZERO = sa.text("0")


def _world() -> list["sa.Column[object]"]:
    return [
        sa.Column("environment", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("run_id", _TEXT, primary_key=True),
    ]


def _scope() -> list["sa.Column[object]"]:
    names = ("source", "strategy", "symbol", "model_name")
    return [sa.Column(name, _TEXT, primary_key=True) for name in names]


def upgrade() -> None:
    """Adds the tables of the signal gate, and to the log what tells followers of changes."""
    op.add_column(
        "log", sa.Column("gate_generation", sa.BigInteger, nullable=False, server_default=_ZERO)
    )
    op.add_column(
        "log", sa.Column("gate_floor", sa.BigInteger, nullable=False, server_default=_ZERO)
    )
    op.add_column("log", sa.Column("gate_policy", _TEXT))
    # Which logs this one was restored from: to those it may say that a halt has ended.
    op.add_column(
        "log", sa.Column("former_log_ids", _TEXT, nullable=False, server_default=sa.text("'[]'"))
    )
    op.create_table(
        "gate_worlds",
        *_world(),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("event_time_ns", sa.BigInteger, nullable=False),
        sa.Column("change_time_ns", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_gate_worlds_generation", "gate_worlds", ["generation"])
    op.create_table(
        "gate_states",
        *_world(),
        *_scope(),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("block_exits", sa.SmallInteger, nullable=False),
        sa.Column("actor", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("until_ns", sa.BigInteger),
        sa.Column("change_time_ns", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    _create_breakers()
    op.create_table(
        "gate_changes",
        sa.Column("row_id", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("environment", sa.SmallInteger, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("change_time_ns", sa.BigInteger, nullable=False),
        sa.Column("actor", _TEXT, nullable=False),
        sa.Column("what", _TEXT, nullable=False),
    )


def _create_breakers() -> None:
    op.create_table(
        "gate_breakers",
        *_world(),
        *_scope(),
        sa.Column("kind", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("rule", _TEXT, primary_key=True),
        sa.Column("is_open", sa.SmallInteger, nullable=False),
        sa.Column("open_time_ns", sa.BigInteger, nullable=False),
        sa.Column("open_until_ns", sa.BigInteger),
        sa.Column("trip_count", sa.Integer, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("actor", _TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("probes", _TEXT, nullable=False),
        sa.Column("success_count", sa.Integer, nullable=False),
        sa.Column("breach_count", sa.Integer, nullable=False),
        sa.Column("readings", _TEXT, nullable=False),
        sa.Column("clock_ns", sa.BigInteger, nullable=False),
        sa.Column("observed_value", sa.Double),
        sa.Column("limit_value", sa.Double),
        sa.Column("change_time_ns", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "ix_gate_breakers_open",
        "gate_breakers",
        ["environment", "run_id"],
        sqlite_where=sa.text("is_open = 1"),
        postgresql_where=sa.text("is_open = 1"),
    )
    # The closed ones that were looked at longest ago make room for others.
    op.create_index(
        "ix_gate_breakers_closed",
        "gate_breakers",
        ["environment", "run_id", "change_time_ns"],
        sqlite_where=sa.text("is_open = 0"),
        postgresql_where=sa.text("is_open = 0"),
    )
