"""Jobs that start from a pretrained model, on simulated devices: every decision, no device, no evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.controller.controller import Controller
from nas.errors import JobFailed
from nas.evaluation import Split
from nas.job import Job
from nas.objectives.latency_ms import LATENCY
from nas.planning.objectives import with_target
from nas.planning.plan import resolve
from nas.planning.start import settle_start
from nas.spec import JobSpec, StageName, load_job_spec
from nas.stages.backends import Finalist
from nas.store import open_store
from nas.store.store import Store
from searchspaces.architecture import Architecture
from workers.target import Target


def spec_of(llama: Path, folder: Path, **more: object) -> JobSpec:
    (folder / "text.txt").write_text("all work and no play " * 500)
    spec = {
        "start": {"model": str(llama)},
        "space": {"mixer": ["keep", "window:8,2", "none"], "ratio": [1, 0.5]},
        "task": {"name": "text", "path": [str(folder / "text.txt")]},
        "targets": [{"device": "phone", "tokens": 64}],
        "budget": {
            "profile": {"measurements": 8, "minimum": 8, "holdout": 2},
            "search": {"evaluations": 12},
            "verify": {"rounds": 1},
            "heal": {"count": 0},
        },
    }
    return settle_start(load_job_spec(spec | more), Path(), folder)


def latency_ms(architecture: Architecture, target: Target) -> float:
    """Of layers alone, whatever the target."""
    return 1.0 + sum((layer.mixer != "none") + layer.ratio for layer in architecture.layers)


def lost(architecture: Architecture, split: Split) -> float:
    """By what is cut: nothing is better than the whole model."""
    return 10.0 - latency_ms(architecture, Target("phone", "onnxruntime")) / 4


class Healing(SimulatedComputeBackend):
    """Keeps what it is asked to heal, and does not."""

    asked: Sequence[Finalist] = ()

    def finetune(self, *arguments: Any) -> None:
        _, _, self.asked, *_ = arguments
        super().finetune(*arguments)


def run(store: Store, home: Path, of: JobSpec | Job, compute: SimulatedComputeBackend | None = None) -> Job:
    job = store.create_job(of) if isinstance(of, JobSpec) else of
    devices = SimulatedMeasurementBackend(store, {"phone": latency_ms})
    compute = compute or SimulatedComputeBackend(lost)
    return Controller(store, home, devices, compute).run(job.id, lambda: False)


def test_a_share_of_what_the_target_does_not_tell_is_refused(llama: Path, tmp_path: Path) -> None:
    bounds: dict[str, Any] = {"latency_ms": "90%", "peak_memory_bytes": "80%"}
    objectives = ["quality", "latency_ms", "peak_memory_bytes"]
    with closing(open_store(tmp_path)) as store:
        with pytest.raises(JobFailed, match="peak_memory_bytes is bounded by 80% of the parent's"):
            run(store, tmp_path, spec_of(llama, tmp_path, objectives=objectives, bounds=bounds))
        (job,) = store.jobs()
        assert job.spec.bounds == bounds


def test_what_is_healed_is_never_the_parent(llama: Path, tmp_path: Path) -> None:
    budget = spec_of(llama, tmp_path).budget.model_dump(mode="json", exclude={"finalists"})
    heal = {"heal": {"count": 1, "steps": 4}}
    compute = Healing(lost)
    with closing(open_store(tmp_path)) as store:
        with pytest.raises(JobFailed, match="a simulation has no finalists"):
            run(store, tmp_path, spec_of(llama, tmp_path, budget=budget | heal), compute)
        (job,) = store.jobs()
        parent = resolve(job.spec).space.first
        best = min(store.points(job.id), key=lambda point: point.validation or 0.0)
    assert best.architecture == parent
    assert best.on_front
    (healed,) = compute.asked
    assert healed.architecture != parent


def test_a_longer_target_changes_nothing_of_what_was_scored(llama: Path, tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        job = run(store, tmp_path, spec_of(llama, tmp_path))
        before, plan = store.points(job.id), resolve(job.spec)
        said = [event.message for event in store.events(job.id) if event.stage is StageName.TRAIN]
        assert f"supernet {plan.supernet_digest}: {plan.space.name} and what may replace its parts" in said
        longer = resolve(with_target(job.spec, Target.parse("phone/onnxruntime/fp32/1t/prefill/b1/n128")))
        assert longer.supernet_digest == plan.supernet_digest
        assert longer.task.identity() == plan.task.identity()
        assert store.reopen(job.id, longer.spec)
        run(store, tmp_path, store.job(job.id))
        after = store.points(job.id)
    assert {p.digest: p.validation for p in before} == {p.digest: p.validation for p in after}
    front = [p.known(LATENCY, target) for p in after if p.on_front for target in longer.targets]
    assert all(known is not None and known.measured is not None for known in front)
