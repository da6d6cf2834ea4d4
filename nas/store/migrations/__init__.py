"""Alembic's migrations, run by `nas.store.migrate` whenever a database is opened."""
