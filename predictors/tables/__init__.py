"""Tables of published latencies: read with every defect named, described as designs."""

from predictors.tables.reading import read_table
from predictors.tables.table import DeviceRows, Table

__all__ = ["DeviceRows", "Table", "read_table"]
