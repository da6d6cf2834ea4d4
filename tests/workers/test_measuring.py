"""One measurement on this machine, without a wire."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import pytest

from workers.capabilities import RuntimeCapability
from workers.errors import MeasurementCancelled, ModelUnusable, TargetNotServed
from workers.measuring import describe_device, measure
from workers.memory import ResidentMemory
from workers.request import MeasurementRequest
from workers.runtimes import ModelFormat, parse_runtime, runtimes
from workers.runtimes.onnxruntime import OnnxRuntime
from workers.runtimes.runtime import Inputs, LoadedModel
from workers.target import Phase, Target, Workload
from workers.timing import Timing, TimingProtocol

pytestmark = pytest.mark.alone

QUICK = TimingProtocol(warm_up=1, min_repeats=3, max_repeats=5, goal_error=0.5, max_seconds=0.5)

MakeRequest = Callable[..., MeasurementRequest]


class Counted:
    """A model that is loaded, whose calls are counted by the sample."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded, self.asked = loaded, list[int]()

    def __getattr__(self, name: str) -> object:
        return getattr(self._loaded, name)

    def in_a_row(self, inputs: Inputs, calls: int) -> Callable[[], object]:
        self.asked.append(calls)
        return self._loaded.in_a_row(inputs, calls)


@pytest.mark.parametrize("phase", Phase)
def test_beside_calls_in_a_row_the_reference_is_called_so_as_well(
    phase: Phase, make_model: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Counted] = []
    runtime = OnnxRuntime()
    load = runtime.load
    monkeypatch.setattr(runtime, "load", lambda *of: loaded.append(Counted(load(*of))) or loaded[-1])
    monkeypatch.setattr("workers.measuring.parse_runtime", lambda name: runtime)
    target = Target("bench", "onnxruntime", workload=Workload(phase, tokens=64))
    request = MeasurementRequest("a", target, make_model(), make_model(), vocabulary=64, protocol=QUICK)
    measurement = measure(request, describe_device("bench"))
    reference, *_, model = loaded
    assert model.asked[-1] == measurement.calls
    if phase.in_a_row:
        assert min(reference.asked[-1], measurement.calls) > 1
    else:
        assert (reference.asked, measurement.calls) == ([1], 1)
    # Whatever a sample is, times are told for one call.
    assert 0.1 < measurement.drift < 10
    if phase.in_a_row:
        sample_ms = measurement.latency_ms * measurement.drift * measurement.calls
        assert 0.1 < sample_ms / QUICK.row_ms < 20


