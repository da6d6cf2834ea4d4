"""What is predicted of candidates once some are trained alone, and which are to be trained next."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from nas.analysis.choice import most_improving, over_everything, published
from nas.analysis.delivered import seed_deviation, with_delivered
from nas.analysis.known import KnownJob
from nas.evaluation import Evaluation, Split
from nas.objectives.quality import FINE_TUNED
from nas.objectives.value import Value
from nas.planning.plan import resolve
from nas.point import Fidelity, FineTuned, Point
from nas.service.wire.convert.fronts import point_from_message, point_to_message
from nas.spec import load_job_spec
from nas.store import open_store
from searchspaces.architecture import Architecture

SPEC = {
    "space": "hybrid-lm",
    "task": {"name": "text", "evaluation_tokens": 1024},
    "targets": [{}],
    "budget": {"finalists": {"count": 8, "presets": 6, "start": "scratch"}},
}


@pytest.fixture
def job(tmp_path: Path) -> Iterator[KnownJob]:
    plan, store = resolve(load_job_spec(SPEC)), open_store(tmp_path)
    yield KnownJob(store.create_job(plan.spec).id, plan, store)
    store.close()


def alone(architecture: Architecture) -> float:
    """Wide and deep models gain more than the supernet lets them; one mixer is worth more than it says."""
    wide = np.mean([layer.ratio for layer in architecture.layers])
    windows = np.mean([layer.mixer.startswith("window") for layer in architecture.layers])
    return 2.5 - 0.05 * wide - 0.1 * np.log(architecture.depth) - 0.2 * windows


def candidates(job: KnownJob, count: int, noise: float = 0.02) -> list[Point]:
    """Presets and random architectures: the supernet tells half of what training alone does, and noise."""
    plan, rng = job.plan, np.random.default_rng(0)
    names = {preset.architecture.digest: name for name, preset in plan.presets.items()}
    drawn = plan.space.decode(plan.space.sample(count, rng))
    every = {a.digest: a for a in [*(p.architecture for p in plan.presets.values()), *drawn]}
    key = "latency_ms", str(plan.targets[0])
    costs = plan.costs.macs(plan.space.encode(every.values()), 1024) / 1e8
    return [
        Point(
            digest,
            a,
            1.0 + 0.5 * alone(a) + noise * rng.standard_normal(),
            None,
            {key: Value(float(ms), 0.1, float(ms), 0.01)},
            names.get(digest),
        )
        for (digest, a), ms in zip(every.items(), costs, strict=True)
    ]


def train(
    job: KnownJob, points: Sequence[Point], chosen: Sequence[Point], quality: Callable[[Architecture], float]
) -> list[Point]:
    """All the points, as they are once the chosen ones are trained."""
    trained = {}
    for point in chosen:
        weights = job.plan.finalist_digest(point.digest)
        value = quality(point.architecture)
        scored = Evaluation(weights, point.digest, Split.VALIDATION, value, 1.0)
        job.store.add_evaluations([scored], [point.architecture])
        trained[point.digest] = FineTuned(weights, 500, value)
    return with_delivered(job, [replace(p, tuned=trained.get(p.digest, p.tuned)) for p in points])


def test_few_trainings_rank_the_others_better_than_the_supernet_does(job: KnownJob) -> None:
    points = candidates(job, 60)
    assert train(job, points, points[:2], alone) != points, "they have weights of their own"
    assert all(p.delivered is None for p in train(job, points, points[:2], alone)), "two are too few"
    chosen = over_everything(job, points, 6, 6)
    assert [p.preset is not None for p in chosen] == [True] * 6 + [False] * 6
    told = train(job, points, chosen, alone)
    rest = [point for point in told if point.tuned is None]
    truth = [alone(point.architecture) for point in rest]
    by_supernet = kendalltau(truth, [point.validation for point in rest])[0]
    predicted = [point.delivered for point in rest]
    by_model = kendalltau(truth, [value.predicted for value in predicted])[0]
    assert by_model > by_supernet + 0.05
    missed = [abs(v.predicted - t) / v.predicted_std for v, t in zip(predicted, truth, strict=True)]
    assert np.mean(np.array(missed) < 2.0) > 0.7, "deviations are about what they say"


def test_scores_that_tie_tell_no_scale(job: KnownJob) -> None:
    points = candidates(job, 30)
    tied = [replace(point, validation=points[0].validation) for point in points[:3]]
    told = train(job, [*tied, *points[3:]], tied, alone)
    trained = [alone(point.architecture) for point in tied]
    scored = [point.validation for point in points if point.validation is not None]
    farthest = max(scored) - min(scored)
    for point in told:
        assert point.delivered is not None
        assert min(trained) - 10 * farthest < point.delivered.predicted < max(trained) + 10 * farthest


def test_what_is_predicted_of_a_trained_one_is_without_it(job: KnownJob, tmp_path: Path) -> None:
    points = candidates(job, 30)
    chosen = points[:8]
    usual = {p.digest: p for p in train(job, points, chosen, alone)}
    odd = chosen[3].digest
    store, plan = open_store(tmp_path / "other"), job.plan
    other = KnownJob(store.create_job(plan.spec).id, plan, store)
    strange = {
        p.digest: p for p in train(other, points, chosen, lambda a: alone(a) + 0.5 * (a.digest == odd))
    }
    assert strange[odd].delivered.measured == pytest.approx(usual[odd].delivered.measured + 0.5)
    assert strange[odd].delivered.predicted == pytest.approx(usual[odd].delivered.predicted)
    store.close()


def test_the_next_to_be_trained_improve_on_what_is_published(job: KnownJob) -> None:
    """They are no slower than the slowest design that was trained, and predicted to be on the front."""
    points = candidates(job, 200, noise=0.005)
    told = train(job, points, published(job, points, 6), alone)
    trained = [p for p in told if p.tuned]
    trainings = most_improving(job, told, 4)
    chosen = [training.point for training in trainings]
    assert len({p.digest for p in chosen}) == 4
    assert {training.fidelity for training in trainings} == {Fidelity.ALONE}, "there is no other rung"
    latency = next(o for o in job.plan.objectives if o.target)
    slowest = max(p.value(latency) for p in trained)

    def improves(point: Point) -> float:
        """On the best that is as fast, in standard deviations of what is predicted."""
        faster = [p.quality for p in trained if p.value(latency) <= point.value(latency)]
        worst = max(p.quality for p in trained)
        return (min([worst, *faster]) - point.delivered.predicted) / point.delivered.predicted_std

    reachable = [p for p in told if not p.tuned and not p.preset and p.value(latency) <= slowest]
    assert {p.digest for p in chosen} <= {p.digest for p in reachable}
    assert min(map(improves, chosen)) > np.median([improves(p) for p in reachable])
    assert max(map(improves, chosen)) > 0
    refused = {chosen[0].digest}
    assert not refused & {t.point.digest for t in most_improving(job, told, 4, refused)}


@pytest.fixture
def ladder(job: KnownJob) -> KnownJob:
    """The same job with a rung of 50 of 500 steps."""
    finalists = {**SPEC["budget"]["finalists"], "tuning_steps": 50}
    return replace(job, plan=resolve(load_job_spec({**SPEC, "budget": {"finalists": finalists}})))


def tune(job: KnownJob, points: Sequence[Point], quality: Callable[[Architecture], float]) -> None:
    """Fine-tune these from the supernet's weights."""
    for point in points:
        value = quality(point.architecture)
        scored = Evaluation(job.plan.tuning_digest, point.digest, Split.VALIDATION, value, 1.0)
        job.store.add_evaluations([scored], [point.architecture])


