"""How alike a browser's measurements are: `python benchmarks/phone.py [--runtime onnxruntime-webgpu]`.

Debian's Chromium joins a gateway as a phone does and measures models of one mixer each, three times in turn:
goal three measurements within 5% on a quiet machine. Beside it the native engine, in this process. With
`onnxruntime-webgpu` a processor that plays a GPU (SwiftShader) is allowed; its times say nothing of GPUs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from rich.console import Console
from rich.table import Table

from nas.export.timed import TimedModels
from searchspaces.architecture import Architecture, Layer
from searchspaces.mixers import parse_mixer
from workers.gateway.server import Gateway
from workers.measurement import Measurement
from workers.measuring import describe_device, measure
from workers.request import MeasurementRequest, Outcome
from workers.runtimes import parse_runtime
from workers.server import WorkerServer
from workers.target import Phase, Target, Workload

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
GPU_FLAGS = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
VOCABULARY = 256
WITHIN = 0.05


@contextmanager
def phone(runtime: str) -> Iterator[tuple[WorkerServer, Any]]:
    """A service, and the page of a browser that joined it as ``phone``."""
    from playwright.sync_api import sync_playwright

    gpu = GPU_FLAGS if runtime == "onnxruntime-webgpu" else ()
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    server = WorkerServer()
    gateway = Gateway(server.start(), "127.0.0.1:0", fallback_adapters=bool(gpu))
    with gateway, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*root, *gpu])
        page = browser.new_page()
        page.goto(gateway.link())
        page.get_by_role("button", name="Join").click()
        page.locator("#state[data-state=free]").wait_for()
        yield server, page
        browser.close()
    server.stop()


def measured(server: WorkerServer, page: Any, request: MeasurementRequest) -> Outcome:
    """What the browser says, which works while Playwright waits."""
    found: list[Outcome] = []
    asking = Thread(target=lambda: found.extend(server.measure([request])))
    asking.start()
    while asking.is_alive():
        page.wait_for_timeout(200)
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", default="onnxruntime-web")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--mixers", nargs="+", default=["softmax", "window:64", "linear"])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    phases = parse_runtime(options.runtime).phases
    models, here = TimedModels(), describe_device("phone")
    table = Table("model", "ms", "farthest from the median", "goal", "native, ms", "times native", "noisy")
    for mixer in options.mixers:
        parse_mixer(mixer)  # says what is accepted
    found: dict[tuple[str, Phase], list[Measurement]] = {
        (mixer, phase): [] for mixer in options.mixers for phase in phases
    }

    def request(mixer: str, phase: Phase, runtime: str, times: list[Measurement]) -> MeasurementRequest:
        layers = (Layer(mixer, 4, ratio=2),) * options.layers
        architecture = Architecture(VOCABULARY, options.width, layers)
        target = Target("phone", runtime, workload=Workload(phase, tokens=options.tokens))
        nominal = times[0].reference_ms if times else None
        file, reference = models.model(architecture, target), models.reference(target)
        return MeasurementRequest(architecture.digest, target, file, reference, VOCABULARY, nominal)

    with phone(options.runtime) as (server, page):
        for _ in range(options.times):
            for (mixer, phase), times in found.items():
                outcome = measured(server, page, request(mixer, phase, options.runtime, times))
                if not isinstance(outcome, Measurement):
                    raise SystemExit(f"{mixer}, {phase}: {outcome}")
                times.append(outcome)
    for (mixer, phase), times in found.items():
        middle = statistics.median(each.latency_ms for each in times)
        apart = max(abs(each.latency_ms / middle - 1) for each in times)
        native = measure(request(mixer, phase, "onnxruntime", []), here).latency_ms
        table.add_row(
            f"{mixer}, {phase}", f"{middle:.3g}", f"{apart:.1%}", f"≤ 5% {'✔' if apart <= WITHIN else '✘'}",
            f"{native:.3g}", f"{middle / native:.1f}", f"{sum(each.noisy for each in times)} of {len(times)}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
