"""Tasks whose examples each have a class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.objectives import Direction
from nas.tasks.data.examples import Dataset, Examples
from nas.tasks.task import Batch, Task, TaskOptions
from searchspaces.errors import Problem
from searchspaces.form import Classes, Form, Grid, Input, Series, Tokens

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ClassificationTask"]


class ClassificationTask(Task):
    """A dataset, and the class of each of its examples: cross-entropy is learned, accuracy scored.

    Numbers are standardised by the mean and the deviation of the training examples, channel by channel; after
    the end of a series that is shorter than others they are NaN, which models take for absent.
    """

    metric = "accuracy"
    direction = Direction.MAX
    scored_at_once: ClassVar[int] = 64

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.dataset = self.read()

    @abstractmethod
    def read(self) -> Dataset:
        """The examples.

        Raises:
            InvalidSpec: they cannot be read, or are not what they should be.
        """

    def varied(self, inputs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Training examples (B, …) with whatever does not change their classes changed at random: nothing,
        unless a task says otherwise."""
        del rng
        return inputs

    @cached_property
    def form(self) -> Form:
        """Of the training examples."""
        inputs, count = self.dataset.train.inputs, len(self.dataset.classes)
        given: Input
        if inputs.ndim == 4:
            channels, height, width = inputs.shape[1:]
            given = Grid((height, width), channels)
        elif inputs.ndim == 3:
            given = Series(inputs.shape[2], inputs.shape[1])
        else:
            every = (self.dataset.train, self.dataset.validation, self.dataset.test)
            given = Tokens(1 + max(int(part.inputs.max()) for part in every), inputs.shape[1])
        return Form(given, Classes(count))

    @property
    def scored_examples(self) -> int:
        """Of the validation split, all."""
        return len(self.dataset.validation)

    def identity(self) -> dict[str, Any]:
        """The options, and digests of the examples."""
        data = self.dataset
        digests = [part.sha256() for part in (data.train, data.validation, data.test)]
        return {**super().identity(), "examples": digests}

    def batch(self, step: int, seed: int, batch: int, context: int) -> Batch:
        """B examples, drawn without repeats where there are as many, and varied."""
        import torch

        train = self.dataset.train
        if not len(train):
            raise InvalidSpec([Problem("task", f"{self.name} has no examples to learn from")])
        rng = np.random.default_rng((seed, step))
        rows = rng.choice(len(train), size=batch, replace=batch > len(train))
        inputs = np.ascontiguousarray(self.varied(self._standardised(train.take(rows)), rng))
        return Batch(torch.from_numpy(inputs), torch.from_numpy(train.labels[rows]))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy, in nats."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, targets)

    def evaluation_batches(self, split: Split) -> Iterator[Batch]:
        """All of a split, in order."""
        import torch

        part = self.dataset.test if split is Split.TEST else self.dataset.validation
        inputs, labels = torch.from_numpy(self._standardised(part)), torch.from_numpy(part.labels)
        for first in range(0, len(part), self.scored_at_once):
            rows = slice(first, first + self.scored_at_once)
            yield Batch(inputs[rows], labels[rows])

    def score(self, outputs: Tensor, targets: Tensor) -> tuple[float, float]:
        """Number of right answers, and of examples."""
        return (outputs.argmax(-1) == targets).sum().item(), len(targets)

    def _standardised(self, part: Examples) -> NDArray[Any]:
        if part.inputs.dtype.kind != "f":
            return part.inputs
        mean, deviation = self._moments
        standard: NDArray[Any] = ((part.inputs - mean) / deviation).astype(np.float32)
        if part.lengths is not None:
            absent = np.arange(standard.shape[-1]) >= part.lengths[:, None]
            standard[np.broadcast_to(absent[:, None], standard.shape)] = np.nan
        return standard

    @cached_property
    def _moments(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """(C, 1, …) of the training examples, of what is there of them."""
        train = self.dataset.train
        inputs = train.inputs.astype(np.float64)
        axes = (0, *range(2, inputs.ndim))
        there = np.ones((len(train), *(1,) * (inputs.ndim - 1)))
        if train.lengths is not None:
            there = (np.arange(inputs.shape[-1]) < train.lengths[:, None])[:, None].astype(float)
        weight = np.broadcast_to(there, inputs.shape)
        count = weight.sum(axes, keepdims=True)
        mean = (inputs * weight).sum(axes, keepdims=True) / count
        deviation = np.sqrt((np.square(inputs - mean) * weight).sum(axes, keepdims=True) / count)
        return mean[0], np.where(deviation > 1e-6, deviation, 1.0)[0]
