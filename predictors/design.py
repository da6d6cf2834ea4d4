"""What a predictor sees of an architecture: counted blocks, their counted work, and plain features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from searchspaces.costs import CostModel
from searchspaces.declaration import LAYER_GENES, OUTER_GENES
from searchspaces.encoding import Population
from searchspaces.space import SearchSpace
from workers.target import Phase, Workload

__all__ = ["Design", "Matrix", "SpaceDesign", "standardisation"]

Matrix = NDArray[np.float64]


def standardisation(features: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(features,) centres and (features,) scales that give (n, features) mean 0 and deviation 1.

    What never varied keeps its unit: a row that differs there shall not lie a billion deviations away.
    """
    centre, deviation = features.mean(0), features.std(0)
    varies = deviation > 1e-9 * np.abs(features).max(0)
    return centre, np.where(varies, deviation, 1.0)


class Design(ABC):
    """A linear description of a population: latency is about `counts(population) @ coefficients`.

    Attributes:
        names: one name a term (column of `counts`), unique and stable.
        families: one name a term; terms of one family are expected to err alike (say, the same mixer
            with other heads).
    """

    names: tuple[str, ...]
    families: tuple[str, ...]

    @abstractmethod
    def counts(self, population: Population) -> Matrix:
        """(n, terms) how much of each term a row contains, ≥ 0."""

    def single_blocks(self, population: Population) -> NDArray[np.bool_]:
        """(n,) which rows are single blocks, measured for what they tell of the others: all of them may take
        more, or less, than their terms do in whole models, by one factor."""
        return np.zeros(len(population), bool)

    @property
    @abstractmethod
    def work(self) -> Matrix:
        """(terms, len(searchspaces.costs.WORK)) counted work of one unit of each term."""

    @abstractmethod
    def flat(self, population: Population) -> Matrix:
        """(n, features) numbers for predictors that know nothing of blocks: sizes and their means over
        layers."""

    def total_work(self, population: Population) -> Matrix:
        """(n, len(WORK)) counted work of each row."""
        return self.counts(population) @ self.work


class SpaceDesign(Design):
    """The blocks of a search space under one workload.

    Args:
        space: whose populations are described.
        workload: prefill or decode, batch and tokens; decides the counted work.
        head_size: see `searchspaces.costs.CostModel`.
    """

    def __init__(self, space: SearchSpace, workload: Workload, head_size: int = 0) -> None:
        self.space = space
        self.workload = workload
        self.costs = CostModel(space, head_size)
        self.names = self.costs.names
        self.families = tuple(f"{block.role}/{block.option}" for block in self.costs.blocks)

    def counts(self, population: Population) -> Matrix:
        """(n, blocks) as float."""
        return self.costs.counts(population).astype(float)

    def single_blocks(self, population: Population) -> NDArray[np.bool_]:
        """See `Design.single_blocks`."""
        return ~self.space.is_member(population)

    @cached_property
    def work(self) -> Matrix:
        """(blocks, len(WORK)) under the workload."""
        table = self.costs.step_work if self.workload.phase is Phase.DECODE else self.costs.prefill_work
        return table(self.workload.tokens, self.workload.batch)

    def flat(self, population: Population) -> Matrix:
        """(n, features) D, L, for every layer option its share of layers and the mean ratio, and which stem
        and readout stand around them where there are several."""
        spec, layer = self.space.spec, self.space.spec.layer
        layers, active = self.space.layer_view(population)
        depth = active.sum(1)
        columns = [np.asarray(spec.width)[population[:, 0]], depth]
        shared = [gene for gene in LAYER_GENES if gene in self.space.layer_columns and gene != "ratio"]
        for gene in shared:
            indices = layers[:, :, LAYER_GENES.index(gene)]
            options = range(len(getattr(layer, gene)))
            columns += [((indices == option) & active).sum(1) / depth for option in options]
        ratios = np.asarray(layer.ratio)[layers[:, :, 3]] * active
        columns.append(ratios.sum(1) / depth)
        outer = self.space.outer_view(population)
        for gene in self.space.outer_columns:
            indices = outer[:, OUTER_GENES.index(gene)]
            columns += [indices == option for option in range(len(getattr(spec, gene)))]
        return np.stack(columns, axis=1).astype(float)
