"""What points score in the number formats of their targets, and that fronts go by it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nas.analysis.comparisons import compare_with_presets
from nas.analysis.converted import with_converted
from nas.analysis.known import KnownJob
from nas.cloud import Cloud
from nas.evaluation import Conversion, Evaluation, Split
from nas.front import Front, extent_of, mark_front
from nas.objectives.value import Value
from nas.planning.plan import resolve
from nas.point import FineTuned, Point
from nas.report.describe import axis_of
from nas.report.scores import score_columns
from nas.spec import load_job_spec
from nas.store import open_store
from nas.views import front_of_target, joint_front
from workers.target import Target

INT8 = Conversion("onnxruntime", "int8")


@pytest.fixture
def job(tmp_path: Path) -> Iterator[KnownJob]:
    """Of a target in float32 and one in int8."""
    spec = load_job_spec({"space": "hybrid-lm", "task": {"name": "text"}, "targets": [{}, {"dtype": "int8"}]})
    plan, store = resolve(spec), open_store(tmp_path)
    yield KnownJob(store.create_job(plan.spec).id, plan, store)
    store.close()


def targets(job: KnownJob) -> tuple[Target, Target]:
    plain, quantised = job.plan.targets
    return plain, quantised


def points(job: KnownJob, *scores: float) -> list[Point]:
    """With these scores of the supernet on both splits; the later, the slower."""
    plan = job.plan
    found = []
    for number, (preset, score) in enumerate(zip(plan.presets.values(), scores, strict=False)):
        ms = Value(1.0 + number, 0.1, 1.0 + number, 0.01)
        values = {("latency_ms", str(target)): ms for target in plan.targets}
        name = preset.name if number == 0 else None
        found.append(Point(preset.architecture.digest, preset.architecture, score, score + 0.1, values, name))
    job.store.put_points(job.job_id, found)
    for split in (Split.VALIDATION, Split.TEST):
        put(
            job,
            plan.supernet_digest,
            split,
            *((p, p.validation if split != "test" else p.test) for p in found),
        )
    return found


def put(job: KnownJob, weights: str, split: Split, *scored: tuple[Point, float | None]) -> None:
    job.store.add_evaluations(
        [
            Evaluation(weights, p.digest, split, v or 0.0, 0.1, sequences=(v or 0.0, v or 0.0))
            for p, v in scored
        ]
    )


def front_of(job: KnownJob, known: list[Point]) -> Front:
    plan = job.plan
    marked = tuple(mark_front(known, plan.objectives))
    quality = plan.objectives[0]
    return Front(
        job.job_id,
        plan.space.name,
        plan.task.name,
        quality.unit,
        quality.direction,
        plan.targets,
        plan.objectives,
        marked,
        len(marked),
        extent_of(marked, plan.objectives),
    )


def test_nothing_is_said_of_conversion_before_any_file_was_scored(job: KnownJob) -> None:
    known = points(job, 2.0, 2.1)
    assert with_converted(job, known) == known
    put(job, INT8.weights(job.plan.supernet_digest), Split.VALIDATION, (known[0], math.nan))
    assert with_converted(job, known) == known


def test_what_was_scored_is_measured_and_the_others_are_predicted_to_change_as_much(job: KnownJob) -> None:
    known = points(job, 2.0, 2.1, 2.2)
    converted = INT8.weights(job.plan.supernet_digest)
    put(job, converted, Split.VALIDATION, (known[0], 2.3), (known[1], 2.2))
    put(job, converted, Split.TEST, (known[0], 2.5))
    first, second, third = with_converted(job, known)
    plain, quantised = targets(job)
    assert first.known("quality", quantised) == Value(2.2, pytest.approx(0.2 / math.sqrt(2)), 2.3)
    assert second.known("quality", quantised).measured == pytest.approx(2.2)
    assert third.known("quality", quantised) == Value(
        pytest.approx(2.4), pytest.approx(0.2 / math.sqrt(2)), None
    )
    assert first.known("test", quantised).measured == pytest.approx(2.5)
    assert third.known("test", quantised).predicted == pytest.approx(2.3 + 0.4)
    assert first.known("quality", plain) == Value(2.0, 0.0, 2.0)
    assert third.verified  # by its device: what is predicted of its score is nobody's fault
    assert Point.from_dict(first.to_dict()) == first
    document = first.to_dict()["quality"]
    assert document["validation"] == 2.0
    assert document["converted"][str(quantised)]["validation"]["measured"] == pytest.approx(2.3)
    assert document["converted"][str(quantised)]["test"]["measured"] == pytest.approx(2.5)


def test_the_front_and_the_best_go_by_what_targets_run(job: KnownJob) -> None:
    """The slower is better in float32 and worse in int8: on both targets together, and on that of int8, the
    faster beats it."""
    known = points(job, 2.1, 2.0)
    put(job, INT8.weights(job.plan.supernet_digest), Split.VALIDATION, (known[0], 2.15), (known[1], 2.6))
    front = front_of(job, with_converted(job, known))
    plain, quantised = targets(job)
    assert [point.on_front for point in front_of(job, known).points] == [True, True]
    assert [point.on_front for point in front.points] == [True, False]
    assert front.best().digest == known[0].digest
    assert [p.on_front for p in front_of_target(front, quantised).points] == [True, False]
    assert [p.on_front for p in front_of_target(front, plain).points] == [True, True]
    latency = next(o for o in job.plan.objectives if o.target == quantised)
    assert [dot.quality for dot in axis_of(front, latency).dots] == pytest.approx([2.15, 2.6])
    columns = score_columns(front, quantised)
    assert [(c.name, c.cell(front.points[0])) for c in columns] == [("int8", "2.150"), ("int8 test", "–")]
    assert [column.name for column in score_columns(front, plain)] == ["validation", "test"]
    joint = joint_front([front], quantised)
    assert [p.on_front for p in joint.front.points] == [True, False]


def test_weights_of_its_own_are_converted_themselves(job: KnownJob) -> None:
    """Trained alone it changes by what its own weights do, not by what the supernet's do."""
    plain, other = points(job, 2.0, 2.1)
    tuned = replace(
        plain,
        tuned=FineTuned("own", 10, 1.5, 1.6),
        values={**plain.values, ("quality", None): Value(1.7, 0.1, 1.5)},
    )
    put(job, INT8.weights(job.plan.supernet_digest), Split.VALIDATION, (plain, 2.4), (other, 2.2))
    _, quantised = targets(job)
    without = with_converted(job, [tuned, other])[0].known("quality", quantised)
    assert without.measured is None
    assert without.predicted == pytest.approx(1.5 + 0.4)
    assert without.predicted_std == pytest.approx(0.3 / math.sqrt(2)), "of the change alone"
    put(job, "own", Split.VALIDATION, (plain, 1.5))
    put(job, INT8.weights("own"), Split.VALIDATION, (plain, 1.55))
    own = with_converted(job, [tuned, other])[0].known("quality", quantised)
    assert own.measured == pytest.approx(1.55)
    assert own.predicted == pytest.approx(1.7 + (0.4 + 0.1 + 0.05) / 3)


