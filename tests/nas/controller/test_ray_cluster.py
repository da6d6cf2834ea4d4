"""A Ray cluster of several nodes on this machine: work spreads, and a killed node's work is redone."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import numpy as np
import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from safetensors.torch import save_file

from nas.controller.cluster import RayCluster
from nas.controller.evaluator import RayEvaluator
from nas.errors import JobFailed
from nas.evaluation import Split
from nas.planning.plan import resolve
from nas.spec import load_job_spec
from nas.store.store import SupernetRecord
from searchspaces.supernet import Supernet

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def machines():
    """A head that evaluates nothing and two nodes of one processor each."""
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [machines.add_node(num_cpus=1) for _ in range(2)]
    yield machines, nodes
    machines.shutdown()


@pytest.fixture(scope="module")
def cluster(machines):
    cluster = RayCluster(machines[0].address)
    yield cluster
    cluster.close()


def scorers() -> dict[str, str]:
    """Nodes of the live evaluation processes, by process."""
    actors = ray._private.state.actors().values()
    return {
        a["ActorID"]: a["Address"]["NodeID"]
        for a in actors
        if a["State"] == "ALIVE" and "_Scorer" in a["ActorClassName"]
    }


def test_more_processors_than_there_are_is_an_error_at_once(cluster):
    started = time.monotonic()
    with pytest.raises(
        JobFailed, match=r"training needs 3 processors; the Ray cluster's 3 nodes have 2 in all"
    ):
        cluster.require(3, "training")
    assert cluster.require(2, "training").possible == 2
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_evaluations_spread_and_those_of_a_killed_node_are_redone(machines, cluster, tmp_path):
    spec = {"space": "hybrid-lm", "task": {"name": "text", "evaluation_tokens": 49152}, "targets": [{}]}
    plan = resolve(load_job_spec(spec))
    torch.manual_seed(0)
    supernet = Supernet(plan.space)
    save_file(supernet.state_dict(), tmp_path / "net.safetensors")
    record = SupernetRecord("net", plan.space.digest, plan.task.digest, 0, 0, 0.0, "net.safetensors")
    architectures = plan.space.decode(plan.space.sample(12, np.random.default_rng(0)))
    with RayEvaluator(cluster, tmp_path).open(plan, record, lambda: None, print) as pool:
        for architecture in architectures:
            pool.submit(architecture, Split.VALIDATION)
        done = [pool.next()]
        while len(pool._running) < 2:  # the second node's process answers a little later
            done.append(pool.next())
        assert len(set(scorers().values())) == 2
        lost = {request.architecture.digest: request for _, request in pool._running.values()}
        machines[0].remove_node(machines[1].pop(), allow_graceful=False)
        done += [pool.next() for _ in architectures[len(done) :]]
        assert sum(request.deaths for request in lost.values()) == 1, "one was in the middle of its work"
    assert sorted(e.digest for e in done) == sorted(a.digest for a in architectures)
    values = {e.digest: e.value for e in done}
    for architecture in architectures:
        if architecture.digest in lost and lost[architecture.digest].deaths:
            with torch.inference_mode():
                here = plan.task.evaluate(lambda x, a=architecture: supernet(x, a), Split.VALIDATION)
            assert values[architecture.digest] == pytest.approx(here, rel=1e-5)
    assert not any(math.isnan(value) for value in values.values())


DEATH = """
import os, signal, subprocess
from nas.controller.cluster import RayCluster

cluster = RayCluster(processors=1)
cluster.capacity()
raylet = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "raylet/raylet"], capture_output=True)
os.kill(int(raylet.stdout), signal.SIGKILL)
print(cluster.capacity().present, "processor after", cluster.starts, "starts")
cluster.close()
"""


@pytest.mark.slow
def test_a_local_ray_that_died_is_started_anew():
    """In a process of its own: Ray may end the whole process when it sees its own is gone."""
    answer = subprocess.run([sys.executable, "-c", DEATH], capture_output=True, text=True, timeout=200)
    assert "1 processor after 2 starts" in answer.stdout, answer.stderr


BROKEN_OFF = """
import threading, ray
from nas.controller.cluster import RayCluster

cluster = RayCluster(processors=1)
beginning = threading.Event()
init = ray.init
ray.init = lambda **options: (beginning.set(), init(**options))
threading.Thread(target=cluster.start).start()
beginning.wait()
cluster.close()
print("started", cluster.starts, "and", "left" if ray.is_initialized() else "ended")
"""


def test_a_ray_that_is_just_being_started_is_ended_too():
    """In a process of its own: of a Ray that is left half started the process hears a minute later."""
    answer = subprocess.run([sys.executable, "-c", BROKEN_OFF], capture_output=True, text=True, timeout=200)
    assert answer.stdout.split("\n")[0] == "started 1 and ended", answer.stderr
    assert answer.returncode == 0
