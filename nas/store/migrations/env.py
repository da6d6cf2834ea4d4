"""Run by Alembic, with the connection (and its transaction) that `nas.store.migrate` hands over."""

from alembic import context

from nas.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite changes a table by making it anew.
    render_as_batch=True,
)
context.run_migrations()
