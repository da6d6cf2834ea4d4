"""A table of measured latencies: one design, and for each device its rows in measured order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from predictors.design import Design
from searchspaces.encoding import Population

__all__ = ["DeviceRows", "Table", "device_rows"]

Vector = NDArray[np.float64]
FEWEST = 30
"""Fewest usable rows of a device to test on."""
DISTINCT = 0.9
"""Share of the places in an order that are no other row's: published orders have a few twice."""


@dataclass(frozen=True)
class DeviceRows:
    """What one device measured, in the order in which it did.

    Attributes:
        population: (n, genes) of the table's design.
        latency_ms: (n,) finite and above 0.
        ordered: whether the table says in which order rows were measured.
    """

    population: Population
    latency_ms: Vector
    ordered: bool


@dataclass(frozen=True)
class Table:
    """Latencies of one space on several devices.

    Attributes:
        name: of the file or files.
        design: describes the populations.
        devices: by name.
        notes: every row, column and device that was left out, and why.
    """

    name: str
    design: Design
    devices: Mapping[str, DeviceRows]
    notes: tuple[str, ...]

    def only(self, devices: Sequence[str]) -> Table:
        """The table of these devices, which it has."""
        return replace(self, devices={name: self.devices[name] for name in devices})


def device_rows(
    device: str, population: Population, latency: Vector, order: Vector | None, notes: list[str]
) -> DeviceRows | None:
    """A device's usable rows, sorted by measured order; None where it has too few, or one latency for all.
    What is left out is added to `notes`."""
    usable = np.isfinite(latency) & (latency > 0)
    empty, bad = int(np.isnan(latency).sum()), int((~usable & ~np.isnan(latency)).sum())
    if empty:
        notes.append(f"{device}: {empty} of {len(latency)} rows have no latency and are left out")
    if bad:
        notes.append(f"{device}: {bad} rows with zero, negative or infinite latency are left out")
    if usable.sum() < FEWEST:
        notes.append(f"{device}: left out: {usable.sum()} usable rows; accepted: at least {FEWEST}")
        return None
    if np.ptp(latency[usable]) == 0:
        notes.append(f"{device}: left out: every row has the same latency, {latency[usable][0]} ms")
        return None
    if order is not None and not np.isfinite(order[usable]).all():
        notes.append(f"{device}: its order has gaps, so rows count as unordered")
        order = None
    if order is not None and len(np.unique(order[usable])) < DISTINCT * usable.sum():
        notes.append(f"{device}: its order has the same places again and again, so rows count as unordered")
        order = None
    kept = np.flatnonzero(usable)
    if order is not None:
        kept = kept[np.argsort(order[kept], kind="stable")]
    return DeviceRows(population[kept], latency[kept], order is not None)