def test_designs_are_compared_as_each_target_runs_them(job: KnownJob) -> None:
    """Faster and better in float32; in int8 better no more, and not compared before it was scored."""
    design, found = points(job, 2.0, 1.9)
    slow = {key: replace(value, measured=9.0) for key, value in design.values.items()}
    job.store.put_points(job.job_id, [replace(design, values=slow), replace(found, on_front=True)])
    plain, quantised = targets(job)
    assert [c.target for c in compare_with_presets(job)] == [plain]
    put(job, INT8.weights(job.plan.supernet_digest), Split.TEST, (design, 2.1), (found, 2.7))
    compared = {c.target: c for c in compare_with_presets(job)}
    assert compared[plain].difference.mean == pytest.approx(-0.1)
    assert compared[quantised].difference.mean == pytest.approx(0.6)


def test_a_cloud_takes_the_worst_of_what_targets_run(job: KnownJob) -> None:
    known = points(job, 2.0, 2.1, 2.2)
    put(job, INT8.weights(job.plan.supernet_digest), Split.VALIDATION, (known[0], 2.3))
    told = with_converted(job, known)
    job.store.put_points(job.job_id, [*told[:2], known[2]])
    keys = [("quality", str(target)) for target in job.plan.targets]
    cloud = job.store.cloud(job.job_id, [("quality", None), *keys]).worst(("quality", None), keys, 1)
    assert isinstance(cloud, Cloud)
    assert list(cloud.columns) == [("quality", None)]
    assert cloud.columns["quality", None].tolist() == pytest.approx([2.3, 2.4, 2.2])
