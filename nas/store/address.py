"""Which database an address means."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["FILE_NAME", "url_of"]

FILE_NAME = "nas.db"
"""Of the database in a folder."""

ACCEPTED = "accepted: a folder, sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"


def url_of(where: str | Path) -> URL:
    """Of a folder, or of an address as `nas.store.open_store` takes it.

    Raises:
        InvalidSpec: it is of another form.
    """
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(Path(where).resolve() / FILE_NAME))
    try:
        url = make_url(where)
    except ArgumentError as error:
        raise InvalidSpec([Problem("store", f"not an address of a database; {ACCEPTED}")]) from error
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return url.set(drivername="sqlite", database=str(Path(url.database).resolve()))
    raise InvalidSpec([Problem("store", f"{url.render_as_string(hide_password=True)}: {ACCEPTED}")])
