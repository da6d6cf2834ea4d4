"""Tables of HW-GPT-Bench (Sukthanker et al., 2024): elastic GPTs, one row an architecture, a column a device.

Its models have gated feed-forward blocks and heads of a fixed size, so the heads of a layer widen its
projections.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError, model_validator

from predictors.design import Matrix, SpaceDesign
from predictors.errors import PredictorError
from predictors.tables.columns import Columns, numbers
from predictors.tables.table import Table, device_rows
from searchspaces.costs import WORK
from searchspaces.declaration import SpaceSpec
from searchspaces.encoding import Population
from searchspaces.space import SearchSpace
from searchspaces.validation import problems_of
from workers.target import Workload

__all__ = ["LATENCY", "REQUIRED", "CovariateDesign", "Rows", "TableSpaceSpec", "readable_rows", "table"]

REQUIRED = ("embed_dim", "n_layer", "n_head", "mlp_ratio")
RESULTS = ("flops", "params", "perplexity", "accuracy")
"""Columns that say how an architecture did, not what it is."""
LATENCY, ORDER = ":latency_ms", ":order"
HEAD_SIZE = 64
WORKLOAD = Workload(tokens=1024)
MOST_OPTIONS = 16
"""A further column with at most so many values describes architectures; with more it is an unknown result."""

MOST_SIZES = 64
"""Sizes of one kind in a space: a column with more holds something else than its header says."""


class TableSpaceSpec(SpaceSpec):
    """A space in the project's own format whose heads have a size of their own: any number of them fits
    any width. Such spaces are costed and predicted, never built."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> TableSpaceSpec:
        return self


class CovariateDesign(SpaceDesign):
    """A space's blocks, and for each further column of a table what it adds to every layer.

    A population has the space's genes, then one column a covariate: the index of its value.

    Args:
        space: of the architectures.
        covariates: values by name, in the order of their indices.
    """

    def __init__(self, space: SearchSpace, covariates: dict[str, tuple[float, ...]]) -> None:
        super().__init__(space, WORKLOAD, HEAD_SIZE)
        self._values = [np.asarray(values) - min(values) for values in covariates.values()]
        added = [(name, width) for name in covariates for width in space.spec.width]
        self._widths = [width for _, width in added]
        self.names += tuple(f"{name}/d{width}" for name, width in added)
        self.families += tuple(f"covariate/{name}" for name, _ in added)

    def counts(self, population: Population) -> Matrix:
        """(n, blocks + covariates × widths): blocks, then layers × covariate in the column of its width."""
        genes = population[:, : self.space.genes]
        depth = self.space.layer_view(genes)[1].sum(1)
        width = np.eye(len(self.space.spec.width))[genes[:, 0]]
        added = [
            width * (depth * values[population[:, self.space.genes + i]])[:, None]
            for i, values in enumerate(self._values)
        ]
        return np.concatenate([super().counts(genes), *added], axis=1)

    @property
    def work(self) -> Matrix:
        """As of the space; a covariate counts as one elementwise pass over a layer's activations."""
        added = np.zeros((len(self._widths), len(WORK)))
        added[:, WORK.index("elementwise_elements")] = WORKLOAD.tokens * np.asarray(self._widths)
        return np.concatenate([super().work, added])

    def flat(self, population: Population) -> Matrix:
        """As of the space, and the covariates."""
        genes = self.space.genes
        added = [values[population[:, genes + i], None] for i, values in enumerate(self._values)]
        return np.concatenate([super().flat(population[:, :genes]), *added], axis=1)


@dataclass(frozen=True)
class Rows:
    """The rows of a table whose architecture can be read.

    Attributes:
        space: that the architectures span, in the project's own format.
        covariates: values of each further column that describes architectures.
        population: (n, genes + covariates), see `CovariateDesign`.
        columns: what else the table says of these rows.
        notes: what was left out, and why.
    """

    space: SearchSpace
    covariates: dict[str, tuple[float, ...]]
    population: Population
    columns: Columns
    notes: tuple[str, ...]


def readable_rows(name: str, columns: Columns, among: Sequence[int] | None = None) -> Rows:
    """The architectures of one file, in the order of its lines.

    Args:
        among: numbers of the rows that count, rising; all where None.

    Raises:
        PredictorError: no usable row, or a space that the columns cannot mean.
    """
    notes: list[str] = []
    kept, layers = _readable(name, columns, range(len(columns["n_layer"])) if among is None else among, notes)
    columns = {key: [cells[i] for i in kept] for key, cells in columns.items()}
    covariates = _covariates(columns, notes)
    space = _space(name, columns, layers)
    return Rows(space, covariates, _population(space, columns, layers, covariates), columns, tuple(notes))


