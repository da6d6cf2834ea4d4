"""Functions of an encoding as sums over layers and neighbouring layers, and their optima under bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.exact.chains import Chain, Part, without
from nas.exact.decomposition import Decomposition, Function
from nas.exact.solver import WORK, minimise
from searchspaces.encoding import Population

__all__ = ["AdditiveModel", "ModelOptimum"]

Array = NDArray[np.float64]

HELD_OUT = 256
"""Random candidates on which the deviation from the function is taken."""
EXACT = 1e-6


@dataclass(frozen=True)
class ModelOptimum:
    """What `AdditiveModel.optimum` found.

    Attributes:
        row: (genes,) canonical.
        values: (m,) by the model.
        gap: by how much, relative to its value, another row might still be better by the model; 0 if it is
            proved optimal.
    """

    row: NDArray[np.int64]
    values: Array
    gap: float


class AdditiveModel:
    """A function as a sum over layers and, gene by gene, over neighbouring layers.

    Attributes:
        deviation: (m,) root mean square difference to the function over random candidates, relative to
            its standard deviation there: 0, up to rounding, if the function is such a sum.

    Args:
        function: (n, genes) → (n, m).
    """

    def __init__(self, decomposition: Decomposition, function: Function, seed: int = 0) -> None:
        self._decomposition = decomposition
        self._chains = decomposition.chains(function)
        rows = decomposition.encoding.sample(HELD_OUT, np.random.default_rng(seed))
        values = function(rows)
        missed = np.sqrt(np.square(self.predict(rows) - values).mean(0))
        self.deviation: Array = missed / np.maximum(values.std(0), np.abs(values).mean(0) * EXACT + 1e-300)

    @property
    def exact(self) -> NDArray[np.bool_]:
        """(m,) whether the model is the function, up to rounding."""
        return self.deviation <= EXACT

    def predict(self, population: Population) -> Array:
        """(n, m) of canonical rows."""
        choices = self._decomposition.choices(population)
        return np.array([self._chains[setting].values(options) for setting, options in choices])

    def optimum(
        self, objective: int, bounds: Array, work: int = WORK, excluded: Population | None = None
    ) -> ModelOptimum | None:
        """The row with the least value of one objective by the model, no objective above its bound (m,),
        infinite for none. None if no row meets the bounds by the model, or none was found.

        Args:
            work: see `nas.exact.solver.minimise`.
            excluded: (e, genes) canonical rows that are not wanted, whatever the model says of them.
        """
        cut: dict[int, list[list[int]]] = {}
        if excluded is not None:
            for setting, choice in self._decomposition.choices(excluded):
                cut.setdefault(setting, []).append(choice)
        chains: list[Chain] = []
        parts: list[tuple[int, Part | None]] = []
        for setting, chain in enumerate(self._chains):
            left: list[Part | None] = [*without(chain, cut[setting])] if setting in cut else [None]
            chains += [chain if part is None else part.chain for part in left]
            parts += [(setting, part) for part in left]
        found, _ = minimise(chains, objective, bounds, work)
        if found is None:
            return None
        setting, of = parts[found.chain]
        options = found.options if of is None else of.whole(found.options)
        return ModelOptimum(self._decomposition.row(setting, options), found.values, found.gap)
