"""Small real models, a real server, real worker processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from workers.request import MeasurementRequest
from workers.server import WorkerServer
from workers.target import Target, Workload
from workers.timing import TimingProtocol

VOCABULARY = 64
QUICK = TimingProtocol(warm_up=1, min_repeats=3, max_repeats=5, goal_error=0.5, max_seconds=0.5)
TARGET = Target("bench", workload=Workload(tokens=64))


def build_model(width: int = 16, layers: int = 1, input_name: str = "tokens") -> bytes:
    """Embedding, `layers` residual matrix products, head; ONNX bytes."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(width)
    weights = {"embedding": rng.standard_normal((VOCABULARY, width)).astype(np.float32)}
    nodes = [helper.make_node("Gather", ["embedding", input_name], ["x0"])]
    for i in range(layers):
        weights[f"w{i}"] = rng.standard_normal((width, width)).astype(np.float32) / width
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"y{i}"]))
        nodes.append(helper.make_node("Add", [f"x{i}", f"y{i}"], [f"x{i + 1}"]))
    nodes.append(helper.make_node("Identity", [f"x{layers}"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(input_name, TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "length", width])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def make_model() -> Callable[..., bytes]:
    return build_model


def build_submodel(width: int = 16, workload: Workload = TARGET.workload) -> bytes:
    """One feed-forward block between an embedding and its transpose, as runtimes that rebuild models take
    it; every norm is 1 and every other weight normal."""
    from safetensors.numpy import save

    rng = np.random.default_rng(width)

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / width).astype(np.float32)

    weights = {
        "embedding": normal(VOCABULARY, width),
        "norm": np.ones(width, np.float32),
        "layers.0.channel_norm": np.ones(width, np.float32),
        "layers.0.mlp_up": normal(2 * width, width),
        "layers.0.mlp_down": normal(width, 2 * width),
    }
    layer = {"mixer": "none", "heads": 0, "channel": "mlp", "ratio": 2.0}
    architecture = {"vocabulary": VOCABULARY, "width": width, "layers": [layer]}
    content = {"architecture": architecture, "workload": str(workload)}
    return save(weights, {"submodel": json.dumps(content)})


@pytest.fixture(scope="session")
def make_submodel() -> Callable[..., bytes]:
    return build_submodel


@pytest.fixture(scope="session")
def make_request() -> Callable[..., MeasurementRequest]:
    """A request for a small model; any field may be given."""
    model, reference = build_model(width=64, layers=4), build_model(width=64, layers=2)

    def make(digest: str = "a", **fields: object) -> MeasurementRequest:
        values = {
            "target": TARGET,
            "model": model,
            "reference": reference,
            "vocabulary": VOCABULARY,
            "reference_ms": 0.5,
            "protocol": QUICK,
            **fields,
        }
        return MeasurementRequest(digest=digest, **values)  # type: ignore[arg-type]

    return make


@pytest.fixture
def make_server() -> Iterator[Callable[..., WorkerServer]]:
    """Started servers, stopped after the test; `server.address` is where they listen."""
    servers: list[WorkerServer] = []

    def make(**options: object) -> WorkerServer:
        server = WorkerServer(**options)  # type: ignore[arg-type]
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Worker processes, killed after the test; what they say is in `tmp_path/worker-N.log`."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(address: str, *arguments: str, token: str | None = None) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("NAS_TOKEN", None)
        if token is not None:
            environment["NAS_TOKEN"] = token
        command = [sys.executable, "-m", "workers", "--connect", address, "--device", TARGET.device]
        with (tmp_path / f"worker-{len(processes)}.log").open("wb") as output:
            process = subprocess.Popen(
                [*command, *arguments], stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
