"""What a job is asked to do: the spec that its user writes."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from nas.errors import InvalidSpec
from searchspaces.documents import MOST_NESTED, MOST_VALUES, DocumentError, described, read_document
from searchspaces.errors import Problem
from searchspaces.numbers import NO_TRUTH
from searchspaces.space import problems_of
from workers.target import Phase, Target, Workload

__all__ = [
    "Budget",
    "CalibrateBudget",
    "FinalistBudget",
    "JobSpec",
    "LibraryBudget",
    "ProfileBudget",
    "SearchBudget",
    "StageName",
    "StartSpec",
    "TargetSpec",
    "TaskSpec",
    "TrainBudget",
    "VerifyBudget",
    "load_job_spec",
]

Seed = Annotated[int, NO_TRUTH, Field(ge=0, lt=2**63)]
"""What a database keeps and every generator takes."""

Count = Annotated[int, NO_TRUTH, Field(ge=0, lt=2**31)]
PositiveInt = Annotated[int, NO_TRUTH, Field(gt=0, lt=2**31)]
Size = Annotated[int, NO_TRUTH, Field(gt=0, le=2**20)]
"""Of a workload. What is counted over it is a product of several such, kept as 64 bits."""

Share = Annotated[float, NO_TRUTH, Field(ge=0.001, le=1)]
PositiveFloat = Annotated[float, NO_TRUTH, Field(gt=0, allow_inf_nan=False)]

_PERCENTAGE, _NUMBER = re.compile(r"\d+(\.\d+)?%"), TypeAdapter(PositiveFloat)


def _number_or_share(value: Any) -> float | str:
    """By itself: of a union's members pydantic tells every mistake, each under a path that nobody wrote."""
    if isinstance(value, str) and _PERCENTAGE.fullmatch(value):
        return value
    try:
        return _NUMBER.validate_python(value)
    except ValidationError as error:
        raise PydanticCustomError("bound", "{why}", {"why": error.errors()[0]["msg"]}) from error


Bound = Annotated[float | str, PlainValidator(_number_or_share)]
"""A number above 0, or a share of what the parent has, e.g. ``"70%"``."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class StageName(StrEnum):
    """The stages of a job, in order."""

    PROFILE = "profile"
    TRAIN = "train"
    SEARCH = "search"
    VERIFY = "verify"
    FINALISTS = "finalists"


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TargetSpec(_Spec):
    """A target as written in a job file."""

    device: str = Field(default="local-cpu", pattern=r"^[\w.-]+$")
    runtime: str = Field(default="onnxruntime", pattern=r"^[\w.-]+$")
    dtype: str = Field(default="fp32", pattern=r"^[\w.-]+$")
    threads: PositiveInt = 1
    phase: Phase = Phase.PREFILL
    batch: Size = 1
    tokens: Size = 1024

    def target(self) -> Target:
        """As the workers know it."""
        workload = Workload(self.phase, self.batch, self.tokens)
        return Target(self.device, self.runtime, self.dtype, self.threads, workload)

    @classmethod
    def of(cls, target: Target) -> TargetSpec:
        """Inverse of `target`.

        Raises:
            InvalidSpec: the target can be none of a job.
        """
        of, workload = asdict(target), asdict(target.workload)
        del of["workload"]
        try:
            return cls.model_validate({**of, **workload})
        except ValidationError as error:
            raise InvalidSpec(problems_of(error, "target")) from error


FEWEST_MEASURED = 16


class ProfileBudget(_Spec):
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
        most = data.get("measurements") if isinstance(data, Mapping) else None
        if isinstance(most, int) and "minimum" not in data:
            return {**data, "minimum": min(FEWEST_MEASURED, most)}
        return data

    @model_validator(mode="after")
    def _minimum_is_below(self) -> ProfileBudget:
        if self.minimum > self.measurements:
            raise ValueError(
                f"minimum {self.minimum} is above measurements {self.measurements}; accepted: at most that"
            )
        return self


RECIPE = 2
"""Of today's supernets: families of mixers have queries and keys of their own and are drawn equally often."""


class TrainBudget(_Spec):
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


class SearchBudget(_Spec):
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
    fidelities: tuple[Annotated[float, NO_TRUTH, Field(ge=0.001, le=1)], ...] = Field(
        default=(1.0,), max_length=8
    )

    @field_validator("fidelities")
    @classmethod
    def _rise_to_one(cls, fidelities: tuple[float, ...]) -> tuple[float, ...]:
        if fidelities[-1:] != (1.0,) or list(fidelities) != sorted(set(fidelities)):
            raise ValueError(
                f"{list(fidelities)}; accepted: rising shares, the last one 1, such as [0.25, 1]"
            )
        return fidelities


class VerifyBudget(_Spec):
    """When the front is trusted.

    Attributes:
        rounds: at most this many rounds of measuring, learning and searching again.
        tolerance: of the median |predicted − measured| / measured over the front, on every target.
        evaluations: candidates that each repeated search may evaluate.
    """

    rounds: PositiveInt = 3
    tolerance: PositiveFloat = 0.05
    evaluations: PositiveInt = 32


