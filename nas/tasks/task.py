"""The interface of a task: what the supernet learns, and how well an architecture does it."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.objectives import Direction
from searchspaces.errors import Problem
from searchspaces.form import Form, Tokens
from searchspaces.numbers import NO_TRUTH
from searchspaces.registry import Registry
from searchspaces.validation import problems_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "TASKS",
    "Batch",
    "DataFiles",
    "SequenceOptions",
    "SequenceTask",
    "Task",
    "TaskOptions",
    "get_task",
    "make_task",
    "register_task",
    "task_descriptions",
    "tasks",
]

PositiveInt = Annotated[int, NO_TRUTH, Field(gt=0, lt=2**40)]


@dataclass(frozen=True)
class DataFiles:
    """Marks an option as one that names files: a path or pattern, or several.

    A service that others share resolves what such an option names below its own data folder, and refuses
    paths in every other one.
    """


class TaskOptions(BaseModel):
    """What a job file may say of a task; a task's own class adds to it. An option that names files is
    marked so: ``path: Annotated[tuple[str, ...], DataFiles()]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def data_options(cls) -> tuple[str, ...]:
        """Names of the options that are marked as `DataFiles`."""
        return tuple(
            name
            for name, field in cls.model_fields.items()
            if any(isinstance(mark, DataFiles) for mark in field.metadata)
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples.

    Attributes:
        inputs: (B, …) what a model reads: see `searchspaces.form`.
        targets: (B, …) what it is asked for: (B, N) the tokens after each, or (B,) classes.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: Any) -> Batch:
        """Those of these rows: a slice, or a list."""
        return Batch(self.inputs[rows], self.targets[rows])

    def to(self, device: Any) -> Batch:
        """The same there."""
        return Batch(self.inputs.to(device), self.targets.to(device))

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """All of them, in order."""
        import torch

        return Batch(
            torch.cat([batch.inputs for batch in batches]), torch.cat([batch.targets for batch in batches])
        )


