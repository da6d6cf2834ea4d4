"""A prompt and the tokens after it as one objective: a whole job on simulated devices."""

from __future__ import annotations

from contextlib import closing

import pytest

from nas.analysis.known import KnownJob
from nas.analysis.optimum import find_optimum
from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.controller.controller import Controller
from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.front import Scope
from nas.job import JobStatus
from nas.planning.plan import resolve
from nas.service.running.embedded import EmbeddedService
from nas.spec import load_job_spec
from nas.store import open_store
from searchspaces.architecture import Architecture
from workers.target import Phase, Target

SPEC = {
    "space": {
        "name": "tiny-lm",
        "vocabulary": 256,
        "context": 32,
        "width": [16, 32],
        "depth": [1, 2, 3],
        "layer": {"mixer": ["softmax", "linear", "none"], "heads": [2], "ratio": [1, 2]},
    },
    "task": {"name": "text", "evaluation_tokens": 512},
    "targets": [{"device": "phone", "tokens": 64}, {"device": "phone", "phase": "decode", "tokens": 64}],
    "objectives": ["quality", "generation_ms"],
    "bounds": {"generation": 9.0},
    "generated": 8,
    "budget": {
        "profile": {"measurements": 16, "minimum": 8, "holdout": 6, "tolerance": 0.02},
        "train": {"steps": 1, "batch": 1},
        "search": {"evaluations": 30, "batch": 6},
        "verify": {"rounds": 2, "evaluations": 6, "tolerance": 0.2},
    },
}


def latency(architecture: Architecture, target: Target) -> float:
    """Prompts pay for layers, tokens for width."""
    if target.workload.phase is Phase.DECODE:
        return 0.1 + 0.02 * architecture.width
    return 0.5 + sum(0.4 * (layer.mixer != "none") + 0.5 * layer.ratio for layer in architecture.layers)


def quality(architecture: Architecture, split: Split) -> float:
    return 2.0 + 4.0 / (1.0 + latency(architecture, Target("phone"))) + 4.0 / architecture.width


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("home")
    with closing(open_store(home)) as store:
        job = store.create_job(load_job_spec(SPEC))
        devices = SimulatedMeasurementBackend(store, {"phone": latency})
        Controller(store, home, devices, SimulatedComputeBackend(quality)).run(job.id, lambda: False)
        job = store.job(job.id)
        assert job.status is JobStatus.SUCCEEDED, job.error
        with EmbeddedService(home) as service:
            front = service.front(job.id, Scope.ALL)
        yield KnownJob(job.id, resolve(job.spec), store), front


def test_points_have_the_sum_predicted_and_measured(done) -> None:
    job, front = done
    prompt, token = job.plan.targets
    assert [objective.key for objective in front.objectives][1] == ("generation_ms", str(token))
    assert front.members()
    for point in front.members():
        value = point.known("generation_ms", token)
        parts = point.known("latency_ms", prompt), point.known("latency_ms", token)
        assert value.measured == pytest.approx(parts[0].measured + 8 * parts[1].measured)
        assert value.predicted == pytest.approx(parts[0].predicted + 8 * parts[1].predicted)
        assert value.measured <= 9.0
        assert value.measured_std >= parts[0].measured_std
    wider = [p for p in front.points if (v := p.known("generation_ms", token)) and v.best_known > 9.0]
    assert wider, "the bound leaves some out"


def test_bounds_and_proofs_speak_of_the_sum(done) -> None:
    job, front = done
    token = job.plan.targets[1]
    fastest = min(p.known("generation_ms", token).best_known for p in front.members())
    assert front.best({"generation": fastest}).known("generation_ms", token).best_known == fastest
    found = find_optimum(job, {"generation_ms": 7.0})
    assert found.point.known("generation_ms", token).best_known <= 7.0 * 1.02


def test_without_a_prompt_there_is_none() -> None:
    alone = {**SPEC, "targets": [{"device": "phone", "phase": "decode", "tokens": 64}], "bounds": {}}
    with pytest.raises(InvalidSpec, match=r"objectives\.1: no objective 'generation_ms'"):
        resolve(load_job_spec(alone))
