"""What can be an objective or be bounded: one kind a file, registered once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from nas.objectives.objective import Direction, Key, Objective, Source
from searchspaces.registry import Registry
from workers.target import Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from searchspaces.costs import CostModel
    from searchspaces.counted import Deployment
    from searchspaces.encoding import Population
    from workers.measurement import Measurement

__all__ = [
    "OBJECTIVES",
    "Combined",
    "Counted",
    "Measured",
    "ObjectiveKind",
    "Observation",
    "combined_kinds",
    "counted_kinds",
    "measured_kinds",
    "objective_kinds",
    "register_objective",
]


class ObjectiveKind(ABC):
    """Something about an architecture that a job may optimise, bound and show.

    Its class says all that anybody asks: registering one brings it into job files, bounds, points, the
    store, the wire, documents and reports, and enrols it in the contract suite
    `tests/nas/objectives/test_objective_contract.py`.

    Attributes:
        name: set by `register_objective`; names carry the unit where there is one: ``"latency_ms"``.
        unit: of the values, as documents say it. Reports write milliseconds, bytes and counts each in their
            way, and any other unit as a plain number.
        label: as people read it: ``"latency"``.
        aliases: other names that people write.
        source: where values come from.
        per_target: whether each target has a value of its own.
        direction: which way is better.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    label: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    source: ClassVar[Source]
    per_target: ClassVar[bool]
    direction: ClassVar[Direction] = Direction.MIN

    @classmethod
    def axes(cls, targets: Sequence[Target]) -> list[Objective]:
        """What it is in a job of these targets: one objective, or one a target, in their order.

        Of a single target it has the kind's name, of several ``NAME@DEVICE``, and ``NAME@TARGET`` where a
        device has more than one of them.
        """
        if not cls.per_target:
            return [Objective(cls.name, cls.unit, cls.direction, cls.source)]
        devices = [target.device for target in targets]

        def name(target: Target) -> str:
            where = target.device if devices.count(target.device) == 1 else target
            return cls.name if len(targets) == 1 else f"{cls.name}@{where}"

        return [Objective(name(t), cls.unit, cls.direction, cls.source, target=t) for t in targets]


class Counted(ObjectiveKind):
    """Exact arithmetic on the architecture."""

    source = Source.COUNTED

    @classmethod
    @abstractmethod
    def count(cls, costs: CostModel, population: Population, at: Deployment) -> NDArray[np.int64]:
        """(n,) values of (n, genes) architectures; exact below 2⁵³."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a measurement says of one kind.

    Attributes:
        std: standard error of `value`; None where the device does not tell.
        slowdown: divided out of `value`, see `workers.measurement.Measurement`.
    """

    value: float
    std: float | None = None
    slowdown: float = 1.0

    def in_any_session(self, apart: float) -> Observation:
        """With the standard error that it has as a number of the device, whose sessions differ by a relative
        standard deviation of `apart`, rather than of the one session that it was taken in."""
        return self if self.std is None else replace(self, std=math.hypot(self.std, apart * self.value))


class Measured(ObjectiveKind):
    """What devices measure, and predictors predict for every other architecture: always of a target.

    Attributes:
        predictor: registered name of the predictor that learns it; the job's own where None.
    """

    source = Source.PREDICTED
    per_target = True
    predictor: ClassVar[str | None] = None

    @classmethod
    @abstractmethod
    def observed(cls, measurement: Measurement) -> Observation | None:
        """What the measurement says of it, above 0; None where the device could not tell."""


class Combined(ObjectiveKind):
    """A sum of what devices measure, on several targets: predicted and measured wherever its terms are."""

    source = Source.PREDICTED
    per_target = True

    @classmethod
    @abstractmethod
    def terms(cls, target: Target, targets: Sequence[Target], generated: int) -> list[tuple[float, Key]]:
        """Factors, and what they multiply, of one of its `axes` in a job of these targets.

        Args:
            target: the axis's.
            generated: tokens that follow a prompt.
        """


OBJECTIVES: Registry[ObjectiveKind] = Registry(ObjectiveKind, "nas.objectives", "objective", "nas.objectives")
register_objective = OBJECTIVES.register
objective_kinds = OBJECTIVES.classes


def counted_kinds() -> list[type[Counted]]:
    """Those that are counted."""
    return [kind for kind in objective_kinds().values() if issubclass(kind, Counted)]


def combined_kinds() -> list[type[Combined]]:
    """Those that are sums of what devices measure."""
    return [kind for kind in objective_kinds().values() if issubclass(kind, Combined)]


def measured_kinds() -> list[type[Measured]]:
    """Those that devices measure."""
    return [kind for kind in objective_kinds().values() if issubclass(kind, Measured)]