class Task(ABC):
    """Examples to learn from, a loss and a metric.

    Most are a `SequenceTask` or a `nas.tasks.classification.ClassificationTask`. Subclasses are built by
    `make_task` from validated options. Registering one enrols it in the contract suite
    `tests/nas/tasks/test_tasks.py`. Modules import torch inside methods, so that a job can be validated
    without it.

    Attributes:
        name: set by `@register_task`.
        description: one sentence for `nas tasks`.
        metric: unit of `evaluate`, e.g. ``"bits_per_byte"``.
        direction: which way the metric is better.
        options_model: what the task accepts.
        options: what this instance was given.
        baseline: what a plain method reaches, for people; empty where there is none.
        scored_at_once: examples that an evaluation scores together.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    metric: ClassVar[str]
    direction: ClassVar[Direction]
    options_model: ClassVar[type[TaskOptions]] = TaskOptions
    baseline: ClassVar[str] = ""
    scored_at_once: ClassVar[int] = 4

    def __init__(self, options: TaskOptions) -> None:
        self.options = options

    @property
    @abstractmethod
    def form(self) -> Form:
        """What goes into a model of this task, and what comes out."""

    @property
    @abstractmethod
    def scored_examples(self) -> int:
        """How many of a split an architecture is scored on, about."""

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that identify the data and the options: equal digests, equal numbers."""
        content = {"task": self.name, **self.identity()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def identity(self) -> dict[str, Any]:
        """Plain data that the task's numbers follow from: its options, and a digest of any file's content."""
        return self.options.model_dump(mode="json")

    def tokenizer_files(self) -> dict[str, bytes]:
        """By name, files that turn text into this task's tokens and back, as the library `tokenizers` reads
        them, to lie beside a model; none where its tokens are no text."""
        return {}

    @abstractmethod
    def batch(self, step: int, seed: int, batch: int, context: int) -> Batch:
        """B training examples, a function of (seed, step) alone.

        Args:
            context: N, tokens of one, where that can be chosen.

        Raises:
            InvalidSpec: the training data cannot fill such an example.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss in nats, a scalar, of what a model answers and what it was asked for."""

    @abstractmethod
    def evaluation_batches(self, split: Split) -> Iterator[Batch]:
        """The fixed part of a split that everything is scored on."""

    @abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> tuple[float, float]:
        """Summed metric of what a model answers, and the number of tokens or examples, or of what the metric
        counts instead, that it sums over."""

    def evaluate(self, model: Callable[[Tensor], Tensor], split: Split, share: float = 1.0) -> float:
        """The metric of a model, inputs → answers, over `evaluation_batches(split)`.

        Args:
            share: of the examples, evenly spaced, the first one always among them; the same for every model.
        """
        import torch

        total, count = 0.0, 0.0
        with torch.inference_mode():
            for batch in _shared(self.evaluation_batches(split), share):
                value, counted = self.score(model(batch.inputs), batch.targets)
                total += value
                count += counted
        return total / count

    def evaluate_sequences(
        self, model: Callable[[Tensor], Tensor], split: Split
    ) -> tuple[float, tuple[float, ...]]:
        """The metric of a model over all of `evaluation_batches(split)`, and on each of its examples; of
        none where it is no finite number."""
        import torch

        total, count, sequences = 0.0, 0.0, []
        with torch.inference_mode():
            for batch in self.evaluation_batches(split):
                answers = model(batch.inputs)
                for row in range(len(batch)):
                    value, counted = self.score(answers[row : row + 1], batch.targets[row : row + 1])
                    total += value
                    count += counted
                    sequences.append(value / counted)
        value = total / count
        return value, tuple(sequences) if math.isfinite(value) else ()


class SequenceOptions(TaskOptions):
    """Options of tasks of tokens.

    Attributes:
        evaluation_tokens: tokens of each split that an architecture is scored on: the same for all.
        evaluation_context: N, tokens of one scored sequence.
    """

    evaluation_tokens: PositiveInt = 16384
    evaluation_context: PositiveInt = 512


class SequenceTask(Task):
    """Sequences of which every token is to be told from those before it.

    Attributes:
        vocabulary: token ids are below it.
    """

    vocabulary: int
    options_model: ClassVar[type[TaskOptions]] = SequenceOptions
    options: SequenceOptions

    @abstractmethod
    def sequences(self, step: int, seed: int, batch: int, context: int) -> Tensor:
        """(B, N+1) int64 training tokens, a function of (seed, step) alone: the model reads the first N and
        is asked for the last N.

        Raises:
            InvalidSpec: the training data cannot fill such a sequence.
        """

    @abstractmethod
    def evaluation_sequences(self, split: Split) -> Iterator[Tensor]:
        """The fixed part of a split that everything is scored on: (b, N+1) int64 tokens."""

    @property
    def form(self) -> Form:
        """The next token."""
        return Form(Tokens(self.vocabulary))

    @property
    def scored_examples(self) -> int:
        """See `Task.scored_examples`."""
        return math.ceil(self.options.evaluation_tokens / self.options.evaluation_context)

    def batch(self, step: int, seed: int, batch: int, context: int) -> Batch:
        """See `sequences`."""
        return _asked(self.sequences(step, seed, batch, context))

    def evaluation_batches(self, split: Split) -> Iterator[Batch]:
        """See `evaluation_sequences`."""
        yield from map(_asked, self.evaluation_sequences(split))


def _asked(tokens: Tensor) -> Batch:
    return Batch(tokens[:, :-1], tokens[:, 1:])


TASKS: Registry[Task] = Registry(Task, "nas.tasks", "task", "nas.tasks")
register_task = TASKS.register
tasks = TASKS.classes


def _shared(batches: Iterator[Batch], share: float) -> Iterator[Batch]:
    """Every so many examples of these batches, in batches as large as the first: few at a time are scored
    more slowly."""
    waiting, size, seen = list[Batch](), 0, 0
    for batch in batches:
        size = size or len(batch)
        kept = [
            row
            for row, number in enumerate(range(seen, seen + len(batch)))
            if math.ceil((number + 1) * share) > math.ceil(number * share)
        ]
        seen += len(batch)
        waiting = [Batch.joined([*waiting, batch[kept]])]
        while len(waiting[0]) >= size:
            yield waiting[0][:size]
            waiting = [waiting[0][size:]]
    if waiting and len(waiting[0]):
        yield waiting[0]


def get_task(name: str) -> type[Task]:
    """The registered class.

    Raises:
        InvalidSpec: see `Registry.get`; its path is ``task.name``.
    """
    try:
        return TASKS.get(name)
    except ValueError as error:
        raise InvalidSpec([Problem("task.name", str(error))]) from error


def make_task(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """A task by registered name, its data read and checked.

    Raises:
        InvalidSpec: no task of that name, or an option (or a file that it names) is not valid: every
            problem at once, each with its path (``task.OPTION``).
    """
    task = get_task(name)
    try:
        return task(task.options_model.model_validate(dict(options or {})))
    except ValidationError as error:
        raise InvalidSpec(problems_of(error, task.options_model, "task")) from error


def task_descriptions() -> list[dict[str, Any]]:
    """Every registered task as plain data: name, description, metric, direction, vocabulary (None where it
    has none of its own), what a plain method reaches (empty where nothing is said), options (JSON schema
    properties, defaults included), those of them that name files, and the distribution that adds the task
    (None where it is ours)."""
    return [
        {
            "name": name,
            "description": task.description,
            "metric": task.metric,
            "direction": str(task.direction),
            "vocabulary": getattr(task, "vocabulary", None),
            "baseline": task.baseline,
            "options": task.options_model.model_json_schema()["properties"],
            "data_options": list(task.options_model.data_options()),
            "distribution": TASKS.origin(name),
        }
        for name, task in tasks().items()
    ]
