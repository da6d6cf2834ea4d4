"""Every recipe of `benchmarks/recipes.py` trains a supernet that scores what the plain one does."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

CHEAP = {"evaluation_tokens": 64, "evaluation_context": 16}
FOLDER = str(Path(__file__).parents[3] / "benchmarks")
TINY = {
    "name": "tiny",
    "vocabulary": 256,
    "context": 16,
    "width": [16],
    "depth": [1, 2],
    "layer": {"mixer": ["softmax", "window:8", "linear", "none"], "heads": [2], "ratio": [0.5, 1, 2]},
}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)


def setting(architectures: int = 4) -> Any:
    from recipe_jobs import Setting

    return Setting("text", TINY, 3, 2, architectures, CHEAP)


def test_every_recipe_trains_and_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    import recipe_jobs as jobs

    monkeypatch.setattr(jobs, "BESIDE", 1)
    tiny = setting()
    models = [a.digest for a in (*jobs.chosen(tiny), *jobs.beside(tiny))]
    for name in jobs.RECIPES:
        answer = jobs.run(jobs.Job(tiny, 0, recipe=name))
        assert set(answer["scores"]) == set(models), name
        assert np.isfinite(list(answer["scores"].values())).all(), name
        assert answer["steps"] >= 1, name


def test_a_report_tells_what_ranks_as_training_alone_does(tmp_path: Path) -> None:
    import recipe_jobs as jobs
    from recipe_report import report, show

    tiny, answers = setting(6), jobs.Answers(tmp_path / "answers.jsonl")
    models = [*jobs.chosen(tiny), *jobs.beside(tiny)]
    truth = {a.digest: 2 + rank / 10 for rank, a in enumerate(models)}
    for a in jobs.chosen(tiny):
        for seed in range(2):
            score = truth[a.digest] + seed / 100
            answers.keep(jobs.Job(tiny, seed, a).key, {"scores": {a.digest: score}, "seconds": 1, "steps": 3})
    largest = jobs.chosen(tiny)[0]
    half = {"scores": {largest.digest: 2.5}, "seconds": 1, "steps": 2}
    answers.keep(jobs.Job(tiny, 0, largest, 0.5).key, half)
    for name, sign in (("plain", 1), ("sandwich", -1)):
        scores = {digest: 4 + sign * value for digest, value in truth.items()}
        answer = {"scores": scores, "seconds": 9, "steps": 3, "tuned": scores}
        answers.keep(jobs.Job(tiny, 0, recipe=name).key, answer)
    told = report(tiny, 2, ["plain", "sandwich", "plain-averaged"], answers)
    plain, sandwich = told["recipes"]
    assert [plain["tau"], plain["tau_upper"], sandwich["tau"]] == pytest.approx([1, 1, -1])
    assert plain["largest_worse"] == pytest.approx((6 - 2.005) / 2.005)
    assert plain["largest_worse_at_twice"] == pytest.approx((6 - 2.5) / 2.5)
    assert told["seed_deviation"] == pytest.approx(0.01 / 2**0.5)
    assert (told["alone"], told["alone_seeds"]) == (len(jobs.chosen(tiny)), 2)
    assert plain["predicted"] is None, "too few to hold any out"
    rows = {row["score"]: row for row in told["proxies"]}
    again, tuned = rows["alone, one seed with the other"], rows["plain, on for 0 steps"]
    assert [again["tau"], tuned["tau"]] == pytest.approx([1, 1])
    with Console(file=StringIO(), width=200, record=True) as console:
        show(told, console)
    assert "sandwich" in console.export_text()


@pytest.mark.slow
def test_what_fails_keeps_no_other_answer_waiting(tmp_path: Path) -> None:
    import recipe_jobs as jobs
    from recipe_report import report

    tiny, answers = setting(), jobs.Answers(tmp_path / "answers.jsonl")
    asked = [jobs.Job(tiny, 0, recipe=name) for name in ("no such recipe", "plain")]
    (failure,) = jobs.train(asked, answers, 1)
    assert "no such recipe" in failure
    assert list(jobs.Answers(tmp_path / "answers.jsonl").known) == [asked[1].key]
    told = report(tiny, 1, ["plain"], answers)
    assert told == {"task": "text", "alone": 0}, "nothing was trained alone"