class FinalistBudget(_Spec):
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
        batch: B, sequences a step.
        learning_rate: peak, see `TrainBudget`.
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
    learning_rate: PositiveFloat = 0.01

    @field_validator("presets", "seeds", "choice", "minutes")
    @classmethod
    def _needs_one_end(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[str(info.field_name)].default
        if value != default and info.data.get("start") == "supernet":
            accepted = f"accepted: {default}, or start: scratch"
            raise ValueError(f"what goes on from a supernet is trained to no common end; {accepted}")
        return value

    def identity(self) -> dict[str, Any]:
        """Plain data that a model's own weights follow from."""
        told = self.model_dump(mode="json", include={"start", "steps", "batch", "learning_rate"})
        if self.start == "supernet":
            del told["start"]  # as it was before there was another
        return told


HEAL = {"count": 3, "steps": 200, "batch": 1, "learning_rate": 0.002}
"""Defaults of finalists that started from a pretrained model: they are trained on against its logits."""


class CalibrateBudget(_Spec):
    """What a pretrained model is looked at with.

    Attributes:
        tokens: of the task's training data, by which its feed-forward units are ranked and replacements are
            trained.
        scored: others, on which every single replacement is compared with the model.
    """

    tokens: Size = 32768
    scored: Size = 2048


class LibraryBudget(_Spec):
    """How what replaces parts of a pretrained model is trained, each part by itself.

    Attributes:
        steps: optimiser steps of each replacement with weights of its own; 0 for none.
        learning_rate: of AdamW.
    """

    steps: int = Field(default=40, ge=0, lt=2**31)
    learning_rate: PositiveFloat = 0.003


class Budget(_Spec):
    """The limits of each stage.

    Attributes:
        calibrate, library: of jobs that start from a pretrained model.
        finalists: with a pretrained model written `heal`, see `HEAL`.
    """

    calibrate: CalibrateBudget = CalibrateBudget()
    library: LibraryBudget = LibraryBudget()
    profile: ProfileBudget = ProfileBudget()
    train: TrainBudget = TrainBudget()
    search: SearchBudget = SearchBudget()
    verify: VerifyBudget = VerifyBudget()
    finalists: FinalistBudget = FinalistBudget()


class StartSpec(_Spec):
    """The pretrained model that a job starts from, in place of training a supernet.

    Attributes:
        model: a folder of Hugging Face with safetensors, or a GGUF file.
        digest: of its config and weights as they were when the job was submitted; set then.
    """

    model: str = Field(min_length=1)
    digest: str | None = None


class TaskSpec(_Spec):
    """A task by registered name, with its options (which its own class validates)."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str


class JobSpec(_Spec):
    """What `nas search job.yaml` reads.

    Attributes:
        start: a pretrained model to start from; with it, `space` says what may replace its parts: `mixer`,
            options of which ``keep`` is its own, and `ratio`, shares of its feed-forward units.
        space: a name, a path to a YAML file, or the declaration itself.
        task: a name, or a mapping with `name` and the task's options; only a job that ends with profiling
            needs none.
        targets: at least one.
        objectives: names (see `nas.objectives`); quality and a latency by default.
        bounds: objective name → no worse than this; a constraint of the search. With `start` also a share
            of the parent's, such as ``"70%"``, which becomes a number as soon as the parent's is known.
        budget: limits of each stage.
        until: the last stage that is run; with ``profile`` a job only teaches its targets' predictors.
        seed: of everything random.
    """

    name: str = Field(default="search", max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    start: StartSpec | None = None
    space: str | dict[str, Any]
    until: StageName = StageName.FINALISTS
    task: TaskSpec | None = Field(default=None, validate_default=True)
    targets: tuple[TargetSpec, ...] = Field(min_length=1)
    objectives: tuple[str, ...] = Field(default=("quality", "latency_ms"), min_length=1)
    bounds: dict[str, Bound] = {}
    budget: Budget = Budget()
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _heals(cls, data: Any) -> Any:
        """`budget.heal` is what finalists are called with a `start`."""
        budget = data.get("budget") if isinstance(data, Mapping) and data.get("start") else None
        if not isinstance(budget, Mapping) or not isinstance(budget.get("heal"), Mapping):
            return data
        if "finalists" in budget:
            raise ValueError("budget has both heal and finalists; accepted with a start: heal")
        kept = {name: value for name, value in budget.items() if name != "heal"}
        return {**data, "budget": {**kept, "finalists": {**HEAL, **budget["heal"]}}}

    @field_validator("bounds")
    @classmethod
    def _are_shares_of_something(
        cls, bounds: dict[str, float | str], info: ValidationInfo
    ) -> dict[str, float | str]:
        if info.data.get("start") is None:
            for name, bound in bounds.items():
                if isinstance(bound, str):
                    raise ValueError(
                        f"{name}: {bound} of nothing; accepted: a number, or with `start` a share"
                    )
        return bounds

    @field_validator("task")
    @classmethod
    def _is_given_where_needed(cls, task: TaskSpec | None, info: ValidationInfo) -> TaskSpec | None:
        if task is None and info.data.get("until") is not StageName.PROFILE:
            raise ValueError("a job that does not end with `until: profile` needs a task")
        return task

    @property
    def space_name(self) -> str:
        """Of the space, which may be declared here."""
        if self.start is not None:
            return Path(self.start.model).stem
        return self.space if isinstance(self.space, str) else str(self.space["name"])

    @property
    def task_name(self) -> str | None:
        """Of the task; None where there is none."""
        return None if self.task is None else self.task.name

    @property
    def stages(self) -> tuple[StageName, ...]:
        """Those that the job runs, in order; `finalists` only where there are to be some."""
        every = tuple(StageName)
        asked = every[: every.index(self.until) + 1]
        trains = self.budget.finalists.count or self.budget.finalists.presets
        return asked if trains else tuple(s for s in asked if s is not StageName.FINALISTS)


def load_job_spec(
    source: str | Path | Mapping[str, Any], others: Callable[[JobSpec], Iterable[Problem]] | None = None
) -> JobSpec:
    """A spec from a YAML or JSON file, or from plain data. A relative space path or task `path` is
    left as written.

    Args:
        others: where something is wrong with the form, asked what else is wrong with what is left of the spec
            without that: so all mistakes come in one answer.

    Raises:
        InvalidSpec: every problem of the document's form, each with its path. Names of tasks,
            spaces, strategies and predictors are checked by the service, which knows them.
    """
    data: Any = dict(source) if isinstance(source, Mapping) else _read(Path(source))
    problems = list(_json_problems(data))
    if problems:
        raise InvalidSpec(problems)
    if isinstance(data.get("task"), str):
        data = {**data, "task": {"name": data["task"]}}
    try:
        return JobSpec.model_validate(data)
    except ValidationError as error:
        problems = problems_of(error)
        left = _without(data, [item["loc"] for item in error.errors()]) if others is not None else None
        if left is not None and others is not None:
            told = {problem.path for problem in problems}
            problems += [p for p in others(left) if not any(_within(p.path, path) for path in told)]
        raise InvalidSpec(problems) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        data = read_document(path)
    except DocumentError as error:
        raise InvalidSpec([Problem("", str(error))]) from error
    if not isinstance(data, dict):
        accepted = "accepted: a job, that is a mapping with space, task and targets"
        raise InvalidSpec([Problem("", f"{str(path)!r:.200} holds {described(data)}; {accepted}")])
    return data


def _without(data: Mapping[str, Any], places: Iterable[tuple[int | str, ...]]) -> JobSpec | None:
    """The spec without what stands in these places; None where that is none either."""
    left = copy.deepcopy(dict(data))
    for place in places:
        within: Any = left
        for step in place[:-1]:
            within = within.get(step) if isinstance(within, dict) else None
        if isinstance(within, dict) and place:
            within.pop(place[-1], None)
    try:
        return JobSpec.model_validate(left)
    except ValidationError:
        return None


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}.") or place.startswith(f"{path}.")


def _json_problems(document: Any) -> Iterator[Problem]:
    """Whatever JSON, in which specs are stored and sent, cannot hold."""
    waiting: list[tuple[Any, str, int]] = [(document, "", 0)]
    seen = 0
    while waiting:
        value, path, depth = waiting.pop()
        seen += 1
        if seen > MOST_VALUES:
            yield Problem("", f"more than {MOST_VALUES} values")
            return
        if depth > MOST_NESTED:  # of Python's mappings one may hold itself
            yield Problem("", f"more than {MOST_NESTED} levels of nesting")
            return
        if isinstance(value, Mapping):
            named = [(inner, f"{path}.{key}" if path else str(key)) for key, inner in value.items()]
            waiting += [(inner, name, depth + 1) for inner, name in named]
            for key in value:
                if not isinstance(key, str) or _SURROGATE.search(key):
                    yield Problem(path, f"{key!r} is not a name; accepted: text")
        elif isinstance(value, list | tuple):
            waiting += [
                (inner, f"{path}.{number}" if path else str(number), depth + 1)
                for number, inner in enumerate(value)
            ]
        elif isinstance(value, str):
            if _SURROGATE.search(value):
                yield Problem(path, f"{value!r:.80} has half of a character (U+D800 to U+DFFF)")
        elif isinstance(value, float):
            if not math.isfinite(value):
                yield Problem(path, f"{value} is not a finite number")
        elif not (value is None or isinstance(value, bool | int)):
            kind = type(value).__name__
            yield Problem(path, f"a {kind} is not JSON (got {value!r:.80}); put it in quotes for text")
