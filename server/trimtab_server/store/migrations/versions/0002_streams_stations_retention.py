"""Fleets and years: who may append, which sidecar runs a station, what retention has removed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Adds the stream key of producers, stations and the limits of retention."""
    op.add_column(
        "producers",
        sa.Column("stream_key", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    # When the database was last restored from a backup; absent = never.
    op.add_column("log", sa.Column("restore_time_ns", sa.BigInteger))
    op.create_table(
        "stations",
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("holder", _TEXT, nullable=False),
        sa.Column("lease_key", sa.BigInteger, nullable=False),
        sa.Column("lease_end_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "pruned_kinds",
        sa.Column("kind", sa.SmallInteger, primary_key=True),
        sa.Column("through_sequence", sa.BigInteger, nullable=False),
        sa.Column("event_count", sa.BigInteger, nullable=False),
    )
