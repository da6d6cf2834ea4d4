"""`nas phone`, a browser and a job: a phone is profiled like any device."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nas.job import JobStatus
from nas.service.running.embedded import EmbeddedService
from nas.service.running.worker_endpoint import WorkerEndpoint

pytestmark = pytest.mark.job

TINY = Path(__file__).parents[1] / "jobs" / "tiny.yaml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def workers_at(tmp_path: Path) -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def phones(tmp_path: Path, workers_at: str) -> Iterator[subprocess.Popen]:
    """A `nas phone` process, which shows links on its standard output."""
    options = ["--connect", workers_at, "--bind", "127.0.0.1:0", "--device", "pocket"]
    code = "from nas.cli.main import main; main()"
    command = [sys.executable, "-c", code, "--home", str(tmp_path), "phone", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def link_of(phones: subprocess.Popen) -> str:
    for line in phones.stdout:
        if match := re.search(r"http://\S+#\S+", line):
            return match[0]
    pytest.fail("nas phone showed no link")


def test_nas_profile_of_a_phone(tab, phones, workers_at: str, make_home) -> None:
    spec = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    target = {"device": "pocket", "runtime": "onnxruntime-web", "tokens": 64}
    budget = {"profile": {"measurements": 5, "minimum": 5, "holdout": 2, "tolerance": 10.0}}
    spec = {"name": "phone", "space": spec["space"], "until": "profile"}
    spec |= {"targets": [target], "budget": budget}
    page = tab(link_of(phones))
    page.get_by_role("button", name="Join").click()
    page.locator("#state", has_text="tries again").wait_for()  # no service runs yet
    endpoint = WorkerEndpoint(workers_at)
    with EmbeddedService(make_home(), endpoint=endpoint) as service:
        job = service.resume(service.submit(spec).id)
        page.locator("#state[data-state=measuring]").wait_for()
        assert [device["name"] for device in service.devices()] == ["pocket"]
        for _ in service.watch(job.id):
            pass
        ended = service.job(job.id)
        assert ended.status is JobStatus.SUCCEEDED, ended.error
        (profile,) = service.profile(job.id)
        assert profile.measured >= 5
        assert profile.held_out == 2
    # Another link stands there since the first was used.
    assert link_of(phones) != ""
