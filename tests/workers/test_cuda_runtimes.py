"""What the runtimes on NVIDIA GPUs say and refuse where there is none, or half of one: needs no GPU."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from uuid import UUID

import pytest

from workers import cuda
from workers.capabilities import Accelerator
from workers.clocks import EventClocks
from workers.errors import AcceleratorFailed, ModelUnusable, TargetNotServed
from workers.runtimes import parse_runtime, runtimes
from workers.runtimes.onnxruntime import session
from workers.target import Phase, Workload

CUDA_RUNTIMES = [name for name in runtimes() if name.endswith("-cuda")]


class Driver:
    """NVIDIA's driver as ctypes calls it: one GPU whose every piece of work takes 2 ms."""

    def __init__(self, gpus: int = 1, name: str = "NVIDIA H100 80GB HBM3", fails: str = "") -> None:
        self.gpus, self.name, self.fails = gpus, name, fails
        self.calls: list[str] = []
        self.now = 0.0
        self.events: dict[int, float] = {}

    def __getattr__(self, function: str) -> Callable[..., int]:
        def call(*arguments: object) -> int:
            self.calls.append(function)
            if function == self.fails:
                return 999
            getattr(self, f"_{function}", lambda *_: None)(*arguments)
            return 0

        if function.startswith("_"):
            raise AttributeError(function)
        return call

    def _cuDeviceGetCount(self, count) -> None:  # type: ignore[no-untyped-def]  # noqa: N802
        count._obj.value = self.gpus

    def _cuDeviceGetName(self, text, size, device) -> None:  # type: ignore[no-untyped-def]  # noqa: N802
        text.value = self.name.encode()

    def _cuDeviceTotalMem_v2(self, memory, device) -> None:  # type: ignore[no-untyped-def]  # noqa: N802
        memory._obj.value = 80 << 30

    def _cuDeviceGetUuid_v2(self, value, device) -> None:  # type: ignore[no-untyped-def]  # noqa: N802
        ctypes.memmove(value._obj, bytes(range(16)), 16)

    def _cuGetErrorString(self, status, text) -> None:  # type: ignore[no-untyped-def]  # noqa: N802
        text._obj.value = b"unknown error"

    def _cuEventCreate(self, event, flags) -> None:  # type: ignore[no-untyped-def]  # noqa: N802
        event._obj.value = len(self.events) + 1
        self.events[event._obj.value] = 0.0

    def _cuEventRecord(self, event, stream) -> None:  # type: ignore[no-untyped-def]  # noqa: N802
        self.events[event.value] = self.now

    def _cuEventElapsedTime(self, milliseconds, begin, end) -> None:  # type: ignore[no-untyped-def]  # noqa: N802
        milliseconds._obj.value = self.events[end.value] - self.events[begin.value]


@pytest.fixture
def use_driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Driver]]:
    """Have `workers.cuda` find a driver that behaves as told."""
    caches = (cuda._driver, cuda._primary_context)

    def use(driver: Driver) -> Driver:
        monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: driver)
        for cache in caches:
            cache.cache_clear()
        return driver

    yield use
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()


def test_a_gpu_tells_its_name_memory_and_part(use_driver: Callable[..., Driver]) -> None:
    use_driver(Driver())
    (whole,) = cuda.accelerators()
    assert (whole.name, whole.memory_bytes, whole.part) == ("NVIDIA H100 80GB HBM3", 80 << 30, "")
    assert str(whole) == "NVIDIA H100 80GB HBM3"
    use_driver(Driver(name="NVIDIA A100-SXM4-40GB MIG 1g.5gb"))
    (part,) = cuda.accelerators()
    assert (part.name, part.part) == ("NVIDIA A100-SXM4-40GB", "1g.5gb")
    assert str(part) == "NVIDIA A100-SXM4-40GB 1g.5gb"


