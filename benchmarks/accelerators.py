"""How runtimes time the published designs of a space here, and how well a predictor learns a target.

    python benchmarks/accelerators.py table torch-cuda/fp32 torch-cuda/bf16
    python benchmarks/accelerators.py predict torch-cuda/fp32 prefill/b1/n1024

`table` measures each design three times, each time as another session would; what it prints of a design is
the median in milliseconds and, in percent, the largest distance from it. `predict` measures 12 held-out
architectures of `hybrid-lm` and 40 chosen ones, as profiling does.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

from nas.export.timed import TimedModels
from predictors import choose_next, held_out_report, make_predictor
from searchspaces.architecture import Architecture
from searchspaces.presets import presets
from searchspaces.space import load_space
from workers.errors import WorkerError
from workers.measurement import Measurement
from workers.measuring import describe_device, measure
from workers.request import MeasurementRequest
from workers.target import Target, Workload

DESIGNS = ("softmax", "masformer", "based", "linear", "sparse")
WORKLOADS = ("prefill/b1/n1024", "prefill/b1/n4096", "decode/b1/n4096")
REPEATS = 3
MEASUREMENTS, HELD_OUT, BATCH = 40, 12, 8


class Bench:
    """Measures in this process, against what the first measurement of each target found."""

    def __init__(self) -> None:
        self.here = describe_device("here")
        self.models = TimedModels(Path("/tmp/nas-blocks"))
        self.reference_ms: dict[Target, float] = {}

    def target(self, text: str, workload: str) -> Target:
        runtime, _, dtype = text.partition("/")
        return Target("here", runtime, dtype, 1, Workload.parse(workload))

    def measure(self, architecture: Architecture, target: Target) -> Measurement:
        request = MeasurementRequest(
            architecture.digest,
            target,
            self.models.model(architecture, target),
            self.models.reference(target),
            architecture.vocabulary,
            self.reference_ms.get(target),
        )
        measurement = measure(request, self.here)
        self.reference_ms.setdefault(target, measurement.reference_ms)
        return measurement


def table(bench: Bench, runtimes: list[str]) -> None:
    """Rows of designs, columns of workloads."""
    space = load_space("hybrid-lm")
    found = presets(space)
    deepest = {name: f"{name}-L{space.max_depth}" for name in DESIGNS}
    for runtime in runtimes:
        conditions = "nothing was measured"
        print(f"\n{runtime}\n{'':12}" + "".join(f"{workload:>28}" for workload in WORKLOADS), flush=True)
        for name, full in deepest.items():
            cells = []
            for workload in WORKLOADS:
                target = bench.target(runtime, workload)
                try:
                    measured = [bench.measure(found[full].architecture, target) for _ in range(REPEATS)]
                except WorkerError as error:
                    cells.append(type(error).__name__)
                    print(error, file=sys.stderr)
                    continue
                conditions = measured[-1].conditions
                latencies = [m.latency_ms for m in measured]
                median = statistics.median(latencies)
                apart = max(abs(latency - median) for latency in latencies) / median
                memory = measured[-1].peak_memory_bytes / 2**20
                marks = "~" * sum(m.noisy for m in measured)
                cells.append(f"{median:.3f} ±{apart:.1%} {memory:.0f} MiB{marks}")
            print(f"{name:12}" + "".join(f"{cell:>28}" for cell in cells), flush=True)
        for target, reference_ms in bench.reference_ms.items():
            if f"{target.runtime}/{target.dtype}" == runtime:
                print(f"reference beside {target.workload}: {reference_ms:.3f} ms", end="; ")
        print(f"the last: {conditions}", flush=True)


def predict(bench: Bench, runtime: str, workload: str) -> None:
    """What profiling of one target would say."""
    start = time.perf_counter()
    space = load_space("hybrid-lm")
    target = bench.target(runtime, workload)
    held_out = space.sample(HELD_OUT, np.random.default_rng([0, 1]))
    profiled = space.with_single_blocks
    truth = np.array([bench.measure(a, target).latency_ms for a in space.decode(held_out)])
    held_out = profiled.encode(space.decode(held_out))
    population, predictor = profiled.encode([]), None
    measured: list[Measurement] = []
    while len(measured) < MEASUREMENTS:
        rng = np.random.default_rng([0, len(measured)])
        batch = choose_next(
            profiled, target.workload, population, BATCH, rng, predictor=predictor, excluded=held_out
        )
        measured += [bench.measure(architecture, target) for architecture in profiled.decode(batch)]
        population = np.concatenate([population, batch])
        latency = np.array([m.latency_ms for m in measured])
        error = np.array([m.error_ms for m in measured])
        predictor = make_predictor("additive", profiled, target.workload, None).fit(
            population, latency, error
        )
        report = held_out_report(predictor, held_out, truth)
        print(
            f"{target} {len(measured)}: within ±10% {report.within_10:.0%}, mean error {report.mape:.1%}, "
            f"Spearman {report.spearman:.3f}, {time.perf_counter() - start:.0f} s, "
            f"{truth.min():.3f} to {truth.max():.3f} ms, noisy {sum(m.noisy for m in measured)}",
            flush=True,
        )


def main() -> None:
    """See the module."""
    bench = Bench()
    print(bench.here.hardware, ", ".join(f"{r.name} {r.version}" for r in bench.here.runtimes), flush=True)
    command, *arguments = sys.argv[1:]
    if command == "table":
        table(bench, arguments)
    else:
        predict(bench, *arguments)


if __name__ == "__main__":
    main()
