"""What each stage of a job may spend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nas.spec.fields import Count, PositiveFloat, PositiveInt, Seed, Share, Size, Spec
from searchspaces.numbers import NO_TRUTH

__all__ = [
    "HEAL",
    "RECIPE",
    "Budget",
    "CalibrateBudget",
    "FinalistBudget",
    "LibraryBudget",
    "ProfileBudget",
    "SearchBudget",
    "TrainBudget",
    "VerifyBudget",
]

FEWEST_MEASURED = 16

_POSITIVE = TypeAdapter(PositiveInt)


class ProfileBudget(Spec):
    """How much to measure before searching.

    Attributes:
        measurements: at most this many architectures a target, single blocks included, besides the held-out
            ones.
        minimum: measure at least this many before the tolerance may end profiling.
        holdout: held-out architectures, which only test the predictor.
        tolerance: stop once the held-out mean absolute relative error is at most this.
        predictor: registered name.
    """

    measurements: PositiveInt = 48
    minimum: PositiveInt = FEWEST_MEASURED
    holdout: PositiveInt = 16
    tolerance: PositiveFloat = 0.04
    predictor: str = "auto"

    @model_validator(mode="before")
    @classmethod
    def _minimum_follows(cls, data: Any) -> Any:
        """Where only the most is said, the least is no more than that."""
        if not isinstance(data, Mapping) or "measurements" not in data or "minimum" in data:
            return data
        try:
            most = _POSITIVE.validate_python(data["measurements"])
        except ValidationError:  # which is told of the field itself
            return data
        return {**data, "minimum": min(FEWEST_MEASURED, most)}

    @model_validator(mode="after")
    def _minimum_is_below(self) -> ProfileBudget:
        if self.minimum > self.measurements:
            raise ValueError(
                f"minimum {self.minimum} is above measurements {self.measurements}; accepted: at most that"
            )
        return self


RECIPE = 2
"""Of today's supernets: families of mixers have queries and keys of their own and are drawn equally often."""


