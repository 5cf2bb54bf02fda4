"""Runs the migrations on the connection that the store hands over."""

from alembic import context
from sqlmodel import SQLModel

import trimtab_server.store.ledger_tables
import trimtab_server.store.tables  # noqa: F401  (both fill SQLModel.metadata)

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
