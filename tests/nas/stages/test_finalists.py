"""The stage `finalists` on a real store and real training, without Ray: what is tuned, stored and kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from nas.analysis.comparisons import compare_with_presets
from nas.analysis.known import KnownJob
from nas.controller.tuning import starting_point
from nas.errors import InvalidSpec, JobInterrupted
from nas.evaluation import Split
from nas.export import load_model_folder
from nas.front import Scope
from nas.job import EventKind
from nas.objectives.value import Value
from nas.planning.plan import Plan, resolve
from nas.point import FineTuned, Point
from nas.service.running.extract import extract_point
from nas.spec import load_job_spec
from nas.stages.backends import Finalist, FinalistProgress
from nas.stages.finalists import Finalists
from nas.stages.stage import StageContext
from nas.store import Store, open_store
from nas.store.store import SupernetRecord
from nas.training import train_supernet
from nas.training.checkpoint import save_checkpoint
from nas.training.finetune import Diverged, finetune, rungs
from searchspaces.architecture import Architecture

SPEC = {
    "space": {
        "name": "tiny",
        "context": 16,
        "width": [16],
        "depth": [1, 2],
        "layer": {"mixer": ["softmax", "window:8", "linear", "none"], "heads": [2], "ratio": [1, 2]},
    },
    "task": {"name": "text", "evaluation_tokens": 1024, "evaluation_context": 16},
    "targets": [{}],
    "budget": {
        "train": {"steps": 60, "batch": 2},
        "finalists": {"count": 2, "steps": 45, "batch": 4, "learning_rate": 0.02},
    },
}


class InThisProcess:
    """A `ComputeBackend` that fine-tunes one finalist after another, each to its limit or until stopped."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.asked: list[list[int]] = []

    def finetune(
        self,
        plan: Plan,
        supernet: SupernetRecord,
        finalists: Sequence[Finalist],
        on_progress: Callable[[FinalistProgress], None],
        stopped: Callable[[], bool],
    ) -> None:
        self.asked.append([finalist.limit for finalist in finalists])
        for finalist in finalists:
            model, job = starting_point(plan, self._home / supernet.path, finalist)
            steps: list[int] = []
            try:
                finetune(
                    model, job, finalist.limit, lambda at, _, s=steps: s.append(at), lambda _: None, stopped
                )
            except Diverged as error:
                on_progress(FinalistProgress(finalist.weights, 0, True, str(error), diverged=True))
                continue
            if stopped():
                return
            on_progress(FinalistProgress(finalist.weights, steps[-1], True, "ended"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    home, plan = tmp_path_factory.mktemp("home"), resolve(load_job_spec(SPEC))
    folder = home / "supernets" / "net"
    train_supernet(plan.space, plan.task, plan.spec.budget.train, 0, folder, lambda *_: None, lambda: False)
    return home, plan


@pytest.fixture
def store(tmp_path: Path, trained: tuple[Path, Plan]) -> Iterator[Store]:
    """With a job whose front has three members; no fine-tuning can better the first."""
    _, plan = trained
    store = open_store(tmp_path)
    path = "supernets/net/supernet.safetensors"
    store.put_supernet(
        SupernetRecord(plan.supernet_digest, plan.space.digest, plan.task.digest, 0, 60, 1.0, path)
    )
    job = store.create_job(plan.spec)
    sampled = plan.space.decode(plan.space.sample(20, np.random.default_rng(0)))
    architectures = list({a.digest: a for a in sampled}.values())
    qualities = zip(architectures, (0.5, 7.0, 8.0), strict=False)
    key = "latency_ms", str(plan.targets[0])
    points = [
        Point(a.digest, a, q, None, {key: Value(9.0 - q, 0.1, 9.0 - q, 0.01)}, on_front=True)
        for a, q in qualities
    ]
    store.put_points(job.id, points)
    yield store
    store.close()


def run(
    store: Store, trained: tuple[Path, Plan], stopped: Callable[[], bool] = lambda: False
) -> tuple[InThisProcess, list[Point]]:
    """Run the stage; what it asked for, and the front."""
    home, plan = trained
    (job,) = store.jobs()
    compute: Any = InThisProcess(home)
    measuring: Any = None
    Finalists().run(
        StageContext(
            job.id, plan, store, home, measuring, compute, lambda e: store.append_event(job.id, e), stopped
        )
    )
    return compute, store.points(job.id, Scope.FRONT)


def test_what_got_better_keeps_its_own_weights_and_the_rest_the_supernets(
    store: Store, trained: tuple[Path, Plan], tmp_path: Path
) -> None:
    """Two of three, from the best to the worst: the first, which cannot get better, and the last."""
    home, plan = trained
    compute, (best, middle, worst) = run(store, trained)
    assert compute.asked == [[45, 45]]
    assert (best.tuned, middle.tuned) == (None, None)
    assert worst.tuned is not None
    assert worst.tuned.validation < 8.0
    assert (best.validation, worst.validation) == (0.5, 8.0), "what fronts compare stays"
    for split, value in ((Split.VALIDATION, worst.tuned.validation), (Split.TEST, worst.tuned.test)):
        (stored,) = store.evaluations(worst.tuned.weights, split)
        assert (stored.digest, stored.value) == (worst.digest, value)
    (job,) = store.jobs()
    notes = [e.message for e in store.events(job.id) if e.kind is EventKind.NOTE and "→" in e.message]
    assert [("no better" in note) for note in notes] == [True, False]

    manifest = extract_point(store, home, job, worst.digest, tmp_path / "model")
    parent = {"weights": worst.tuned.weights, "steps": worst.tuned.steps, "parent": plan.supernet_digest}
    assert parent.items() <= manifest["tuned"].items()
    shipped = load_model_folder(tmp_path / "model")
    assert plan.task.evaluate(shipped, Split.TEST) == pytest.approx(worst.tuned.test, rel=1e-6)
    assert extract_point(store, home, job, best.digest, tmp_path / "plain")["tuned"] is None


def test_stopped_and_run_again_it_goes_on_and_does_nothing_twice(
    store: Store, trained: tuple[Path, Plan]
) -> None:
    shutil.rmtree(trained[0] / "finalists", ignore_errors=True)
    asked = iter(range(10_000))
    with pytest.raises(JobInterrupted):
        run(store, trained, lambda: next(asked) >= 60)
    compute, stopped = run(store, trained)
    assert compute.asked == [[45, 45]]
    again, points = run(store, trained)
    assert again.asked == [], "all have ended"
    assert points == stopped
    assert points[-1].tuned is not None
    assert len(store.evaluations(points[-1].tuned.weights, Split.TEST)) == 1


def from_scratch(plan: Plan, **budget: Any) -> Plan:
    chosen = {"start": "scratch", "count": 2, "presets": 1, "steps": 30, "batch": 2, **budget}
    return resolve(load_job_spec({**SPEC, "budget": {**SPEC["budget"], "finalists": chosen}}))


def test_from_scratch_all_are_trained_to_one_end_published_designs_too(
    store: Store, trained: tuple[Path, Plan]
) -> None:
    home, plan = trained[0], from_scratch(trained[1])
    (job,) = store.jobs()
    taken = {point.digest for point in store.points(job.id)}
    name, a = next((n, p.architecture) for n, p in plan.presets.items() if p.architecture.digest not in taken)
    values = {("latency_ms", str(plan.targets[0])): Value(10.0, 0.1, 10.0, 0.01)}
    store.put_points(job.id, [Point(a.digest, a, 9.0, None, values, preset=name)])
    compute, _ = run(store, (home, plan))
    assert compute.asked == [[30, 30, 30]]
    best, middle, worst, design = store.points(job.id)
    assert middle.tuned is None
    for point in (best, worst, design):
        assert point.tuned is not None
        assert point.tuned.steps == 30, "kept though the supernet's score is better: it is what is delivered"
        (test,) = store.evaluations(point.tuned.weights, Split.TEST)
        assert len(test.sequences) == sum(map(len, plan.task.evaluation_batches(Split.TEST)))
        assert point.quality == point.tuned.validation
    assert best.tuned.validation != worst.tuned.validation
    assert middle.delivered.measured is None
    assert middle.quality == middle.delivered.predicted != middle.validation
    first, second = compare_with_presets(KnownJob(job.id, plan, store))
    assert {first.found, second.found} == {best.digest, worst.digest}
    for compared in (first, second):
        assert (compared.preset, compared.steps) == (name, 30)
        assert compared.difference.mean == pytest.approx(compared.found_test - compared.baseline_test)
        assert compared.difference.standard_error > 0
    assert run(store, (home, plan))[0].asked == [], "each is trained once"
    going_on = trained[1].finalist_digest(best.digest)
    assert going_on != best.tuned.weights, "of another start, of another name"


class Pretending(InThisProcess):
    """Fresh weights, and a quality that is told rather than trained; stops after so many."""

    def __init__(
        self,
        home: Path,
        quality: Callable[[Finalist], float],
        stop_after: int = 99,
        seconds_a_step: float = 0.0,
    ) -> None:
        super().__init__(home)
        self._quality, self._left, self._seconds = quality, stop_after, seconds_a_step
        self.trained: list[list[str]] = []

    def finetune(
        self,
        plan: Plan,
        supernet: SupernetRecord,
        finalists: Sequence[Finalist],
        on_progress: Callable[[FinalistProgress], None],
        stopped: Callable[[], bool],
    ) -> None:
        self.trained.append([finalist.architecture.digest for finalist in finalists])
        for finalist in finalists:
            model, _ = starting_point(plan, self._home / supernet.path, finalist)
            time.sleep(self._seconds * finalist.limit)
            facts = {"steps": finalist.limit, "validation": self._quality(finalist), "seconds": 0.1}
            save_checkpoint(finalist.folder / "model.safetensors", model.state_dict(), facts)
            self._left -= 1
            if self._left < 0:
                raise JobInterrupted("stopped")
            on_progress(FinalistProgress(finalist.weights, finalist.limit, True, "ended"))


def test_published_designs_first_then_a_few_at_a_time_each_seed_of_each(
    store: Store, trained: tuple[Path, Plan], tmp_path: Path
) -> None:
    """Trained alone, more layers are better, which the supernet denies: it is learned, and what has more
    layers is trained next."""
    home = tmp_path / "home"
    shutil.copytree(trained[0], home)
    plan = from_scratch(trained[1], count=3, presets=4, together=2, seeds=2)
    (job,) = store.jobs()
    key = "latency_ms", str(plan.targets[0])
    everything = plan.space.decode(plan.space.enumerate(1000))
    names = {preset.architecture.digest: name for name, preset in plan.presets.items()}

    def point(a: Architecture) -> Point:
        ms = 10.0 + plan.costs.macs(plan.space.encode([a]), 64)[0] / 1e6
        return Point(
            a.digest, a, 2.0 + 0.1 * a.depth, None, {key: Value(ms, 0.1, ms, 0.01)}, names.get(a.digest)
        )

    store.put_points(job.id, [point(a) for a in everything])

    def quality(finalist: Finalist) -> float:
        return 2.0 - 0.2 * finalist.architecture.depth + 0.01 * (finalist.seed - plan.train_seed)

    def go_on(compute: Pretending) -> None:
        context = StageContext(
            job.id, plan, store, home, cast(Any, None), compute, lambda _: None, lambda: False
        )
        Finalists().run(context)

    stopped = Pretending(home, quality, stop_after=2)
    with pytest.raises(JobInterrupted):
        go_on(stopped)
    compute = Pretending(home, quality)
    go_on(compute)
    first, second, third = compute.trained
    assert first == stopped.trained[0], "the same as before the interruption"
    assert len(first) == 4 * 2
    assert all(digest in names for digest in first)
    assert len(second) == 2 * 2
    assert len(third) == 2 * 1
    points = {p.digest: p for p in store.points(job.id)}
    found = [points[digest] for digest in dict.fromkeys([*second, *third])]
    assert [p.architecture.depth for p in found] == [2, 2, 2]
    assert all(p.preset is None and p.delivered.measured == pytest.approx(1.605) for p in found)
    assert all(p.delivered.measured_std == pytest.approx(0.005) for p in found), "of the mean of two seeds"
    rest = [p for p in points.values() if p.tuned is None]
    assert all(
        p.delivered.predicted == pytest.approx(2.0 - 0.2 * p.architecture.depth, abs=0.05) for p in rest
    )
    assert {p.architecture.depth for p in points.values() if p.on_front} <= {1, 2}
    again = Pretending(home, quality)
    go_on(again)
    assert again.trained == []


def test_a_job_whose_finalists_an_earlier_version_trained_trains_no_others(
    store: Store, trained: tuple[Path, Plan]
) -> None:
    plan = from_scratch(trained[1])
    (job,) = store.jobs()
    best, *_ = store.points(job.id)
    weights = plan.finalist_digest(best.digest)
    store.put_points(job.id, [replace(best, tuned=FineTuned(weights, 30, 1.0))])
    store.put_state(job.id, "finalists", {"ended": {weights: 30}})
    assert run(store, (trained[0], plan))[0].asked == []
    assert store.state(job.id, "finalists")["chosen"] == [best.digest]
    assert run(store, (trained[0], plan))[0].asked == []


def test_what_diverges_is_a_failed_evaluation_and_not_trained_again(
    store: Store, trained: tuple[Path, Plan]
) -> None:
    home, plan = trained[0], from_scratch(trained[1], learning_rate=1e30, presets=0)
    run(store, (home, plan))
    (job,) = store.jobs()
    assert all(point.tuned is None for point in store.points(job.id))
    notes = [event.message for event in store.events(job.id) if event.kind is EventKind.NOTE]
    assert sum("not trained to the end: its loss is" in note for note in notes) == 2
    assert run(store, (home, plan))[0].asked == [], "paid for once"


def test_a_rung_of_fine_tunings_is_climbed_before_what_is_trained_alone_is_chosen(
    store: Store, trained: tuple[Path, Plan], tmp_path: Path
) -> None:
    """What is trained first is fine-tuned too; then candidates are, each once, and who does best there is
    trained alone. No weights of that rung stay."""
    home = tmp_path / "home"
    shutil.copytree(trained[0], home)
    shutil.rmtree(home / "finalists", ignore_errors=True)
    plan = from_scratch(trained[1], count=2, presets=5, together=3, steps=90, tuning_steps=9)
    (job,) = store.jobs()
    key = "latency_ms", str(plan.targets[0])
    names = {preset.architecture.digest: name for name, preset in plan.presets.items()}
    everything = plan.space.decode(plan.space.enumerate(1000))

    def point(a: Architecture) -> Point:
        ms = 10.0 + plan.costs.macs(plan.space.encode([a]), 64)[0] / 1e6
        return Point(a.digest, a, 2.0, None, {key: Value(ms, 0.1, ms, 0.01)}, names.get(a.digest))

    store.put_points(job.id, [point(a) for a in everything])

    def quality(finalist: Finalist) -> float:
        return 2.0 + 0.1 * np.random.default_rng(int(finalist.architecture.digest[:8], 16)).standard_normal()

    def go_on(compute: Pretending) -> None:
        context = StageContext(
            job.id, plan, store, home, cast(Any, None), compute, lambda _: None, lambda: False
        )
        Finalists().run(context)

    with pytest.raises(JobInterrupted):
        go_on(Pretending(home, quality, stop_after=2))
    compute = Pretending(home, quality, seconds_a_step=0.002)
    go_on(compute)
    state = store.state(job.id, "finalists")
    assert state is not None
    tuned = store.evaluations(plan.tuning_digest, Split.VALIDATION)
    assert [e.digest for e in tuned] == list(state["tuned"]), "each once"
    assert compute.trained[:2] == [state["chosen"][:5]] * 2, "both of each: a rung calibrates the next"
    assert 5 < len(tuned) <= 5 + 20, "a tenth of the price is worth it, and all cost no more than the rest"
    found = [p for p in store.points(job.id) if p.digest in state["chosen"][5:]]
    assert len(found) == 2
    values = {e.digest: e.value for e in tuned if e.digest not in names}
    better = sorted(values.values())[: len(values) // 2]
    assert all(values.get(p.digest, better[-1]) in better for p in found), "what did well there, or is new"
    assert set(state["spent"]) == {"fine-tuned", "alone"}
    kept = {path.name for path in (home / "finalists").iterdir()}
    assert kept == {plan.finalist_digest(digest) for digest in state["chosen"]}
    again = Pretending(home, quality)
    go_on(again)
    assert again.trained == []


def test_what_diverges_on_the_rung_is_a_failed_evaluation(store: Store, trained: tuple[Path, Plan]) -> None:
    home = trained[0]
    plan = from_scratch(trained[1], presets=0, learning_rate=1e30, tuning_steps=3)
    run(store, (home, plan))
    (job,) = store.jobs()
    tuned = store.evaluations(plan.tuning_digest, Split.VALIDATION)
    assert len(tuned) == 2
    assert all(np.isnan(e.value) for e in tuned)
    notes = [event.message for event in store.events(job.id) if event.kind is EventKind.NOTE]
    assert sum("fine-tuned: its loss is" in note for note in notes) == 2


@pytest.mark.parametrize(
    ("finalists", "said"),
    [
        ({"start": "scratch", "steps": 30, "tuning_steps": 30}, r"30 are no rung below .* accepted: 0 to 29"),
        ({"start": "supernet", "tuning_steps": 5}, "accepted: 0, or start: scratch"),
        ({"start": "scratch", "choice": "spread", "tuning_steps": 5}, "accepted: 0, or choice: improvement"),
        ({"start": "scratch", "count": 0, "tuning_steps": 5}, "accepted: 0, or count or presets of 1"),
    ],
)
def test_a_ladder_that_does_not_rise_is_refused(finalists: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec, match=said) as refused:
        load_job_spec({**SPEC, "budget": {"finalists": {"count": 2, **finalists}}})
    assert [problem.path for problem in refused.value.problems] == ["budget.finalists.tuning_steps"]


def test_a_budget_that_stops_none_early_has_one_end(trained: tuple[Path, Plan]) -> None:
    usual = trained[1].spec.budget.finalists
    to_the_end = usual.model_copy(update={"stop_early": False})
    assert (len(rungs(usual)), rungs(to_the_end)) == (3, (usual.steps,))
    assert usual.identity() != to_the_end.identity(), "the best rung's weights, and the last one's"
    assert "stop_early" not in usual.identity(), "as it was named before"
