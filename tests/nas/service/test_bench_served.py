"""`nas bench devices` against a real service: its own worker's device, and one that joined from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster import until, unused_port

from nas.errors import NasError
from nas.service.client.remote import RemoteService
from workers.target import Target

pytestmark = pytest.mark.alone

TARGETS = [
    "local-cpu/onnxruntime/fp32/1t/prefill/b1/n32",
    "joined/onnxruntime/fp32/1t/prefill/b1/n32",
    "joined/torch/fp32/1t/prefill/b1/n32",
]


def nas(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "nas"), *arguments]


def serves(address: str) -> bool:
    with RemoteService(address) as service:
        try:
            service.check_health()
        except NasError:
            return False
        return True


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """Address of one that runs in a process of its own, with a worker of another name in a third."""
    address, workers = (f"127.0.0.1:{unused_port()}" for _ in range(2))
    bind = ("--bind", address, "--workers", workers, "--log-level", "WARNING")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack, (tmp_path / "log").open("wb") as log:

        def start(*arguments: str) -> None:
            process = subprocess.Popen(nas(*arguments), stdout=log, stderr=log, env=environment)
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)

        start("--home", str(tmp_path / "home"), "serve", *bind)
        until(lambda: serves(address), 120, "the service answers")
        start("worker", "--connect", workers, "--device", "joined")
        yield address


@pytest.mark.slow
def test_devices_of_a_service_are_profiled_and_scored_and_never_measured_twice(
    service: str, tmp_path: Path
) -> None:
    asker = tmp_path / "asker"  # a folder that the service never sees
    asker.mkdir()
    (asker / "tiny.yaml").write_text(
        "{name: tiny, vocabulary: 256, context: 64, width: [16], depth: [1, 2, 3],"
        " layer: {mixer: [softmax, linear, none], heads: [2], ratio: [1, 2]}}"
    )
    command = nas(
        "--server", service, "bench", "devices", "--space", "tiny.yaml", "--targets", ",".join(TARGETS)
    )
    command += ["--learn", "6", "--holdout", "4", "--samples", "2,6", "--seeds", "1", "--out", "out.json"]

    def benched() -> dict:
        answer = subprocess.run(command, cwd=asker, capture_output=True, text=True, timeout=200)
        assert answer.returncode == 0, answer.stderr
        assert all(target in answer.stdout for target in TARGETS)
        return json.loads((asker / "out.json").read_text())

    first = benched()
    assert [(t["target"], t["learned"], t["held_out"]) for t in first["targets"]] == [
        (t, 6, 4) for t in TARGETS
    ]
    assert {(row["device"], row["samples"]) for row in first["rows"]} == {
        (t, n) for t in TARGETS for n in (2, 6)
    }
    with RemoteService(service) as client:
        before = [client.measurements(Target.parse(target)) for target in TARGETS]
        assert [len(measured) for measured in before] == [10] * len(TARGETS)
        again = benched()
        assert [client.measurements(Target.parse(target)) for target in TARGETS] == before
    assert [row["mape"] for row in again["rows"]] == [row["mape"] for row in first["rows"]]
