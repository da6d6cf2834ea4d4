"""A job as a Parquet file, for data frames."""

from __future__ import annotations

from typing import Any

import pyarrow
from pyarrow import parquet

from nas.errors import StoreUnavailable
from nas.exchange.exporters import facts, genes
from nas.front import Front

__all__ = ["export"]


def export(front: Front, out: str) -> str:
    """A row for each candidate: its genes, and everything that is known of it; the file says the job.

    Raises:
        StoreUnavailable: the file cannot be written.
    """
    rows: list[dict[str, Any]] = [
        {
            "digest": point.digest,
            "preset": point.preset,
            "on_front": point.on_front,
            **genes(point),
            **dict(facts(point)),
            "architecture": point.architecture.canonical_json(),
        }
        for point in front.points
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    said = {"job": front.job, "space": front.space, "task": front.task, "metric": front.metric}
    try:
        parquet.write_table(table.replace_schema_metadata(said), out)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {out}: {error.strerror or error}") from error
    return f"{table.num_rows} rows, {table.num_columns} columns"
