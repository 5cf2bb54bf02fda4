"""The ledger: signals with all that is known of them, what the station remembers, and reports."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _key(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _number(name: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _record(name: str) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary, nullable=False)


def upgrade() -> None:
    """Adds the tables of the ledger; its station fills them from the log's beginning."""
    op.create_table(
        "ledger_lanes",
        _key("lane_key"),
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("environment", sa.SmallInteger, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        _number("unattributed_fill_count"),
        _number("late_event_count"),
        _number("unfollowed_count"),
    )
    op.create_index("ix_ledger_lanes_environment", "ledger_lanes", ["environment", "run_id"])
    op.create_table("ledger_names", _key("name_key"), sa.Column("name", _TEXT, nullable=False))
    op.create_table(
        "ledger_uses",
        _key("lane_key"),
        sa.Column("name_use", sa.SmallInteger, primary_key=True, autoincrement=False),
        _key("name_key"),
    )
    _create_signals()
    op.create_table(
        "ledger_markouts",
        *(_key("signal_key"), _key("fill_model_key")),
        *(_key("age_ns"), _key("trading_days"), _key("calendar_key")),
        _record("record"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_predictions",
        *(_key("signal_key"), _key("model_key"), _key("available_ns"), _record("record")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_accounts",
        *(_key("lane_key"), _key("time_ns"), _record("record")),
        sqlite_with_rowid=False,
    )
    op.create_table("ledger_state", sa.Column("part", _TEXT, primary_key=True), _record("content"))
    op.create_table(
        "learning_reports",
        sa.Column("report_id", _TEXT, primary_key=True),
        sa.Column("environment", sa.SmallInteger, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        *(_number("make_time_ns"), _number("start_ns"), _number("end_ns")),
        sa.Column("findings", _TEXT, nullable=False),
        _record("body"),
    )
    op.create_index(
        "ix_learning_reports_make_time", "learning_reports", ["make_time_ns", "report_id"]
    )


def _create_signals() -> None:
    op.create_table(
        "ledger_signals",
        _key("signal_key"),
        _number("lane_key"),
        _number("signal_time_ns", nullable=True),
        sa.Column("intent", sa.SmallInteger),
        _number("strategy_key", nullable=True),
        _number("symbol_key", nullable=True),
        *map(_record, ("signal", "known", "decision", "decision_original", "trade", "outcome")),
        *map(_record, ("outcome_original", "shadow", "context")),
    )
    present = sa.text("signal_time_ns IS NOT NULL")
    op.create_index(
        "ix_ledger_signals_window",
        "ledger_signals",
        ["lane_key", "signal_time_ns"],
        sqlite_where=present,
        postgresql_where=present,
    )