def test_a_pair_of_events_on_a_synchronised_stream_is_what_a_call_takes(
    use_driver: Callable[..., Driver],
) -> None:
    driver = use_driver(Driver())
    clocks = EventClocks(cuda.CudaStream())
    driver.calls.clear()

    def work() -> None:
        driver.calls.append("work")
        driver.now += 2.0

    call = clocks.time(work)
    assert call.busy == pytest.approx(0.002)
    assert not call.disturbed
    assert driver.calls == [
        "cuStreamSynchronize",
        "cuEventRecord",
        "work",
        "cuEventRecord",
        "cuStreamSynchronize",
        "cuEventElapsedTime",
    ]


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (Driver(gpus=0), "shows no GPU; see CUDA_VISIBLE_DEVICES"),
        (Driver(fails="cuInit"), r"cuInit: unknown error \(999\)"),
    ],
)
def test_a_driver_that_shows_no_gpu(driver: Driver, reason: str, use_driver: Callable[..., Driver]) -> None:
    use_driver(driver)
    assert cuda.accelerators() == ()
    with pytest.raises(AcceleratorFailed, match=reason):
        cuda.CudaStream()


def test_without_a_driver_nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "LIBRARY", "libnothing.so.1")
    cuda._driver.cache_clear()
    try:
        assert cuda.obstacle() == "there is no NVIDIA driver (libnothing.so.1)"
        for name in CUDA_RUNTIMES:
            runtime = parse_runtime(name)
            assert runtime.capability() is None
            with pytest.raises(TargetNotServed, match=f"{name} does not work here: "):
                runtime.prepare(b"", "fp32")
    finally:
        cuda._driver.cache_clear()


def test_onnxruntime_refuses_a_provider_that_it_lacks(make_model: Callable[..., bytes]) -> None:
    """It would run on the processor and only warn."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has it")
    with pytest.raises(ModelUnusable, match="on CPUExecutionProvider; accepted: CUDAExecutionProvider"):
        session(make_model(), 1, [("CUDAExecutionProvider", {"device_id": "0"})])


@pytest.mark.parametrize("workload", [Workload(), Workload(Phase.DECODE, tokens=4096)])
@pytest.mark.parametrize("name", CUDA_RUNTIMES)
def test_the_reference_fills_a_gpu_whatever_the_workload(name: str, workload: Workload) -> None:
    beside = parse_runtime(name).reference_workload(workload)
    assert beside.phase is Phase.PREFILL
    assert beside.batch * beside.tokens >= 1 << 17


class Nvml:
    """`pynvml` of a GPU that says what a test wants."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    class NVMLError(Exception):
        pass

    def __init__(self, reasons: int = 0, fails: bool = False) -> None:
        self.reasons, self.fails = reasons, fails
        self.uuid = ""

    def nvmlInit(self) -> None:  # noqa: N802
        if self.fails:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> object:  # noqa: N802
        self.uuid = uuid
        return SimpleNamespace()

    def nvmlDeviceGetClockInfo(self, gpu: object, kind: int) -> int:  # noqa: N802
        return {self.NVML_CLOCK_SM: 1980, self.NVML_CLOCK_MEM: 2619}[kind]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: object) -> int:  # noqa: N802
        return self.reasons


@pytest.mark.parametrize(
    ("reasons", "said", "throttled"),
    [
        (0, "nothing", False),
        (0x1 | 0x4, "idle, power cap", False),
        (0x4 | 0x20, "power cap, software thermal slowdown", True),
        (0x80, "power brake", True),
    ],
)
def test_clock_rates_and_what_holds_them_are_recorded(
    reasons: int,
    said: str,
    throttled: bool,
    use_driver: Callable[..., Driver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_driver(Driver())
    nvml = Nvml(reasons)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    conditions = cuda.conditions()
    assert conditions.text == f"SM 1980 MHz, memory 2619 MHz, held by {said}"
    assert conditions.throttled is throttled
    assert nvml.uuid == f"GPU-{UUID(bytes=bytes(range(16)))}"


def test_without_nvml_nothing_is_said(
    use_driver: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_driver(Driver())
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert cuda.conditions().text == ""
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(fails=True))  # type: ignore[arg-type]
    assert cuda.conditions().text == "NVML: Driver Not Loaded"
    assert isinstance(cuda.accelerators()[0], Accelerator)
