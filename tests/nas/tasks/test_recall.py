"""The task `recall`."""

import pytest

from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.tasks import make_task


def test_every_answer_was_defined_before() -> None:
    task = make_task("recall", {"pairs": 3, "evaluation_context": 24})
    for row in task.sequences(0, 0, 8, 24).tolist():
        defined = dict(zip(row[0:6:2], row[1:6:2], strict=True))
        assert len(defined) == 3
        assert all(defined[key] == value for key, value in zip(row[6::2], row[7::2], strict=False))
        assert set(row[6:12:2]) == set(defined)


def test_guessing_scores_like_chance() -> None:
    import torch

    task = make_task("recall", {"evaluation_tokens": 65536})
    generator = torch.Generator().manual_seed(0)
    accuracy = task.evaluate(lambda x: torch.rand(*x.shape, 256, generator=generator), Split.TEST)
    assert accuracy == pytest.approx(1 / 256, abs=0.003)


def test_a_context_without_questions_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="accepted: at least 17"):
        make_task("recall", {"pairs": 8, "evaluation_context": 16})
