"""Everything that `searchspaces.counted` counts is an objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nas.objectives.kind import Counted, register_objective
from searchspaces.counted import COUNTS, Count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from searchspaces.costs import CostModel
    from searchspaces.counted import Deployment
    from searchspaces.encoding import Population

__all__: list[str] = []


class _Counted(Counted):
    """Says what its definition says."""

    definition: ClassVar[Count]

    def __init_subclass__(cls) -> None:
        cls.unit, cls.label = cls.definition.unit, cls.definition.label
        cls.aliases, cls.per_target = cls.definition.aliases, cls.definition.by_dtype

    @classmethod
    def count(cls, costs: CostModel, population: Population, at: Deployment) -> NDArray[np.int64]:
        """See `Counted.count`."""
        return cls.definition.of(costs, population, at)


for _count in COUNTS:
    register_objective(_count.name)(type(_count.name, (_Counted,), {"definition": _count}))
