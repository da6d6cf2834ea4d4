"""Whole jobs on a Ray cluster of three nodes: the same front, whatever happens to a node."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.cluster_utils import Cluster

import nas
from nas.job import EventKind
from nas.spec import StageName

pytestmark = [pytest.mark.slow, pytest.mark.alone]

TINY = Path(__file__).parent / "tiny.yaml"
NAS = [sys.executable, "-c", "from nas.cli.main import main; main()"]


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def wait_until_open(address: str) -> None:
    """Until somebody listens there."""
    host, _, port = address.partition(":")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.2)
    raise AssertionError(f"nobody listens at {address}")


@pytest.fixture(scope="module")
def machines():
    """A head without processors for work, which also answers Ray's client protocol, and two nodes."""
    port = free_port()
    head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": port}
    machines = Cluster(initialize_head=True, head_node_args=head)
    nodes = [machines.add_node(num_cpus=1) for _ in range(2)]
    yield machines, nodes, f"ray://127.0.0.1:{port}"
    machines.shutdown()


@pytest.fixture(scope="module")
def job_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job whose front depends on nothing that is timed."""
    spec = yaml.safe_load(TINY.read_text())
    spec["objectives"] = ["quality", "parameters"]
    spec["budget"]["profile"] = {"measurements": 4, "minimum": 4, "holdout": 4, "tolerance": 1.0}
    spec["budget"]["train"] = {"steps": 60, "batch": 4}
    spec["budget"]["search"] = {"evaluations": 40, "batch": 6}
    spec["budget"]["verify"]["rounds"] = 1
    path = tmp_path_factory.mktemp("spec") / "job.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


@pytest.fixture(scope="module")
def undisturbed(job_file: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What the job finds on a Ray of this machine."""
    with nas.connect(home=tmp_path_factory.mktemp("alone")) as client:
        job = client.submit(job_file)
        list(client.watch(client.resume(job.id).id))
        return found(client.front(job.id).to_dict())


def found(front: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What of a front no clock has a say in; qualities to the digits that no order of sums changes."""
    members = [point for point in front["points"] if point["on_front"]]
    return sorted((p["digest"], round(p["quality"]["validation"], 4), p["parameters"]) for p in members)


def test_search_by_the_client_protocol_finds_the_same(machines, job_file, undisturbed, tmp_path) -> None:
    command = [
        "--home",
        str(tmp_path / "home"),
        "search",
        str(job_file),
        "--ray-address",
        machines[2],
        "--json",
    ]
    answer = subprocess.run([*NAS, *command], capture_output=True, text=True, timeout=240, check=True)
    assert found(json.loads(answer.stdout)) == undisturbed


def test_serve_runs_jobs_on_the_cluster(machines, job_file, undisturbed, tmp_path) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = ["--home", str(tmp_path / "home"), "serve", "--bind", address, "--workers", "127.0.0.1:0"]
    service = subprocess.Popen([*NAS, *command, "--ray-address", machines[2]], start_new_session=True)
    try:
        wait_until_open(address)
        with nas.connect(address) as client:
            job = client.submit(job_file)
            list(client.watch(job.id))
            assert found(client.front(job.id).to_dict()) == undisturbed
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(60)


def test_a_node_killed_in_the_search_changes_nothing(machines, job_file, undisturbed, tmp_path) -> None:
    """Last: it leaves one node."""
    cluster, nodes, address = machines
    with nas.connect(home=tmp_path / "home", ray_address=address) as client:
        job = client.submit(job_file)
        for event in client.watch(client.resume(job.id).id):
            searching = event.stage is StageName.SEARCH and event.kind is EventKind.PROGRESS
            if searching and event.done >= 8 and len(nodes) == 2:
                cluster.remove_node(nodes.pop(), allow_graceful=False)
        assert len(nodes) == 1
        assert found(client.front(job.id).to_dict()) == undisturbed