class TrainBudget(Spec):
    """How the supernet is trained.

    Attributes:
        steps: optimiser steps.
        batch: B, sequences a step.
        learning_rate: peak of the warm-up and cosine schedule, of the matrices, which Muon optimises;
            embeddings and norms learn at a third of it.
        sandwich: train the largest, the smallest and random architectures in every step, rather than
            one random architecture (Yu et al., 2019).
        seed: of the initial weights, the batches and the sampled architectures; the job's where None.
        processes: that share every batch (data-parallel, on Ray Train), at most one a sequence; 1 trains in
            the process that runs the job. Written `workers` in earlier specs.
        recipe: what weights mean and how architectures are drawn: `RECIPE`, or 1, by which jobs of before
            were trained, whose supernets are used as they are and no longer trained.
    """

    steps: PositiveInt = 1000
    batch: PositiveInt = 16
    learning_rate: PositiveFloat = 0.03
    sandwich: bool = False
    seed: Seed | None = None
    processes: PositiveInt = Field(default=1, validation_alias=AliasChoices("processes", "workers"))
    recipe: Annotated[int, NO_TRUTH] = Field(default=RECIPE, ge=1, le=RECIPE)

    @field_validator("processes")
    @classmethod
    def _each_has_a_sequence(cls, processes: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch", processes)
        if processes > batch:
            raise ValueError(f"{processes} processes cannot share a batch of {batch}; accepted: 1 to {batch}")
        return processes

    def identity(self) -> dict[str, Any]:
        """Plain data that the weights follow from. Not `processes`: they change the order of sums alone, and
        a training may go on with another number of them."""
        unsaid = {"processes"} | ({"recipe"} if self.recipe == 1 else set())
        return self.model_dump(mode="json", exclude=unsaid)


class SearchBudget(Spec):
    """How long to search.

    Attributes:
        evaluations: candidates whose quality the supernet is asked for, presets included; with several
            fidelities, what they may cost in whole evaluations.
        minutes: of wall time, after which no further ones are asked for, however few there were; None for no
            such limit.
        batch: candidates under evaluation at once.
        strategy: registered name.
        fidelities: shares of the validation split that a candidate may be scored on, rising, the last one 1.
            With more than one the strategy screens candidates cheaply; only those scored on all of it become
            points. At least one sequence is scored: a share that is finer costs more than it counts.
    """

    evaluations: PositiveInt = 160
    minutes: PositiveFloat | None = None
    batch: PositiveInt = 16
    strategy: str = "default"
    fidelities: tuple[Share, ...] = Field(default=(1.0,), max_length=8)

    @field_validator("fidelities")
    @classmethod
    def _rise_to_one(cls, fidelities: tuple[float, ...]) -> tuple[float, ...]:
        if fidelities[-1:] != (1.0,) or list(fidelities) != sorted(set(fidelities)):
            raise ValueError(
                f"{list(fidelities)}; accepted: rising shares, the last one 1, such as [0.25, 1]"
            )
        return fidelities


class VerifyBudget(Spec):
    """When the front is trusted.

    Attributes:
        rounds: at most this many rounds of measuring, learning and searching again.
        tolerance: of the median |predicted − measured| / measured over the front, on every target.
        evaluations: candidates that each repeated search may evaluate.
        members: of the front that are measured, from the best in quality to the fastest; a front is of
            these alone in the end. Models of seconds take a minute each.
        presets: published designs that are measured and tested beside the front, those that are most worth
            comparing with; first of all the model that a job starts from.
    """

    rounds: PositiveInt = 3
    tolerance: PositiveFloat = 0.05
    evaluations: PositiveInt = 32
    members: PositiveInt = 256
    presets: Count = 64


class FinalistBudget(Spec):
    """How architectures are trained each on its own, after the search.

    Attributes:
        count: of architectures that the search found.
        start: ``supernet`` goes on from the supernet's weights, and ASHA stops early those that gain least.
            ``scratch`` trains from fresh weights, as a model is delivered, all of them to the same end: then
            their qualities compare with each other, and with those of published designs.
        choice: of those from scratch. ``improvement`` chooses a few at a time, each by how much it is
            expected to improve the front of models trained alone for what its training costs. ``spread``
            takes them from everything that was evaluated, on the front and off it: what the supernet's
            ranking is judged by. Those from the supernet are spread over the front.
        presets: published designs to train besides, first of all; from scratch only.
        together: chosen at once, before the next are.
        minutes: of wall time, after which no further ones are begun; None for no such limit. From scratch
            only.
        seeds: trainings of each, which tell what chance there is in its quality; from scratch only. The
            first is what is delivered.
        steps: optimiser steps of one that is not stopped early.
        tuning_steps: of a rung of the ladder between the supernet's score and training alone: candidates may
            go on from the supernet's weights for so many, where that tells more of what is delivered for its
            price than training one alone; 0 for no such rung. Of a choice by improvement only.
        batch: B, sequences a step.
        learning_rate: peak, see `TrainBudget`.
        stop_early: of those that go on from the supernet; else all of them are trained to the end.
    """

    count: Count = 0
    start: Literal["supernet", "scratch"] = "supernet"
    choice: Literal["improvement", "spread"] = "improvement"
    presets: Count = 0
    together: PositiveInt = 4
    minutes: PositiveFloat | None = None
    seeds: int = Field(default=1, ge=1, le=16)
    steps: PositiveInt = 500
    batch: PositiveInt = 4
    tuning_steps: Count = 0
    learning_rate: PositiveFloat = 0.01
    stop_early: bool = True

    @field_validator("presets", "seeds", "choice", "minutes", "tuning_steps")
    @classmethod
    def _needs_one_end(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[str(info.field_name)].default
        if value != default and info.data.get("start") == "supernet":
            accepted = f"accepted: {default}, or start: scratch"
            raise ValueError(f"what goes on from a supernet is trained to no common end; {accepted}")
        return value

    @field_validator("tuning_steps")
    @classmethod
    def _ladder_rises(cls, steps: int, info: ValidationInfo) -> int:
        alone, choice = info.data.get("steps", math.inf), info.data.get("choice")
        if steps >= alone:
            raise ValueError(
                f"{steps} are no rung below training alone for {alone}; accepted: 0 to {alone - 1}"
            )
        if steps and choice == "spread":
            raise ValueError("nothing is chosen by them; accepted: 0, or choice: improvement")
        if steps and not (info.data.get("count", 1) or info.data.get("presets", 1)):
            raise ValueError("nothing is trained alone; accepted: 0, or count or presets of 1 and more")
        return steps

    @property
    def tuning(self) -> FinalistBudget:
        """Of the rung of `tuning_steps`: all are trained to its end, at the rate of those that go on."""
        return FinalistBudget(
            count=self.count,
            steps=max(1, self.tuning_steps),
            batch=self.batch,
            learning_rate=self.learning_rate * TUNING_RATE,
            stop_early=False,
        )

    def identity(self) -> dict[str, Any]:
        """Plain data that a model's own weights follow from."""
        told = self.model_dump(mode="json", include={"start", "steps", "batch", "learning_rate"})
        if self.start == "supernet":
            del told["start"]  # as it was before there was another
            told |= {} if self.stop_early else {"stop_early": False}
        return told


TUNING_RATE = 1 / 3
"""Peak rate of what goes on from a supernet's weights, over that of fresh ones."""


HEAL = {"count": 3, "steps": 200, "batch": 1, "learning_rate": 0.0001}
"""Defaults of finalists that start from a pretrained model's weights: they are trained on against its logits,
by AdamW."""


class CalibrateBudget(Spec):
    """What a pretrained model is looked at with.

    Attributes:
        tokens: of the task's training data, by which its feed-forward units are ranked and replacements are
            trained.
        scored: others, on which every single replacement is compared with the model: whole sequences, or the
            end of one.
    """

    tokens: Size = 32768
    scored: Size = 2048


class LibraryBudget(Spec):
    """How what replaces parts of a pretrained model is trained, each part by itself.

    Attributes:
        steps: optimiser steps of each replacement with weights of its own; 0 for none.
        learning_rate: of AdamW.
        fit: give every replacement a projection back to the stream of its own, fitted to what the part wrote
            that it stands for; else all share the part's.
    """

    steps: int = Field(default=40, ge=0, lt=2**31)
    learning_rate: PositiveFloat = 0.003
    fit: bool = True

    def identity(self) -> dict[str, Any]:
        """Plain data that weights follow from; what was not fitted is said as it was before that could be."""
        return self.model_dump(mode="json", exclude=set() if self.fit else {"fit"})


FAST: Mapping[str, Mapping[str, float]] = {
    "calibrate": {"tokens": 4096, "scored": 512},
    "library": {"steps": 4},
    "profile": {"measurements": 8, "minimum": 8, "holdout": 2},
    "train": {"steps": 100},
    "search": {"evaluations": 12},
    "verify": {"rounds": 2, "evaluations": 4, "members": 4, "presets": 1},
    "finalists": {"count": 1, "presets": 1, "seeds": 1, "steps": 8, "tuning_steps": 4},
}
"""What a first look spends at most: less tells nothing."""


class Budget(Spec):
    """The limits of each stage.

    Attributes:
        calibrate, library: of jobs that start from a pretrained model.
        finalists: of jobs that start from a pretrained model, where they may be written `heal`, with the
            defaults of `HEAL` unless they start from scratch.
    """

    calibrate: CalibrateBudget = CalibrateBudget()
    library: LibraryBudget = LibraryBudget()
    profile: ProfileBudget = ProfileBudget()
    train: TrainBudget = TrainBudget()
    search: SearchBudget = SearchBudget()
    verify: VerifyBudget = VerifyBudget()
    finalists: FinalistBudget = FinalistBudget()

    def fast(self) -> Budget:
        """The same, with no more than `FAST` of anything."""
        told = self.model_dump(mode="json")
        for stage, most in FAST.items():
            told[stage] |= {name: min(told[stage][name], value) for name, value in most.items()}
        return Budget.model_validate(told)
