"""The contract of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
import torch

from nas.evaluation import SPLITS, Split
from nas.objectives import Direction
from nas.tasks import SequenceTask, Task, get_task, make_task
from nas.testing.contract import Contract
from searchspaces.form import Classes

__all__ = ["TaskContract"]


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Also where both are NaN, as series are after their end."""
    return torch.equal(one.nan_to_num(1e9), other.nan_to_num(1e9))


def _answers(task: Task) -> int:
    """How many there are to choose from."""
    asked = task.form.output
    return asked.count if isinstance(asked, Classes) else task.form.vocabulary


def _oracle(task: Task, split: Split, shift: int = 0) -> float:
    """The metric of a model that is certain of (the right answer + shift) everywhere."""
    batches = iter(list(task.evaluation_batches(split)))

    def model(inputs: torch.Tensor) -> torch.Tensor:
        batch = next(batches)
        assert _equal(inputs, batch.inputs)
        answers = (batch.targets + shift) % _answers(task)
        return 40.0 * torch.nn.functional.one_hot(answers, _answers(task)).float()

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
        return self._make(subject)

    def _make(self, name: str, **options: int) -> Task:
        few = {"evaluation_tokens": 2048} if issubclass(get_task(name), SequenceTask) else {}
        return make_task(name, {**few, **self.options, **options})

    def test_batches_are_a_function_of_seed_and_step(self, task: Task) -> None:
        batch = task.batch(step=3, seed=5, batch=4, context=96)
        given = task.form.input
        assert batch.inputs.shape == ((4, 96) if task.form.causal else given.shape(4))
        assert batch.inputs.dtype == (torch.int64 if task.form.vocabulary else torch.float32)
        assert batch.targets.dtype == torch.int64
        assert batch.targets.shape == ((4, 96) if task.form.causal else (4,))
        assert 0 <= int(batch.targets.min()) <= int(batch.targets.max()) < _answers(task)
        if task.form.vocabulary:
            assert 0 <= int(batch.inputs.min()) <= int(batch.inputs.max()) < task.form.vocabulary
        for same, step, seed in ((True, 3, 5), (False, 4, 5), (False, 3, 6)):
            other = task.batch(step, seed, 4, 96)
            assert _equal(batch.inputs, other.inputs) == same

    def test_right_answers_score_better_than_wrong_ones(self, task: Task) -> None:
        for split in SPLITS:
            right, wrong = _oracle(task, split), _oracle(task, split, shift=1)
            assert (wrong - right) * task.direction.sign > 0
            assert right == pytest.approx(0.0 if task.direction is Direction.MIN else 1.0, abs=1e-3)

    def test_sequences_are_scored_one_by_one(self, task: Task) -> None:
        def model(inputs: torch.Tensor) -> torch.Tensor:
            generator = torch.Generator().manual_seed(int(inputs.nan_to_num().abs().sum() * 1000))
            shape = inputs.shape if task.form.causal else inputs.shape[:1]
            return torch.randn(*shape, _answers(task), generator=generator)

        value, sequences = task.evaluate_sequences(model, Split.TEST)
        assert value == pytest.approx(task.evaluate(model, Split.TEST))
        assert len(sequences) == sum(len(batch) for batch in task.evaluation_batches(Split.TEST))
        assert sum(sequences) / len(sequences) == pytest.approx(value)  # sequences are equally long
        assert len(set(sequences)) > 1

    def test_loss_prefers_right_answers_and_has_a_gradient(self, task: Task) -> None:
        batch = task.batch(0, 0, 2, 96)
        logits = torch.zeros(*batch.targets.shape, _answers(task), requires_grad=True)
        loss = task.loss(logits, batch.targets)
        loss.backward()
        assert loss.shape == ()
        assert logits.grad is not None
        assert task.loss(-logits.grad * 1e3, batch.targets) < loss

    def test_evaluation_is_fixed_and_splits_differ(self, task: Task) -> None:
        validation, again = (list(task.evaluation_batches(Split.VALIDATION)) for _ in range(2))
        assert all(_equal(a.inputs, b.inputs) for a, b in zip(validation, again, strict=True))
        assert all(torch.equal(a.targets, b.targets) for a, b in zip(validation, again, strict=True))
        test = list(task.evaluation_batches(Split.TEST))
        assert not _equal(validation[0].inputs, test[0].inputs)
        examples = sum(map(len, validation))
        assert max(map(len, validation)) <= task.scored_at_once or task.form.causal
        if isinstance(task, SequenceTask):
            tokens = sum(batch.targets.numel() for batch in validation)
            assert tokens == pytest.approx(2048, abs=task.options.evaluation_context)
        else:
            assert examples == task.scored_examples

    @pytest.mark.parametrize(("share", "every"), [(1.0, 1), (0.5, 2), (0.25, 4), (0.01, 100)])
    def test_a_share_of_a_split_is_evenly_spaced_and_never_nothing(
        self, subject: str, share: float, every: int
    ) -> None:
        more = {"evaluation_tokens": 4096, "evaluation_context": 96}
        task = self._make(subject, **(more if issubclass(get_task(subject), SequenceTask) else {}))
        batches = list(task.evaluation_batches(Split.VALIDATION))
        everything = torch.cat([batch.inputs for batch in batches])
        seen = []

        def model(inputs: torch.Tensor) -> torch.Tensor:
            seen.append(inputs)
            shape = inputs.shape if task.form.causal else inputs.shape[:1]
            return torch.zeros(*shape, _answers(task))

        task.evaluate(model, Split.VALIDATION, share)
        assert _equal(torch.cat(seen), everything[::every])
        assert all(len(inputs) == len(batches[0]) for inputs in seen[:-1])

    def test_digest_follows_the_options(self, subject: str, task: Task) -> None:
        assert task.digest == self._make(subject).digest
        if isinstance(task, SequenceTask):
            assert task.digest != self._make(subject, evaluation_tokens=4096).digest
