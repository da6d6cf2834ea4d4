"""Reading a CSV file, gzipped or not, into named columns of text; every defect of its form is an error."""

from __future__ import annotations

import csv
import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictors.errors import PredictorError

__all__ = ["Columns", "numbers", "read_columns"]

Columns = dict[str, list[str]]


def read_columns(path: Path) -> Columns:
    """Columns by name.

    Raises:
        PredictorError: the file cannot be read, its header names a column twice or not at all, or a row has
            more or fewer cells than the header.
    """
    try:
        if path.exists() and not path.is_file():  # a device or a FIFO never ends
            raise PredictorError(f"{path}: is not a regular file; accepted: a table in CSV, gzipped or not")
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
        rows = list(csv.reader(text.splitlines()))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise PredictorError(f"{path}: cannot be read as CSV: {error}") from error
    if len(rows) < 2:
        raise PredictorError(f"{path}: no rows; accepted: a header and at least one row")
    header = [name.strip() for name in rows[0]]
    wrong = sorted({name or "(no name)" for name in header if not name or header.count(name) > 1})
    if wrong:
        raise PredictorError(f"{path}: columns without a name, or of the same name: {wrong}")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise PredictorError(f"{path}: line {number} has {len(row)} cells, the header {len(header)}")
    return {name: list(cells) for name, cells in zip(header, zip(*rows[1:], strict=True), strict=True)}


def numbers(columns: Columns, name: str) -> NDArray[np.float64]:
    """(rows,) one column as numbers; NaN where a cell is empty or is no number."""

    def number(cell: str) -> float:
        try:
            return float(cell)
        except ValueError:
            return float("nan")

    return np.array([number(cell) for cell in columns[name]])
