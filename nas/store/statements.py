"""Statements that several queries share, and what SQLite and PostgreSQL say differently."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, literal, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import ColumnElement

from nas.objectives.objective import Key
from nas.store.tables import ArchitectureRow, Base, ObjectiveRow, TargetRow
from searchspaces.architecture import Architecture

__all__ = [
    "begins",
    "chunks",
    "insert",
    "lock",
    "now",
    "objective_keys",
    "objective_numbers",
    "of_digests",
    "put",
    "put_architectures",
    "target_numbers",
]

LAST_CHARACTER = "\U0010ffff"

CHUNK = 5000
"""Values that one statement names at most; databases limit them."""


def insert(connection: Connection, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say what to do with a row whose key is there already."""
    return sqlite.insert(table) if _is_sqlite(connection) else postgresql.insert(table)


def lock(connection: Connection, table: type[Base]) -> None:
    """Wait for every other transaction that writes to the table, and let none in before this one has
    ended; on SQLite a writer is alone anyway."""
    if not _is_sqlite(connection):
        connection.execute(text(f"LOCK TABLE {table.__tablename__} IN SHARE ROW EXCLUSIVE MODE"))


def now(connection: Connection) -> ColumnElement[float]:
    """Seconds since the epoch by the one clock that all processes of a database share: the server's, or
    for a file this machine's."""
    if _is_sqlite(connection):
        return literal(time.time())
    return func.extract("epoch", func.clock_timestamp()).cast(postgresql.DOUBLE_PRECISION)


def begins(column: InstrumentedAttribute[str], beginning: str) -> ColumnElement[bool]:
    """Whether a code begins so: a range of its index; LIKE would read every row."""
    return (column >= beginning) & (column <= beginning + LAST_CHARACTER)


def put(
    connection: Connection,
    table: type[Base],
    key: Sequence[str],
    new: Sequence[dict[str, Any]],
    *returned: InstrumentedAttribute[Any],
) -> list[Row[Any]]:
    """Insert rows, or replace what those of the same key hold; a row's number stays.

    Returns:
        The columns `returned` of each row, in no order. Asking for them afterwards would be another search,
        which a database without statistics of a table that has just grown may do badly.
    """
    statement = insert(connection, table)
    replaced = {name: statement.excluded[name] for name in new[0] if name not in key}
    putting = statement.on_conflict_do_update(index_elements=key, set_=replaced)
    if returned:
        return list(connection.execute(putting.returning(*returned), new))
    connection.execute(putting, new)
    return []


def put_architectures(connection: Connection, architectures: Mapping[str, Architecture]) -> None:
    """Insert those of unknown digests."""
    # In one order everywhere: two transactions that share some never wait for each other.
    new = [
        {"digest": digest, "architecture": architecture.canonical_json()}
        for digest, architecture in sorted(architectures.items())
    ]
    if new:
        connection.execute(insert(connection, ArchitectureRow).on_conflict_do_nothing(), new)


def target_numbers(connection: Connection, texts: Iterable[str]) -> dict[str, int]:
    """Number of each target, which is given one where it has none."""
    wanted = sorted(texts)
    query = select(TargetRow.text, TargetRow.number).where(TargetRow.text.in_(wanted))
    known = {row.text: row.number for row in connection.execute(query)}
    new = [{"text": target} for target in wanted if target not in known]
    if new:
        connection.execute(insert(connection, TargetRow).on_conflict_do_nothing(), new)
        known = {row.text: row.number for row in connection.execute(query)}
    return known


def objective_numbers(connection: Connection, keys: Iterable[Key]) -> dict[Key, int]:
    """Number of each objective, which is given one where it has none."""
    wanted = sorted({(kind, target or "") for kind, target in keys})
    query = select(ObjectiveRow.__table__).where(ObjectiveRow.kind.in_({kind for kind, _ in wanted}))

    def known() -> dict[tuple[str, str], int]:
        return {(row.kind, row.target): row.number for row in connection.execute(query)}

    found = known()
    new = [{"kind": kind, "target": target} for kind, target in wanted if (kind, target) not in found]
    if new:
        connection.execute(insert(connection, ObjectiveRow).on_conflict_do_nothing(), new)
        found = known()
    return {(kind, target or None): found[kind, target] for kind, target in wanted}


def objective_keys(connection: Connection, numbers: Iterable[int]) -> dict[int, Key]:
    """Inverse of `objective_numbers`. Many rows share few objectives: joined to them, each row would carry
    their texts."""
    query = select(ObjectiveRow.number, ObjectiveRow.kind, ObjectiveRow.target)
    found = connection.execute(query.where(ObjectiveRow.number.in_(sorted(numbers))))
    return {number: (kind, target or None) for number, kind, target in found}


def of_digests(
    connection: Connection,
    query: Select[*tuple[Any, ...]],
    column: InstrumentedAttribute[str],
    digests: Iterable[str] | None,
) -> list[Row[Any]]:
    """The query's rows of those digests, of all where None; in no order."""
    if digests is None:
        return list(connection.execute(query))
    found: list[Row[Any]] = []
    for chunk in chunks(list(dict.fromkeys(digests))):
        found += connection.execute(query.where(column.in_(chunk)))
    return found


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Parts that one statement can name."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"
