"""The contract of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
import torch

from nas.evaluation import SPLITS, Split
from nas.objectives import Direction
from nas.tasks import Task, make_task
from nas.testing.contract import Contract

__all__ = ["TaskContract"]


def _oracle(task: Task, split: Split, shift: int = 0) -> float:
    """The metric of a model that is certain of (the right token + shift) everywhere."""
    batches = iter(list(task.evaluation_batches(split)))

    def model(tokens: torch.Tensor) -> torch.Tensor:
        batch = next(batches)
        assert torch.equal(tokens, batch[:, :-1])
        answers = (batch[:, 1:] + shift) % task.vocabulary
        return 40.0 * torch.nn.functional.one_hot(answers, task.vocabulary).float()

    return task.evaluate(model, split)


class TaskContract(Contract):
    """What every task does.

    Attributes:
        subjects: registered names.
        options: that each is made with, besides how much is scored.
    """

    options: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @pytest.fixture
    def task(self, subject: str) -> Task:
        return self._make(subject, evaluation_tokens=2048)

    def _make(self, name: str, **options: int) -> Task:
        return make_task(name, {**self.options, **options})

    def test_batches_are_a_function_of_seed_and_step(self, task: Task) -> None:
        batch = task.batch(step=3, seed=5, batch=4, context=96)
        assert batch.shape == (4, 97)
        assert batch.dtype == torch.int64
        assert int(batch.min()) >= 0
        assert int(batch.max()) < task.vocabulary
        assert torch.equal(batch, task.batch(3, 5, 4, 96))
        assert not torch.equal(batch, task.batch(4, 5, 4, 96))
        assert not torch.equal(batch, task.batch(3, 6, 4, 96))

    def test_right_answers_score_better_than_wrong_ones(self, task: Task) -> None:
        for split in SPLITS:
            right, wrong = _oracle(task, split), _oracle(task, split, shift=1)
            assert (wrong - right) * task.direction.sign > 0
            assert right == pytest.approx(0.0 if task.direction is Direction.MIN else 1.0, abs=1e-3)

    def test_sequences_are_scored_one_by_one(self, task: Task) -> None:
        def model(tokens: torch.Tensor) -> torch.Tensor:
            generator = torch.Generator().manual_seed(int(tokens.sum()))
            return torch.randn(*tokens.shape, task.vocabulary, generator=generator)

        value, sequences = task.evaluate_sequences(model, Split.TEST)
        assert value == pytest.approx(task.evaluate(model, Split.TEST))
        assert len(sequences) == sum(len(batch) for batch in task.evaluation_batches(Split.TEST))
        assert sum(sequences) / len(sequences) == pytest.approx(value)  # sequences are equally long
        assert len(set(sequences)) > 1

    def test_loss_prefers_right_answers_and_has_a_gradient(self, task: Task) -> None:
        batch = task.batch(0, 0, 2, 96)
        logits = torch.zeros(2, 96, task.vocabulary, requires_grad=True)
        loss = task.loss(logits, batch)
        loss.backward()
        assert loss.shape == ()
        assert logits.grad is not None
        assert task.loss(-logits.grad * 1e3, batch) < loss

    def test_evaluation_is_fixed_and_splits_differ(self, task: Task) -> None:
        validation, again = (list(task.evaluation_batches(Split.VALIDATION)) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(validation, again, strict=True))
        test = list(task.evaluation_batches(Split.TEST))
        assert not torch.equal(validation[0], test[0])
        tokens = sum(batch[:, 1:].numel() for batch in validation)
        assert tokens == pytest.approx(2048, abs=task.options.evaluation_context)

    @pytest.mark.parametrize(("share", "every"), [(1.0, 1), (0.5, 2), (0.25, 4), (0.01, 100)])
    def test_a_share_of_a_split_is_evenly_spaced_and_never_nothing(
        self, subject: str, share: float, every: int
    ) -> None:
        task = self._make(subject, evaluation_tokens=4096, evaluation_context=96)
        batches = list(task.evaluation_batches(Split.VALIDATION))
        everything = torch.cat(batches)
        seen = []

        def model(tokens: torch.Tensor) -> torch.Tensor:
            seen.append(tokens)
            return torch.zeros(*tokens.shape, task.vocabulary)

        task.evaluate(model, Split.VALIDATION, share)
        assert torch.equal(torch.cat(seen), everything[::every, :-1])
        assert all(len(tokens) == len(batches[0]) for tokens in seen[:-1])

    def test_digest_follows_the_options(self, task: Task) -> None:
        assert task.digest == self._make(task.name, evaluation_tokens=2048).digest
        assert task.digest != self._make(task.name, evaluation_tokens=4096).digest