def surprise(architecture: Architecture) -> float:
    """What neither the supernet nor structure tells of training alone."""
    return 0.1 * np.random.default_rng(int(architecture.digest[:8], 16)).standard_normal()


def test_a_rung_below_training_alone_tells_what_the_supernet_does_not(ladder: KnownJob) -> None:
    def truth(architecture: Architecture) -> float:
        return alone(architecture) + surprise(architecture)

    def rung(architecture: Architecture) -> float:
        return 0.5 + 0.8 * truth(architecture)

    points = candidates(ladder, 40)
    chosen = over_everything(ladder, points, 5, 5)
    without = {p.digest: p.delivered for p in train(ladder, points, chosen, truth)}
    tuned = [*chosen, *(p for p in points if p not in chosen)][:50]
    tune(ladder, tuned, rung)
    told = {p.digest: p.delivered for p in train(ladder, points, chosen, truth)}
    rest = [p for p in tuned if p not in chosen]
    untuned = [p for p in points if p not in tuned]

    def error(known: dict[str, Value], of: Sequence[Point]) -> float:
        return float(np.mean([abs(known[p.digest].predicted - truth(p.architecture)) for p in of]))

    assert error(told, rest) < 0.3 * error(without, rest)
    deviations = [np.mean([told[p.digest].predicted_std for p in of]) for of in (rest, untuned)]
    assert deviations[0] < 0.5 * deviations[1], "what was not fine-tuned is as doubtful as before"
    known = {p.digest: p for p in train(ladder, points, chosen, truth)}
    assert known[chosen[0].digest].fidelities == ("supernet", "fine-tuned", "alone")
    assert known[rest[0].digest].fidelities == ("supernet", "fine-tuned")
    assert known[untuned[0].digest].fidelities == ("supernet",)
    climbed = known[rest[0].digest].values[FINE_TUNED, None]
    assert climbed.measured == pytest.approx(rung(rest[0].architecture))
    assert climbed.predicted != climbed.measured, "by a model that was not taught it"
    predicted = known[untuned[0].digest].values[FINE_TUNED, None]
    assert predicted.measured is None
    assert predicted.predicted_std > 0
    for point in (known[rest[0].digest], known[untuned[0].digest]):
        document = json.loads(json.dumps(point.to_dict()))
        assert document["quality"]["fine_tuned"]["predicted"] == point.values[FINE_TUNED, None].predicted
        assert document["quality"]["fidelities"] == list(point.fidelities)
        assert Point.from_dict(document) == point
        del document["quality"]["fine_tuned"], document["quality"]["fidelities"]
        assert Point.from_dict(document).fidelities == ("supernet",), "as earlier versions wrote it"
        assert point_from_message(point_to_message(point)) == point


