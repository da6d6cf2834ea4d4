"""A table of published latencies by its file, in whichever known format it is."""

from __future__ import annotations

from pathlib import Path

from predictors.errors import PredictorError
from predictors.tables import hat, hwgpt
from predictors.tables.columns import read_columns
from predictors.tables.table import Table

__all__ = ["read_table"]


def read_table(*paths: str | Path) -> Table:
    """A table in the format of HW-GPT-Bench (one file, a column a device) or of HAT (a file a device).

    Raises:
        PredictorError: the file is not such a table, or nothing in it is usable. Single rows and devices
            that are not usable are left out, and named in the table's notes.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise PredictorError("no table; accepted: one file, or several HAT files")
    columns = {path: read_columns(path) for path in files}
    first = columns[files[0]]
    if set(hwgpt.REQUIRED) <= set(first):
        if len(files) > 1:
            raise PredictorError(f"{len(files)} tables with a column a device; accepted: one at a time")
        return hwgpt.table(files[0].name, first)
    if set(hat.REQUIRED) <= set(first):
        return hat.table(columns)
    raise PredictorError(
        f"{files[0]}: neither the columns {list(hwgpt.REQUIRED)} and DEVICE:latency_ms, "
        f"nor {list(hat.REQUIRED)}"
    )
