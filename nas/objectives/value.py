"""What is known of one point in one objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from nas.objectives.kind import Observation
from nas.objectives.objective import Key

__all__ = ["Value", "Values", "refuse_nan", "values_from_dict", "values_to_dict"]


@dataclass(frozen=True, slots=True)
class Value:
    """A count, or what was predicted and what was measured; in the unit of its kind.

    Attributes:
        predicted: what the predictor said when the point was verified (before its own measurement taught
            it); of a count the count itself.
        predicted_std: its standard deviation; None of a count, which is exact.
        measured, measured_std: what the device said, and its standard error where it tells one, what its
            sessions differ by included (`nas.analysis.sessions`); None until it was asked.
        slowdown: times that the device was slower than undisturbed while it measured, by its control
            models; divided out of `measured`.
    """

    predicted: float
    predicted_std: float | None = None
    measured: float | None = None
    measured_std: float | None = None
    slowdown: float = 1.0

    def __post_init__(self) -> None:
        refuse_nan(self, ("predicted", "predicted_std", "measured", "measured_std", "slowdown"))

    @property
    def exact(self) -> bool:
        """Whether it is a count."""
        return self.predicted_std is None

    @property
    def best_known(self) -> float:
        """Measured where there is a measurement, else predicted."""
        return self.predicted if self.measured is None else self.measured

    def observed(self, observation: Observation) -> Value:
        """With what the device said."""
        said = observation
        return replace(self, measured=said.value, measured_std=said.std, slowdown=said.slowdown)

    def to_plain(self) -> Any:
        """A number of a count, a mapping of everything else."""
        if not self.exact:
            return asdict(self)
        return int(self.predicted) if self.predicted.is_integer() else self.predicted

    @classmethod
    def from_plain(cls, plain: Any) -> Value:
        """Inverse of `to_plain`."""
        return cls(**plain) if isinstance(plain, Mapping) else cls(float(plain))


Values = Mapping[Key, Value]
"""Of one point, by kind and target."""


def values_to_dict(values: Values) -> dict[str, Any]:
    """Plain data by the name of the kind; of kinds that are of targets, by the target's text in turn."""
    document: dict[str, Any] = {}
    for (kind, target), value in values.items():
        if target is None:
            document[kind] = value.to_plain()
        else:
            document.setdefault(kind, {})[target] = value.to_plain()
    return document


def values_from_dict(document: Mapping[str, Any]) -> dict[Key, Value]:
    """Inverse of `values_to_dict`."""
    values: dict[Key, Value] = {}
    for kind, known in document.items():
        if isinstance(known, Mapping):
            values |= {(kind, target): Value.from_plain(plain) for target, plain in known.items()}
        else:
            values[kind, None] = Value.from_plain(known)
    return values


def refuse_nan(noun: object, names: tuple[str, ...]) -> None:
    """Raise where one of a noun's numbers is none.

    Raises:
        ValueError: the first is named.
    """
    for name in names:
        value = getattr(noun, name)
        if value != value:  # NaN alone; a front asks this of thousands
            raise ValueError(f"{name} is NaN; accepted: a number, or None for what is not known")