def test_what_the_reference_usually_takes_follows_a_device_that_stays_slow(
    make_model: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    told = [(2.0, True), (1.5, False), (1.7, False), (1.6, False)]  # times 10 ms, and whether it stayed slow
    nominal_ms = [10.0, 10.0, 10.0, 8.0]  # each target has its own

    def timed(*_: object, usual: float, **__: object) -> Timing:
        factor, slowed = told[len(asked)]
        asked.append(usual)
        return Timing(1.0, 0.0, 0.0, 1.0, 10.0 * factor, 5, 0, slowed, slowed)

    monkeypatch.setattr("workers.measuring.time_interleaved", timed)
    monkeypatch.setattr("workers.measuring._USUAL", {})
    target = Target("bench", "onnxruntime", workload=Workload(tokens=64))
    request = MeasurementRequest("a", target, make_model(), make_model(), 64, 10.0, QUICK)
    requests = [dataclasses.replace(request, reference_ms=ms) for ms in nominal_ms]
    drifts = [measure(request, describe_device("bench")).drift for request in requests]
    assert drifts == pytest.approx([2.0, 1.5, 1.7, 2.0])
    assert asked == pytest.approx([0.010, 0.020, 0.015, 0.015])


def test_describes_this_machine() -> None:
    here = describe_device("bench")
    assert here.device == "bench"
    assert here.threads >= 1
    assert here.cpu_model
    assert "onnxruntime" in [runtime.name for runtime in here.runtimes]


def test_latency_is_the_ratio_to_the_reference_times_its_nominal_time(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Timing(
        ratio=1.25,
        ratio_spread=0.02,
        ratio_error=0.01,
        wall_ms=7.0,
        reference_ms=8.0,
        repeats=9,
        rejected=1,
        noisy=True,
    )
    monkeypatch.setattr("workers.measuring.time_interleaved", lambda *_, **__: told)
    request = make_request(reference_ms=10.0)
    measurement = measure(request, describe_device("bench"))
    assert (measurement.digest, measurement.target) == (request.digest, request.target)
    # Of the nominal time, whatever the reference took in between.
    assert measurement.latency_ms == pytest.approx(12.5)
    assert (measurement.spread_ms, measurement.error_ms) == pytest.approx((0.2, 0.1))
    assert (measurement.reference_ms, measurement.drift, measurement.wall_ms) == pytest.approx(
        (10.0, 0.8, 7.0)
    )
    assert (measurement.repeats, measurement.rejected, measurement.noisy) == (9, 1, True)


def test_the_reference_against_itself_takes_about_its_nominal_time(make_request: MakeRequest) -> None:
    request = make_request()
    itself = dataclasses.replace(request, model=request.reference, reference_ms=123.0)
    measurement = measure(itself, describe_device("bench"))
    # Three calls of microseconds beside others have read 1.5 times it: this is of orders of magnitude.
    assert 123 / 5 < measurement.latency_ms < 123 * 5
    assert measurement.drift < 0.5
    assert measurement.wall_ms < 60


def test_without_a_nominal_time_the_worker_finds_it(make_request: MakeRequest) -> None:
    measurement = measure(make_request(reference_ms=None), describe_device("bench"))
    assert measurement.reference_ms > 0
    assert 0.1 < measurement.drift < 10


def test_memory_is_what_the_model_needs(make_request: MakeRequest, make_model: Callable[..., bytes]) -> None:
    here = describe_device("bench")
    if ResidentMemory().growth_bytes() == 0 and not sys.platform.startswith("linux"):
        pytest.skip("this system keeps no account of peak memory")
    large = make_model(width=1500, layers=4)  # 36 MB of weights
    measurement = measure(make_request(model=large), here)
    assert 0.8 * len(large) < measurement.peak_memory_bytes < 5 * len(large)


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        (Target("other"), "is device bench, not other"),
        (Target("bench", "abacus"), r"no runtime abacus; accepted: .*onnxruntime"),
        (Target("bench", dtype="fp7"), r"no dtype fp7 .*; accepted: fp32"),
        (Target("bench", threads=4096), "threads, not 4096"),
        (
            Target("bench", "browser", workload=Workload(Phase.DECODE)),
            "cannot time decode .*; accepted: prefill",
        ),
    ],
)
def test_a_target_that_is_not_served(target: Target, complaint: str, make_request: MakeRequest) -> None:
    here = describe_device("bench")
    prefill_only = RuntimeCapability("browser", "1", ("fp32",), (Phase.PREFILL,))
    here = dataclasses.replace(here, runtimes=(*here.runtimes, prefill_only))
    with pytest.raises(TargetNotServed, match=complaint):
        measure(make_request(target=target), here)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize(
    # Compiling takes seconds a layer.
    "name",
    [pytest.param(name, marks=pytest.mark.slow if "compile" in name else ()) for name in sorted(runtimes())],
)
def test_every_runtime_and_phase_is_measured(
    name: str, phase: Phase, make_model: Callable[..., bytes], make_submodel: Callable[..., bytes]
) -> None:
    workload = Workload(phase, tokens=64)
    runtime = parse_runtime(name)
    if runtime.capability() is None:
        pytest.skip(f"{name} does not work here: {runtime.obstacle()}")
    if phase not in runtime.phases:
        pytest.skip(f"{name} does not time {phase}")
    if runtime.model_format is ModelFormat.SUBMODEL:
        model = make_submodel(workload=workload)
        reference = make_submodel(workload=runtime.reference_workload(workload))
    else:
        model = reference = make_model()
    target = Target("bench", name, workload=workload)
    request = MeasurementRequest("a", target, model, reference, vocabulary=64, protocol=QUICK)
    measurement = measure(request, describe_device("bench"))
    assert measurement.target == target
    assert measurement.repeats >= 3
    assert measurement.calls > 1 if phase.in_a_row else measurement.calls == 1


def test_a_model_that_does_not_load(make_request: MakeRequest) -> None:
    with pytest.raises(ModelUnusable, match="does not load"):
        measure(make_request(model=b"garbage"), describe_device("bench"))


def test_a_measurement_that_is_no_longer_wanted(make_request: MakeRequest) -> None:
    with pytest.raises(MeasurementCancelled):
        measure(make_request(), describe_device("bench"), cancelled=lambda: True)


def test_a_device_needs_no_torch_and_the_packages_no_grpc() -> None:
    program = """
import sys
import workers, workers.target, workers.measurement, workers.request, workers.runtimes, workers.leases
assert not {"torch", "ray", "grpc", "onnxruntime"} & set(sys.modules), set(sys.modules)
import workers.__main__, workers.server
assert not {"torch", "ray", "sqlalchemy", "onnx", "nas"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