def test_what_tells_most_for_its_price_is_fine_tuned_first_and_once(ladder: KnownJob) -> None:
    def truth(architecture: Architecture) -> float:
        return alone(architecture) + surprise(architecture)

    points = candidates(ladder, 60, noise=0.0)
    first = published(ladder, points, 8)
    tune(ladder, first, truth)
    told = train(ladder, points, first, truth)
    chosen = most_improving(ladder, told, 4, tunings=3)
    assert [t.fidelity for t in chosen].count(Fidelity.TUNED) == 3, "as many as are allowed, at a tenth"
    assert len({t.point.digest for t in chosen}) == 4
    expensive = most_improving(ladder, told, 4, tunings=3, rates={Fidelity.TUNED: 100.0, Fidelity.ALONE: 1.0})
    assert {t.fidelity for t in expensive} == {Fidelity.ALONE}, "at ten times the price it is not worth it"
    tune(ladder, [t.point for t in chosen], truth)
    again = most_improving(ladder, with_delivered(ladder, told), 4, tunings=9)
    known = {t.point.digest for t in chosen}
    assert not [t for t in again if t.fidelity is Fidelity.TUNED and t.point.digest in known]


def test_what_diverged_on_the_rung_is_known_and_tells_nothing(ladder: KnownJob) -> None:
    points = candidates(ladder, 20)
    first = published(ladder, points, 6)
    usual = train(ladder, points, first, alone)
    tune(ladder, first[:4], lambda _: math.nan)
    assert with_delivered(ladder, usual) == usual


def test_the_deviation_of_seeds_is_pooled_over_models_that_have_several() -> None:
    def scores(*values: float) -> list[Evaluation]:
        return [Evaluation(f"w{i}", "a", Split.TEST, value, 1.0) for i, value in enumerate(values)]

    assert seed_deviation([scores(1.0)]) == 0.0
    pooled = [scores(1.0, 1.2), scores(2.0, 2.0), scores(3.0)]
    assert seed_deviation(pooled) == pytest.approx(0.1)
