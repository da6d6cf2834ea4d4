"""A job on simulated devices and evaluation processes: every stage, no device, no Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.controller.controller import Controller
from nas.evaluation import Split
from nas.job import Job
from nas.spec import JobSpec, load_job_spec
from nas.store.store import Store
from searchspaces.architecture import Architecture
from workers.target import Target

WORTH = {"softmax": 1.0, "linear": 0.8, "none": 0.2}


def spec(*devices: str, **changes: object) -> JobSpec:
    return load_job_spec(
        {
            "name": "simulated",
            "space": {
                "name": "tiny-lm",
                "vocabulary": 256,
                "context": 32,
                "width": [16, 32],
                "depth": [1, 2, 3],
                "layer": {"mixer": ["softmax", "linear", "none"], "heads": [2], "ratio": [1, 2]},
            },
            "task": {"name": "text", "evaluation_tokens": 512},
            "targets": [{"device": device, "tokens": 64} for device in devices],
            "budget": {
                "profile": {"measurements": 16, "minimum": 8, "holdout": 6, "tolerance": 0.02},
                "train": {"steps": 1, "batch": 1},
                "search": {"evaluations": 30, "batch": 6, "strategy": "evolution"},
                "verify": {"rounds": 3, "evaluations": 6, "tolerance": 0.2},
            },
            **changes,
        }
    )


def quality(architecture: Architecture, split: Split) -> float:
    """Bits a byte: fall with width and with every layer, ever less."""
    worth = sum(WORTH[layer.mixer] + 0.2 * layer.ratio for layer in architecture.layers)
    return 2.0 + 4.0 / (1.0 + worth) + 4.0 / architecture.width + (0.01 if split is Split.TEST else 0.0)


def device(softmax: float, linear: float, wide: float) -> Callable[[Architecture, Target], float]:
    """Devices differ in what they are slow at."""
    cost = {"softmax": softmax, "linear": linear, "none": 0.0}

    def latency(architecture: Architecture, target: Target) -> float:
        layers = sum(cost[layer.mixer] + 0.3 * layer.ratio for layer in architecture.layers)
        return 0.5 + layers * (1.0 + wide * (architecture.width - 16) / 16)

    return latency


DEVICES = {"phone": device(2.0, 0.5, 1.0), "server": device(0.4, 1.5, 0.1), "board": device(1.0, 1.0, 3.0)}


def run(
    store: Store,
    home: Path,
    of: JobSpec | Job,
    evaluator: SimulatedComputeBackend | None = None,
    devices: SimulatedMeasurementBackend | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Job:
    """Submit the job where it is a spec, and take it to its end."""
    job = store.create_job(of) if isinstance(of, JobSpec) else of
    controller = Controller(
        store,
        home,
        devices or SimulatedMeasurementBackend(store, DEVICES),
        evaluator or SimulatedComputeBackend(quality),
    )
    return controller.run(job.id, stopped)
