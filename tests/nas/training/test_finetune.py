"""Fine-tuning one architecture: it goes on where it was, reports its rungs, keeps the best weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.errors import JobFailed
from nas.evaluation import Split
from nas.spec import FinalistBudget
from nas.tasks import make_task
from nas.training.finetune import Diverged, FineTuning, best_weights, finetune, rungs
from searchspaces.architecture import Architecture, Layer
from searchspaces.submodel import Submodel

ARCHITECTURE = Architecture(256, 16, (Layer("window:8", 2, ratio=2.0), Layer("linear", 2, ratio=1.0)))
TASK = make_task("text", {"evaluation_tokens": 1024, "evaluation_context": 16})


def tuning(folder: Path, **budget: object) -> FineTuning:
    given = FinalistBudget.model_validate({"steps": 45, "batch": 2, **budget})
    return FineTuning(TASK, given, first_batch=7, context=16, seed=0, folder=folder)


def run(job: FineTuning, limit: int = 45, stop_after: int = 1000) -> list[tuple[int, float]]:
    """What was reported."""
    torch.manual_seed(0)
    asked, reported = iter(range(1001)), []
    finetune(
        Submodel(ARCHITECTURE),
        job,
        limit,
        lambda *score: reported.append(score),
        lambda steps: None,
        lambda: next(asked) >= stop_after,
    )
    return reported


def test_rungs_are_a_third_apart() -> None:
    assert rungs(FinalistBudget(steps=45)) == (5, 15, 45)
    assert rungs(FinalistBudget(steps=2)) == (1, 2)
    assert rungs(FinalistBudget(steps=1)) == (1,)
    assert rungs(FinalistBudget(steps=45, start="scratch")) == (45,)


def test_stopped_at_any_point_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = run(tuning(tmp_path / "whole"))
    assert [steps for steps, _ in whole] == [5, 15, 45]
    assert run(tuning(tmp_path / "parts"), stop_after=3) == []
    assert run(tuning(tmp_path / "parts"), stop_after=8) == whole[:1]
    assert run(tuning(tmp_path / "parts")) == whole, "the rungs of earlier runs are reported again"
    expected, found = best_weights(tmp_path / "whole"), best_weights(tmp_path / "parts")
    assert expected is not None
    assert found is not None
    assert (found.steps, found.validation) == (expected.steps, expected.validation)
    assert all(torch.equal(found.tensors[name], value) for name, value in expected.tensors.items())


def test_the_best_rung_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tuning(tmp_path / "until-second"), limit=15)
    scores = iter([3.0, 2.0, 2.5])
    monkeypatch.setattr(TASK, "evaluate", lambda model, split: next(scores))
    assert run(tuning(tmp_path / "all")) == [(5, 3.0), (15, 2.0), (45, 2.5)]
    best, second = best_weights(tmp_path / "all"), best_weights(tmp_path / "until-second")
    assert best is not None
    assert second is not None
    assert (best.steps, best.validation) == (15, 2.0)
    assert all(torch.equal(best.tensors[name], value) for name, value in second.tensors.items())


def test_the_weights_are_what_their_score_says(tmp_path: Path) -> None:
    run(tuning(tmp_path))
    best = best_weights(tmp_path)
    assert best is not None
    submodel = Submodel(ARCHITECTURE)
    submodel.load_state_dict(best.tensors)
    assert TASK.evaluate(submodel, Split.VALIDATION) == best.validation


def test_it_takes_no_more_steps_than_it_may(tmp_path: Path) -> None:
    assert [steps for steps, _ in run(tuning(tmp_path), limit=15)] == [5, 15]
    assert [steps for steps, _ in run(tuning(tmp_path), limit=15)] == [5, 15]


def test_a_loss_that_is_no_number_and_another_models_checkpoint_are_said(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"its loss is nan at step \d+; try a learning_rate below"):
        run(tuning(tmp_path / "wild", learning_rate=1e30))
    run(tuning(tmp_path), stop_after=1)
    other = Submodel(Architecture(256, 16, ARCHITECTURE.layers[:1]))
    with pytest.raises(JobFailed, match="is of another model"):
        finetune(other, tuning(tmp_path), 45, lambda *_: None, lambda _: None, lambda: False)
    assert best_weights(tmp_path / "nothing") is None
