"""Every recipe of `benchmarks/recipes.py` trains a supernet that scores what the plain one does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = str(Path(__file__).parents[3] / "benchmarks")
TINY = {
    "name": "tiny",
    "vocabulary": 256,
    "context": 16,
    "width": [16],
    "depth": [1, 2],
    "layer": {"mixer": ["softmax", "window:8", "linear", "none"], "heads": [2], "ratio": [0.5, 1, 2]},
}


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    import recipes as module

    return module


def setting(recipes: Any) -> Any:
    options = {"evaluation_tokens": 64, "evaluation_context": 16}
    return recipes.Setting("text", TINY, 3, 2, 4, options)


def test_every_recipe_trains_and_scores(recipes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "BESIDE", 1)
    tiny = setting(recipes)
    models = [a.digest for a in (*recipes.chosen(tiny), *recipes.beside(tiny))]
    for name in recipes.RECIPES:
        answer = recipes.run(recipes.Job(tiny, 0, recipe=name))
        assert set(answer["scores"]) == set(models), name
        assert np.isfinite(list(answer["scores"].values())).all(), name
        assert answer["steps"] >= 1, name


@pytest.mark.slow
def test_what_fails_keeps_no_other_answer_waiting(recipes: Any, tmp_path: Path, capsys: Any) -> None:
    tiny = setting(recipes)
    answers = recipes.Answers(tmp_path / "answers.jsonl")
    jobs = [recipes.Job(tiny, 0, recipe=name) for name in ("no such recipe", "plain")]
    (failure,) = recipes.train(jobs, answers, 1)
    assert "no such recipe" in failure
    assert list(recipes.Answers(tmp_path / "answers.jsonl").known) == [jobs[1].key]
    told = recipes.report(replace(tiny, architectures=4), 1, ["plain"], answers)
    assert told == {"task": "text", "alone": 0}, "nothing was trained alone"
