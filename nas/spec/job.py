"""What a job is asked to do: the spec that its user writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from nas.errors import InvalidSpec
from nas.pretrained.parent import name_of
from nas.spec.budgets import HEAL, Budget
from nas.spec.fields import Bound, PositiveInt, Seed, Size, Space, Spec
from searchspaces.documents import LONGEST_NAME
from searchspaces.validation import problems_of
from workers.target import Phase, Target, Workload

__all__ = ["JobSpec", "StageName", "StartSpec", "TargetSpec", "TaskSpec"]


FAST_TOKENS = 2048
"""Of a split that a first look scores models on."""


class StageName(StrEnum):
    """The stages of a job, in order."""

    PROFILE = "profile"
    TRAIN = "train"
    SEARCH = "search"
    VERIFY = "verify"
    FINALISTS = "finalists"


class TargetSpec(Spec):
    """A target as written in a job file. Where phase and tokens are not said they are what the space's models
    do: a prompt of 1,024 tokens, or all of an input."""

    device: str = Field(default="local-cpu", max_length=LONGEST_NAME, pattern=r"^[\w.-]+$")
    runtime: str = Field(default="onnxruntime", max_length=LONGEST_NAME, pattern=r"^[\w.-]+$")
    dtype: str = Field(default="fp32", max_length=LONGEST_NAME, pattern=r"^[\w.-]+$")
    threads: PositiveInt = 1
    phase: Phase | None = None
    batch: Size = 1
    tokens: Size | None = None

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is not said: earlier versions have defaults of their own."""
        said: dict[str, Any] = handler(self)
        return {field: value for field, value in said.items() if value is not None}

    def target(self) -> Target:
        """As the workers know it; of a language model where it is not said of what."""
        plain = Workload()
        workload = Workload(self.phase or plain.phase, self.batch, self.tokens or plain.tokens)
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
            raise InvalidSpec(problems_of(error, cls, "target")) from error


class StartSpec(Spec):
    """The pretrained model that a job starts from, in place of training a supernet.

    Attributes:
        model: a folder of Hugging Face with safetensors, or a GGUF file.
        digest: of its config and weights as they were when the job was submitted; set then.
        context: N, tokens of the sequences that models are scored and healed on; those of the longest target
            where None. It stays what it was when a target is added later.
    """

    model: str = Field(min_length=1)
    digest: str | None = None
    context: int | None = Field(default=None, ge=1, lt=2**31)


class TaskSpec(Spec):
    """A task by registered name, with its options (which its own class validates)."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str


class JobSpec(Spec):
    """What `nas search job.yaml` reads.

    Attributes:
        start: a pretrained model to start from; with it, `space` says what may replace its parts: `mixer`,
            options of which ``keep`` is its own, `heads`, shares of its heads of keys and values (each
            with the queries that share it), and `ratio`, shares of its feed-forward units.
        space: a name, a path to a YAML file, or the declaration itself.
        task: a name, or a mapping with `name` and the task's options; only a job that ends with profiling
            needs none.
        targets: at least one.
        objectives: names (see `nas.objectives`); quality and a latency by default.
        bounds: objective name → no worse than this; a constraint of the search. With `start` also a share
            of the parent's, such as ``"70%"``, which becomes a number as soon as the parent's is known.
        generated: tokens that follow a prompt, of the objective `generation_ms`.
        budget: limits of each stage.
        until: the last stage that is run; with ``profile`` a job only teaches its targets' predictors.
        seed: of everything random.
    """

    name: str = Field(default="search", max_length=LONGEST_NAME, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    start: StartSpec | None = None
    space: Space
    until: StageName = StageName.FINALISTS
    task: TaskSpec | None = Field(default=None, validate_default=True)
    targets: tuple[TargetSpec, ...] = Field(min_length=1)
    objectives: tuple[str, ...] = Field(default=("quality", "latency_ms"), min_length=1)
    bounds: dict[str, Bound] = Field(default={})
    generated: PositiveInt = 128
    budget: Budget = Budget()
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _heals(cls, data: Any) -> Any:
        """With a `start` finalists may be called `heal`, and have other defaults unless they start from
        scratch."""
        budget = data.get("budget") if isinstance(data, Mapping) and data.get("start") else None
        if not isinstance(budget, Mapping):
            return data
        if "heal" in budget and "finalists" in budget:
            raise ValueError("budget has both heal and finalists, which are one; accepted: either")
        renamed = {("finalists" if name == "heal" else name): value for name, value in budget.items()}
        if "finalists" in renamed:
            told = {} if renamed["finalists"] is None else renamed["finalists"]
            if isinstance(told, Mapping) and told.get("start") != "scratch":
                told = {**HEAL, **told}
            renamed["finalists"] = told
        return {**data, "budget": renamed}

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
            return name_of(Path(self.start.model))
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

    @property
    def searches(self) -> bool:
        """Whether the job evaluates architectures; one that ends earlier, by `until`, never has a front."""
        return StageName.SEARCH in self.stages

    def fast(self) -> JobSpec:
        """A first look at the same job: budgets of at most `nas.spec.budgets.FAST`, and `FAST_TOKENS` of each
        split where models are scored on tokens."""
        options = {} if self.task is None else dict(self.task.model_extra or {})
        told = options.get("evaluation_tokens", None if self.start is None else FAST_TOKENS)
        task = self.task
        if task is not None and isinstance(told, int):
            options["evaluation_tokens"] = min(told, FAST_TOKENS)
            task = TaskSpec.model_validate({"name": task.name, **options})
        return self.model_copy(update={"budget": self.budget.fast(), "task": task})
