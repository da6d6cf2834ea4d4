"""Runs migrations on the connection, and in the transaction, that `nas.store.database` opened."""

from alembic import context

from nas.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
