"""Ray Train with two processes: the loss curve of one, and its errors. Each start of
Ray Train takes 15 s and more; `tests/nas/training/test_ranks.py` is the quick form, without Ray."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import ray

from nas.controller.backend import RayComputeBackend
from nas.controller.cluster import RayCluster
from nas.errors import JobFailed
from nas.planning.plan import Plan, resolve
from nas.spec import load_job_spec
from nas.training import TrainingResult

pytestmark = [pytest.mark.slow, pytest.mark.alone]

LONG = 3000
"""Steps that take longer than Ray Train takes to see that a process is dead, and to start others."""

TOLERANCE = 1e-4
"""Of a step's loss, relative: the order of sums alone differs, and grows with the steps (docs/results.md)."""


def plan(**train: object) -> Plan:
    spec = {
        "space": {
            "name": "tiny",
            "context": 32,
            "width": [16],
            "depth": [1, 2],
            "layer": {"mixer": ["softmax", "window:8", "linear", "none"], "heads": [2], "ratio": [1, 2]},
        },
        "task": {"name": "text", "evaluation_tokens": 1024, "evaluation_context": 16},
        "targets": [{}],
        "budget": {"train": {"steps": 20, "batch": 5, **train}},
    }
    return resolve(load_job_spec(spec))


@pytest.fixture(scope="module")
def compute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayComputeBackend]:
    compute = RayComputeBackend(tmp_path_factory.mktemp("home"))
    compute.cluster = RayCluster(processors=2)
    yield compute
    compute.cluster.close()


def train(
    compute: RayComputeBackend, plan: Plan, folder: Path, stopped: Callable[[], bool] = lambda: False
) -> TrainingResult:
    return compute.train(plan, folder, lambda *_: None, stopped)


def test_two_processes_take_the_steps_of_one(compute: RayComputeBackend, tmp_path: Path) -> None:
    """A batch of 5 and sandwich sampling: unequal shares, several architectures in a step."""
    one = train(compute, plan(sandwich=True), tmp_path / "one")
    two = train(compute, plan(sandwich=True, processes=2), tmp_path / "two")
    assert two.steps == 20
    np.testing.assert_allclose(two.losses, one.losses, rtol=TOLERANCE)
    assert [file.name for file in (tmp_path / "two").iterdir()] == ["supernet.safetensors"]
    assert plan(processes=2).supernet_digest == plan().supernet_digest


def test_what_a_process_says_is_wrong_ends_the_job(compute: RayComputeBackend, tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=r"^the training loss is (nan|inf) at step \d+; try a learning_rate"):
        train(compute, plan(processes=2, learning_rate=1e30), tmp_path)


def test_more_processes_than_processors_is_said_first(compute: RayComputeBackend, tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=r"budget.train.processes: 3 needs 3 processors.*have 2"):
        train(compute, plan(processes=3), tmp_path)


def training_processes() -> set[int]:
    """Those of Ray Train that are alive."""
    actors = ray._private.state.actors().values()
    return {a["Pid"] for a in actors if a["State"] == "ALIVE" and "TrainWorker" in a["ActorClassName"]}


def test_training_goes_on_from_its_checkpoint_when_a_process_is_killed(
    compute: RayComputeBackend, tmp_path: Path
) -> None:
    """Stopped early, which leaves a checkpoint; then a process killed as soon as both go on from there."""
    both, begun = plan(steps=LONG, processes=2), threading.Event()
    stopped = compute.train(both, tmp_path, lambda *_: begun.set(), begun.is_set)
    assert 0 < stopped.steps < LONG
    killed: set[int] = set()
    later: list[tuple[int, set[int]]] = []

    def kill_one(done: int, *_: object) -> None:
        if not killed:
            killed.add(min(training_processes()))
            os.kill(min(killed), signal.SIGKILL)
        else:
            later.append((done, training_processes()))

    result = compute.train(both, tmp_path, kill_one, lambda: False)
    assert result.steps == len(result.losses) == LONG
    assert result.losses[: stopped.steps] == stopped.losses, "what was done is not done again"
    others = [done for done, pids in later if len(pids) == 2 and not pids & killed]
    assert others, "two others took over"
    assert stopped.steps <= min(others)
    assert [file.name for file in tmp_path.iterdir()] == ["supernet.safetensors"]
