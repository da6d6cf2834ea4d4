"""Multi-query associative recall: what separates mixers that look things up from those that summarise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, model_validator

from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.objectives import Direction
from nas.tasks.task import SequenceOptions, SequenceTask, register_task
from searchspaces.errors import Problem

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Recall", "RecallOptions"]

KEYS = 128
"""Token ids below it are keys, the other 128 are values."""

EVALUATION_SEED = {Split.VALIDATION: 1, Split.TEST: 2}
EVALUATION_BATCH = 8


class RecallOptions(SequenceOptions):
    """Options of the task `recall`.

    Attributes:
        pairs: key-value pairs that a sequence defines and then asks for, over and over: an answer lies
            at most 4 × pairs tokens back, so that a window of so many sees it.
    """

    pairs: Annotated[int, Field(gt=0, le=KEYS)] = 32

    @model_validator(mode="after")
    def _something_is_asked(self) -> RecallOptions:
        if self.evaluation_context < 2 * self.pairs + 1:
            raise ValueError(
                f"evaluation_context {self.evaluation_context} holds no question after {self.pairs} pairs;"
                f" accepted: at least {2 * self.pairs + 1}"
            )
        return self


@register_task("recall")
class Recall(SequenceTask):
    """A sequence defines random pairs, `key value key value …`, then names the keys again in random
    orders, each followed by its value. Loss and metric look only at those repeated values.

    After Arora et al., "Zoology: Measuring and Improving Recall in Efficient Language Models" (2023).
    Metric: accuracy on fixed sequences of `evaluation_tokens` tokens in all.
    """

    description = "Associative recall of synthetic key-value pairs, asked for many times over."
    metric = "accuracy"
    direction = Direction.MAX
    vocabulary = 256
    options_model = RecallOptions
    options: RecallOptions

    def sequences(self, step: int, seed: int, batch: int, context: int) -> Tensor:
        """(B, N+1) fresh sequences; N must hold the definitions and a question."""
        if context < 2 * self.options.pairs + 1:
            message = f"{self.options.pairs} pairs and a question do not fit a context of {context}"
            raise InvalidSpec([Problem("task.pairs", message)])
        # The leading 0 keeps training apart from the evaluated sequences, which begin with 1 or 2.
        return self._sequences((0, seed, step), batch, context)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of the repeated values, in nats."""
        from torch.nn.functional import cross_entropy

        asked = slice(2 * self.options.pairs, None, 2)
        return cross_entropy(outputs[:, asked].flatten(0, 1), targets[:, asked].flatten())

    def evaluation_sequences(self, split: Split) -> Iterator[Tensor]:
        """Sequences that depend on the split alone."""
        context = self.options.evaluation_context
        count = math.ceil(self.options.evaluation_tokens / context)
        sequences = self._sequences((EVALUATION_SEED[split],), count, context)
        for first in range(0, count, EVALUATION_BATCH):
            yield sequences[first : first + EVALUATION_BATCH]

    def score(self, outputs: Tensor, targets: Tensor) -> tuple[float, int]:
        """Number of right answers, and of questions."""
        asked = slice(2 * self.options.pairs, None, 2)
        answers = targets[:, asked]
        return (outputs[:, asked].argmax(-1) == answers).sum().item(), answers.numel()

    def _sequences(self, seed: tuple[int, ...], count: int, context: int) -> Tensor:
        """(count, N+1) tokens: rounds of all pairs, each round in a fresh order."""
        import torch

        pairs = self.options.pairs
        rng = np.random.default_rng(seed)
        keys = rng.permuted(np.tile(np.arange(KEYS), (count, 1)), axis=1)[:, :pairs]
        values = rng.integers(KEYS, self.vocabulary, size=(count, pairs))
        rounds = math.ceil((context + 1) / (2 * pairs))
        order = rng.permuted(np.tile(np.arange(pairs), (count, rounds, 1)), axis=2).reshape(count, -1)
        spoken = np.stack([np.take_along_axis(table, order, axis=1) for table in (keys, values)], axis=2)
        return torch.from_numpy(spoken.reshape(count, -1)[:, : context + 1].astype(np.int64))
