"""A point: one architecture with everything that is known of it in a job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from nas.objectives import Objective, Source
from nas.objectives.quality import FINE_TUNED, QUALITY, TEST
from nas.objectives.value import Value, Values, refuse_nan, values_from_dict, values_to_dict
from searchspaces.architecture import Architecture
from workers.target import Target

__all__ = ["QUALITIES", "SCORES", "Fidelity", "FineTuned", "Point"]


class Fidelity(StrEnum):
    """What a candidate's quality is measured with, the cheapest first: the supernet's weights, these after a
    few steps of its own, its own weights trained from scratch."""

    SUPERNET = "supernet"
    TUNED = "fine-tuned"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A point's own weights, which went on from its supernet's or were trained alone from the start.

    Attributes:
        weights: digest that names them, as a supernet's names its own.
        steps: optimiser steps of its own.
        validation, test: as a point's, with these weights.
    """

    weights: str
    steps: int
    validation: float
    test: float | None = None

    def __post_init__(self) -> None:
        refuse_nan(self, ("validation", "test"))


@dataclass(frozen=True, slots=True)
class Point:
    """One architecture with everything that is known of it in a job.

    Attributes:
        validation, test: the task's metric on each split with the supernet's weights; None where not
            evaluated; test is what the search never saw.
        values: counted, predicted and measured, by kind of objective and target. Under quality the metric on
            the validation split once trained alone, as it is delivered: measured of what was trained so,
            predicted of every other point of its job; absent where the job has too few of the former. Under
            `FINE_TUNED` likewise what it scores on the rung below, where the job has one. Under
            quality and `TEST` of a target the same of the file that runs there, converted to the target's
            number format: measured where it was evaluated so, else predicted; absent where all of a job's
            targets compute in the number format of training, or nothing is known of conversion yet.
        preset: name of the published design that it is, or None.
        on_front: not dominated by any point of the job, by measured values where there are some.
        tuned: None where it has no weights of its own, or was no better for them.
    """

    digest: str
    architecture: Architecture
    validation: float | None
    test: float | None
    values: Values = field(default_factory=dict)
    preset: str | None = None
    on_front: bool = False
    tuned: FineTuned | None = None

    def __post_init__(self) -> None:
        refuse_nan(self, ("validation", "test"))

    @property
    def verified(self) -> bool:
        """Whether its quality was evaluated and it was measured on every target. A measurement tells all
        that its device can."""
        targets = {
            target
            for (kind, target), value in self.values.items()
            if target and kind not in SCORES and not value.exact
        }
        return self.validation is not None and all(map(self._measured_on, targets))

    @property
    def delivered(self) -> Value | None:
        """Quality once trained alone: see `values`."""
        return self.values.get((QUALITY, None))

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """What its quality was measured with; `quality` may be predicted from these and from others'."""
        tuned = self.values.get((FINE_TUNED, None))
        known = {
            Fidelity.SUPERNET: self.validation is not None,
            Fidelity.TUNED: tuned is not None and tuned.measured is not None,
            Fidelity.ALONE: self.delivered is not None and self.delivered.measured is not None,
        }
        return tuple(fidelity for fidelity in Fidelity if known[fidelity])

    @property
    def quality(self) -> float | None:
        """On the validation split, before any conversion, at the highest fidelity that all points of a job
        have: as it is delivered, measured or predicted, where that is known, else with the supernet's
        weights."""
        return self.validation if self.delivered is None else self.delivered.best_known

    @property
    def converted(self) -> dict[str, Value]:
        """Quality of the file that runs on each target, by its text: see `values`."""
        return {target: value for (kind, target), value in self.values.items() if kind == QUALITY and target}

    def quality_on(self, target: Target) -> float | None:
        """`quality` of the file that runs on a target."""
        value = self.known(QUALITY, target)
        return self.quality if value is None else value.best_known

    def without_other_targets(self, target: Target) -> Point:
        """As if it had to serve this target alone: its quality is that of the file which runs there."""
        text = str(target)
        kept = {key: v for key, v in self.values.items() if key[0] not in SCORES or key[1] in (None, text)}
        return self if len(kept) == len(self.values) else replace(self, values=kept)

    def measured_on(self, target: Target) -> bool:
        """Whether a device has said anything of it there."""
        return self._measured_on(str(target))

    def _measured_on(self, text: str | None) -> bool:
        return any(
            value.measured is not None
            for (kind, target), value in self.values.items()
            if target == text and kind not in SCORES
        )

    def known(self, kind: str, target: Target | None = None) -> Value | None:
        """What is known of it in one kind of objective, on a target where values are of targets."""
        return self.values.get((kind, None if target is None else str(target)))

    def value(self, objective: Objective) -> float:
        """The objective's value, measured where it can be; NaN where it is unknown. Quality is that on the
        target where it is worst: one model serves all of them."""
        if objective.source is Source.EVALUATED:
            if converted := self.converted:
                sign = objective.direction.sign
                return sign * max(sign * value.best_known for value in converted.values())
            return math.nan if self.quality is None else self.quality
        value = self.values.get(objective.key)
        return math.nan if value is None else value.best_known

    def to_dict(self) -> dict[str, Any]:
        """Plain data; see `docs/design.md`. Each kind of objective has a key of its name."""
        others = {key: value for key, value in self.values.items() if key[0] not in QUALITIES}
        rungs = {name: self.values.get((kind, None)) for kind, name in _RUNGS.items()}
        converted: dict[str, dict[str, Any]] = {}
        for (kind, target), value in self.values.items():
            if target and kind in SCORES:
                converted.setdefault(target, {})[SCORES[kind]] = value.to_plain()
        return {
            "digest": self.digest,
            "architecture": self.architecture.to_dict(),
            "quality": {
                "validation": self.validation,
                "test": self.test,
                **{name: None if value is None else value.to_plain() for name, value in rungs.items()},
                "converted": converted,
                "fidelities": [str(fidelity) for fidelity in self.fidelities],
            },
            **values_to_dict(others),
            "preset": self.preset,
            "on_front": self.on_front,
            "tuned": None if self.tuned is None else asdict(self.tuned),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Point:
        """Inverse of `to_dict`."""
        values = values_from_dict({name: data[name] for name in data.keys() - _OTHER_KEYS})
        for kind, name in _RUNGS.items():
            if data["quality"].get(name) is not None:
                values[kind, None] = Value.from_plain(data["quality"][name])
        for target, known in data["quality"].get("converted", {}).items():
            values |= {(kind, target): Value.from_plain(known[s]) for kind, s in SCORES.items() if s in known}
        return cls(
            digest=data["digest"],
            architecture=Architecture.from_dict(data["architecture"]),
            validation=data["quality"]["validation"],
            test=data["quality"]["test"],
            values=values,
            preset=data["preset"],
            on_front=data["on_front"],
            tuned=None if data["tuned"] is None else FineTuned(**data["tuned"]),
        )


SCORES = {QUALITY: "validation", TEST: "test"}
"""Kinds of values that no device tells, and the split that a point's document calls them by."""

QUALITIES = {*SCORES, FINE_TUNED}
"""All kinds of values that no device tells."""

_RUNGS = {FINE_TUNED: "fine_tuned", QUALITY: "delivered"}
"""Of what is scored with weights of a point's own, by kind, and what a point's document calls it."""

_OTHER_KEYS = {"digest", "architecture", "quality", "preset", "on_front", "tuned"}
"""Of a point's document; all others are kinds of objectives."""