def table(name: str, columns: Columns) -> Table:
    """The table of one file.

    Raises:
        PredictorError: no device, no usable row, or a space that the columns cannot mean.
    """
    devices = [column.removesuffix(LATENCY) for column in columns if column.endswith(LATENCY)]
    if not all(devices) or not devices:
        raise PredictorError(f"{name}: no column DEVICE{LATENCY}, or one that names no device")
    readable = readable_rows(name, columns)
    columns, notes = readable.columns, list(readable.notes)
    rows = {}
    for device in devices:
        order = numbers(columns, device + ORDER) if device + ORDER in columns else None
        if order is not None and np.isnan(order).all():
            order = None
        found = device_rows(device, readable.population, numbers(columns, device + LATENCY), order, notes)
        if found is not None:
            rows[device] = found
    if not rows:
        raise PredictorError(f"{name}: no device is usable: {'; '.join(notes)}")
    return Table(name, CovariateDesign(readable.space, readable.covariates), rows, tuple(notes))


_Layers = list[tuple[list[int], list[float]]]


def _readable(
    name: str, columns: Columns, among: Sequence[int], notes: list[str]
) -> tuple[list[int], _Layers]:
    """Rows whose architecture can be read, with each layer's heads and ratio."""
    kept: list[int] = []
    layers: _Layers = []
    first = ""
    for i in among:
        width, depth, heads, ratios = (columns[column][i] for column in REQUIRED)
        try:
            read = [int(h) for h in heads.split("-")], [float(r) for r in ratios.split("-")]
            sizes = int(width), int(depth)
        except ValueError as error:
            first = first or f"line {i + 2}: {error}"
            continue
        if not sizes[1] == len(read[0]) == len(read[1]):
            first = first or (
                f"line {i + 2}: n_layer {sizes[1]}, but {len(read[0])} heads and {len(read[1])} ratios"
            )
            continue
        if not all(0 < size < math.inf for size in (*sizes, *read[0], *read[1])):
            first = first or f"line {i + 2}: {width}, {depth}, {heads}, {ratios}; accepted: sizes above 0"
            continue
        kept.append(i)
        layers.append(read)
    left_out = len(among) - len(kept)
    if left_out:
        notes.append(f"{left_out} rows whose architecture cannot be read are left out (first: {first})")
    if not kept:
        raise PredictorError(f"{name}: no row's architecture can be read; first: {first}")
    return kept, layers


def _covariates(columns: Columns, notes: list[str]) -> dict[str, tuple[float, ...]]:
    found = {}
    for column in columns:
        if column in REQUIRED or column in RESULTS or _of_device(column, columns):
            continue
        values = numbers(columns, column)
        options = np.unique(values)
        if np.isfinite(values).all() and 2 <= len(options) <= MOST_OPTIONS:
            found[column] = tuple(options.tolist())
        else:
            what = "is constant" if len(options) == 1 else f"has gaps or more than {MOST_OPTIONS} values"
            notes.append(f"column {column} {what} and is not used")
    return found


def _of_device(column: str, columns: Columns) -> bool:
    """Whether the column is one of a device that has latencies: those, their order or their spread."""
    return column.partition(":")[0] + LATENCY in columns


def _space(name: str, columns: Columns, layers: _Layers) -> SearchSpace:
    declaration: dict[str, Any] = {
        "name": "table",
        "vocabulary": 50257,
        "context": WORKLOAD.tokens,
        "width": sorted({int(d) for d in columns["embed_dim"]}),
        "depth": sorted({int(d) for d in columns["n_layer"]}),
        "layer": {
            "mixer": ["softmax"],
            "heads": sorted({h for heads, _ in layers for h in heads}),
            "channel": ["mlp"],
            "ratio": sorted({r for _, ratios in layers for r in ratios}),
        },
    }
    options = {
        "embed_dim": declaration["width"],
        "n_layer": declaration["depth"],
        "n_head": declaration["layer"]["heads"],
        "mlp_ratio": declaration["layer"]["ratio"],
    }
    for column, sizes in options.items():
        if len(sizes) > MOST_SIZES:
            raise PredictorError(
                f"{name}: column {column} has {len(sizes)} sizes, {sizes[0]} to {sizes[-1]}; accepted: "
                f"at most {MOST_SIZES}: does the header name the right column?"
            )
    try:
        return SearchSpace(TableSpaceSpec.model_validate(declaration))
    except ValidationError as error:
        problems = "; ".join(map(str, problems_of(error, TableSpaceSpec, "space")))
        raise PredictorError(f"{name}: its columns make no space: {problems}") from error


def _population(
    space: SearchSpace, columns: Columns, layers: _Layers, covariates: dict[str, tuple[float, ...]]
) -> Population:
    spec = space.spec
    heads = {h: i for i, h in enumerate(spec.layer.heads)}
    ratios = {r: i for i, r in enumerate(spec.layer.ratio)}
    rows = np.zeros((len(layers), space.genes + len(covariates)), np.int64)
    rows[:, 0] = [spec.width.index(int(d)) for d in columns["embed_dim"]]
    rows[:, 1] = [spec.depth.index(int(d)) for d in columns["n_layer"]]
    for row, (own_heads, own_ratios) in zip(rows, layers, strict=True):
        depth = len(own_heads)
        row[3 : 2 + 4 * depth : 4] = [heads[h] for h in own_heads]
        row[5 : 2 + 4 * depth : 4] = [ratios[r] for r in own_ratios]
    for i, (column, options) in enumerate(covariates.items()):
        rows[:, space.genes + i] = np.searchsorted(options, numbers(columns, column))
    return rows
