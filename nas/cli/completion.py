"""What a shell offers after Tab, where it is known here and at once: no service is asked, nothing is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from nas.store.store import Store

__all__ = ["exporters", "formats", "jobs", "measured", "roles", "spaces", "targets"]

MOST_JOBS = 50
"""The newest."""
PATIENCE = 0.2
"""Seconds that a locked database is waited for."""

Offered = Callable[[typer.Context, str], list[str]]


def _offering(values: Callable[[typer.Context], Iterable[str]]) -> Offered:
    """For `autocompletion`."""

    def offered(context: typer.Context, incomplete: str) -> list[str]:
        try:
            return [value for value in values(context) if value.startswith(incomplete)]
        except Exception:  # noqa: BLE001 -- told here it would land in the line that is typed
            return []

    return offered


def _of_store(context: typer.Context, read: Callable[[Store], Iterable[str]]) -> list[str]:
    """Nothing where there is no store, or the command would ask a service."""
    from nas.store import open_store
    from nas.store.address import FILE_NAME

    said = context.find_root().params
    home = Path(said.get("home") or ".nas")
    if said.get("server") is not None or not (home / FILE_NAME).is_file():
        return []
    with closing(open_store(home, patience=PATIENCE)) as store:
        return list(read(store))


def _spaces(context: typer.Context) -> list[str]:
    from searchspaces.space import space_names

    return space_names()


def _jobs(context: typer.Context) -> list[str]:
    found = _of_store(context, lambda store: (job.id for job in store.jobs(MOST_JOBS)))
    return ["latest", *found] if found else []


def _targets(context: typer.Context) -> list[str]:
    """Of the job that stands before; else those that were measured."""
    # Words before an option that lacks its value are not told apart yet.
    job = next(iter(context.args), None)

    def read(store: Store) -> Iterable[str]:
        if job is None:
            return map(str, store.targets())
        (found,) = store.jobs(1) if job == "latest" else [store.job(job)]
        return (str(item.target()) for item in found.spec.targets)

    return _of_store(context, read)


def _exporters(context: typer.Context) -> Iterable[str]:
    from nas.exchange.exporters import EXPORTERS

    return EXPORTERS


def _formats(context: typer.Context) -> list[str]:
    from nas.export.formats.format import FORMATS

    return ["onnx", *FORMATS.names()]


def _roles(context: typer.Context) -> Iterable[str]:
    from nas.service.identity import Role

    return Role


spaces = _offering(_spaces)
jobs = _offering(_jobs)
targets = _offering(_targets)
measured = _offering(lambda context: _of_store(context, lambda store: map(str, store.targets())))
exporters = _offering(_exporters)
formats = _offering(_formats)
roles = _offering(_roles)
