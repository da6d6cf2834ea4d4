"""A device on another machine: its processes live in a network namespace of their own, joined to the
service's by a cable that can be pulled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster import until, unused_port

import nas
from nas.errors import NasError
from nas.job import EventKind, JobStatus
from nas.service.identity import Role
from nas.service.server.certificates import make_certificates
from nas.service.server.tokens import Tokens
from workers.tls import ClientTls

pytestmark = pytest.mark.alone

HERE, THERE = "10.203.77.1", "10.203.77.2"


class Cable:
    """Two addresses, one of them in a namespace where nothing else can be reached."""

    def __init__(self) -> None:
        self.namespace = f"nas-{os.getpid()}"
        self.end = f"nas{os.getpid()}"[:14]

    def lay(self) -> None:
        far = f"{self.end}f"
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self.end, "type", "veth", "peer", "name", far)
        _ip("link", "set", far, "netns", self.namespace)
        _ip("addr", "add", f"{HERE}/30", "dev", self.end)
        _ip("link", "set", self.end, "up")
        _ip("-n", self.namespace, "addr", "add", f"{THERE}/30", "dev", far)
        _ip("-n", self.namespace, "link", "set", far, "up")

    def pull(self) -> None:
        _ip("link", "set", self.end, "down")

    def plug(self) -> None:
        _ip("link", "set", self.end, "up")

    def remove(self) -> None:
        subprocess.run(["ip", "link", "delete", self.end], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    if not shutil.which("ip"):
        pytest.skip("the command ip (Debian: iproute2) is not installed")
    cable = Cable()
    try:
        cable.lay()
    except subprocess.CalledProcessError as error:
        cable.remove()
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
    yield cable
    cable.remove()


@contextmanager
def process(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        started = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
    try:
        yield started
    finally:
        started.terminate()
        started.wait(60)


def spec() -> dict[str, Any]:
    return {
        "name": "far",
        "space": {
            "name": "far",
            "context": 32,
            "width": [16],
            "depth": [1, 2],
            "layer": {"mixer": ["none", "softmax", "linear"], "heads": [2], "ratio": [1, 2]},
        },
        "targets": [{"device": "far", "tokens": 64}],
        "budget": {"profile": {"measurements": 12, "minimum": 12, "holdout": 6, "tolerance": 1e-6}},
        "until": "profile",
    }


@pytest.mark.slow
def test_a_device_elsewhere_measures_through_a_pulled_cable(cable: Cable, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certs", [HERE, "127.0.0.1"])
    authority = str(certificates["authority.pem"])
    tokens = Tokens(tmp_path / "tokens.json")
    user, device = tokens.add("ada", Role.USER), tokens.add("far", Role.WORKER)
    users, workers = f"127.0.0.1:{unused_port()}", f"{HERE}:{unused_port()}"
    serve = [
        *(str(Path(sys.executable).parent / "nas"), "--home", str(tmp_path / "home"), "serve"),
        *("--bind", users, "--workers", workers, "--tokens", str(tmp_path / "tokens.json")),
        *("--certificate", str(certificates["server.pem"]), "--key", str(certificates["server.key"])),
    ]
    work = [
        *("ip", "netns", "exec", cable.namespace, sys.executable, "-m", "workers"),
        *("--connect", workers, "--device", "far", "--authority", authority),
    ]
    with (
        process(serve, tmp_path / "serve.log"),
        process(work, tmp_path / "worker.log", NAS_TOKEN=device),
        nas.connect(users, token=user, tls=ClientTls(Path(authority))) as client,
    ):
        until(lambda: _connected(client), 120, "the device is connected")
        job = client.submit(spec())
        pulled = False
        for event in client.watch(client.resume(job.id).id):
            if event.kind is EventKind.PROGRESS and event.done >= 3 and not pulled:
                pulled = True
                assert _reaches(cable)
                cable.pull()
                assert not _reaches(cable)
                cable.plug()
        assert pulled
        ended = client.job(job.id)
        assert ended.status is JobStatus.SUCCEEDED, (tmp_path / "serve.log").read_text()
        (target,) = ended.spec.targets
        measured = [m.digest for _, m in client.measurements(target.target())]
        assert len(measured) == len(set(measured)) == 12 + 6
        assert {m.target.device for _, m in client.measurements(target.target())} == {"far"}


def _connected(client: nas.Client) -> bool:
    try:
        return "far" in {device["name"] for device in client.devices()}
    except NasError:
        return False


def _reaches(cable: Cable) -> bool:
    """Whether the far end could send anything now."""
    code = f"import socket; socket.create_connection(('{HERE}', 9), 1)"
    command = ["ip", "netns", "exec", cable.namespace, sys.executable, "-c", code]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    return "refused" in answer.stderr.lower()
