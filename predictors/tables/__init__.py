"""Tables of published latencies: read with every defect named, described as designs."""

from predictors.tables.table import DeviceRows, Table, read_table

__all__ = ["DeviceRows", "Table", "read_table"]
