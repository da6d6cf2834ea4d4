"""How well scores rank models that were trained alone: the job that trains, and what its points tell."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nas.bench.ranking import RankingBench, judge, key_of, trained_points, zero_cost_scores
from nas.errors import InvalidSpec, NoSuchPoint
from nas.front import Front
from nas.job import Job, JobStatus
from nas.objectives import Direction
from nas.objectives.value import Value
from nas.planning.plan import resolve
from nas.point import FineTuned, Point
from nas.report.ranking import ranking_picture
from nas.spec import StageName, load_job_spec
from searchspaces.architecture import Architecture, Layer
from workers.target import Target


def model(number: int, supernet: float, alone: float | None, predicted: float = 2.0) -> Point:
    layers = (Layer("softmax", 2, "mlp", 1.0), Layer("linear", 2, "mlp", 1.0))[: 1 + number % 2]
    a = Architecture(256, 16 + 16 * number, layers)
    counts = {("parameters", None): Value(100.0 + number), ("macs", None): Value(100.0 - number)}
    error = None if alone is None else 0.01
    delivered = Value(predicted, 0.1, alone, error)
    tuned = None if alone is None else FineTuned("weights", 30, alone)
    return Point(a.digest, a, supernet, None, {**counts, ("quality", None): delivered}, tuned=tuned)


def front_of(points: list[Point], direction: Direction = Direction.MIN) -> Front:
    return Front(
        "ranking-1", "tiny", "text", "bits_per_byte", direction, (Target("a"),), (), tuple(points), 9, ()
    )


ALONE = (1.9, 1.8, 1.7, 1.6)


def test_agreement_is_over_all_and_over_the_better_half() -> None:
    """The supernet has the better two in the wrong order, predictions are right, fewer MACs are better."""
    supernet, predicted = (2.4, 2.3, 2.1, 2.2), (1.95, 1.85, 1.75, 1.65)
    models = [model(n, *numbers) for n, numbers in enumerate(zip(supernet, ALONE, predicted, strict=True))]
    told = judge(
        front_of([*models, model(9, 2.0, None)]),
        {"perfect": [-p.quality for p in sorted(models, key=lambda p: p.digest)]},
    )
    rows = {row["score"]: row for row in told["scores"]}
    assert (told["alone"], told["steps"]) == (4, 30), "those that were not trained tell nothing"
    assert (rows["supernet"]["tau"], rows["supernet"]["tau_upper"]) == (pytest.approx(4 / 6), -1.0)
    assert (rows["predicted when delivered"]["tau"], rows["perfect"]["spearman"]) == (1.0, 1.0)
    assert (rows["parameters"]["tau"], rows["MACs"]["tau"]) == (1.0, -1.0)
    assert told["spread"] == pytest.approx(0.3)
    assert told["spread_upper"] == pytest.approx(0.1)
    assert told["seed_error"] == pytest.approx(0.01)
    assert told["within_two_deviations"] == 1.0
    assert told["largest"]["worse_in_supernet"] == pytest.approx((2.2 - 1.6) / 1.6)
    assert told["granularities"] == []
    granular = replace(models[0], preset="matformer-L6-x1")
    (matformer,) = judge(front_of([granular, *models[1:]]))["granularities"]
    assert (matformer["digest"], matformer["supernet"], matformer["alone"]) == (granular.digest, 2.4, 1.9)
    json.dumps(told, allow_nan=False)
    turned = [
        replace(
            p, validation=-p.validation, values={**p.values, ("quality", None): Value(-1.0, 0.1, -p.quality)}
        )
        for p in models
    ]
    higher = {row["score"]: row for row in judge(front_of(turned, Direction.MAX))["scores"]}
    assert higher["supernet"]["tau"] == rows["supernet"]["tau"]
    assert higher["predicted when delivered"]["tau"] is None, "the same for all ranks nothing"


def test_too_few_are_not_ranked() -> None:
    with pytest.raises(NoSuchPoint, match="trained 3 models alone"):
        judge(front_of([model(n, 2.0, 1.9) for n in range(3)]))
    assert ranking_picture(front_of([model(0, 2.0, None)])) is None


def test_the_picture_has_every_model_twice() -> None:
    drawn = ranking_picture(front_of([model(n, 2.0 + n, 1.9 - n / 10) for n in range(4)]))
    assert drawn is not None
    assert drawn.count("<circle") == 2 * 4


SPEC = load_job_spec(
    {
        "space": "hybrid-lm",
        "task": {"name": "text", "evaluation_tokens": 1024},
        "targets": [{}],
        "budget": {"train": {"steps": 7, "seed": 3}},
        "seed": 5,
    }
)


def test_a_job_is_judged_with_its_own_supernet() -> None:
    bench = RankingBench(seeds=2)
    job = Job("search-1", SPEC, JobStatus.SUCCEEDED, None, None, 0.0, 0.0)
    spec = bench.of_job(job)
    assert resolve(spec).supernet_digest == resolve(SPEC).supernet_digest
    assert spec.budget.finalists.choice == "spread"
    assert StageName.FINALISTS in spec.stages
    assert key_of(spec) == key_of(bench.of_job(job)) != key_of(replace(bench, steps=9).of_job(job))
    for status, until in ((JobStatus.FAILED, "finalists"), (JobStatus.SUCCEEDED, "train")):
        with pytest.raises(InvalidSpec, match="accepted: one that has searched"):
            bench.of_job(
                replace(job, status=status, spec=SPEC.model_copy(update={"until": StageName(until)}))
            )


def test_zero_cost_scores_are_a_function_of_seed_and_architecture() -> None:
    points = [model(0, 2.0, 1.9), model(1, 2.0, 1.8)]
    scores = zero_cost_scores(SPEC, points)
    assert scores == zero_cost_scores(SPEC, points)
    assert set(scores) == {"first gradient", "SNIP"}
    assert all(first != second for first, second in scores.values())
    assert [p.digest for p in trained_points(front_of([model(n, 2.0, 1.9) for n in (3, 2, 1, 0)]))] == sorted(
        model(n, 2.0, 1.9).digest for n in range(4)
    )
