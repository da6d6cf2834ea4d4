"""Taking one measurement on this device."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from workers import cuda
from workers.capabilities import Capabilities, RuntimeCapability
from workers.clocks import Clocks
from workers.errors import TargetNotServed
from workers.footprint import Footprint, Run
from workers.measurement import Measurement
from workers.memory import keep_freed_memory, total_memory_bytes, trim_heap
from workers.request import MeasurementRequest
from workers.runtimes import parse_runtime, runtimes
from workers.runtimes.runtime import Inputs, LoadedModel
from workers.target import Workload
from workers.timing import calibrate, calls_in_a_row, time_interleaved, warm_up

__all__ = ["describe_device", "measure"]

_LOG = logging.getLogger(__name__)

REFERENCE_DTYPE = "fp32"
REFERENCE_VOCABULARY = 256

LARGE = 1 << 26
"""Bytes of a model file from which on it is given back before another process loads it, too."""

_LOADED: set[str] = set()
"""Runtimes that this process has run a model with."""

_USUAL: dict[tuple[str, int, Workload], float] = {}
"""By runtime, threads and workload of a reference, milliseconds that a call of it took lately where it was
not slowed down by others: clock rates do not stay what they were at the first measurement. Its nominal time
is each target's own."""


def describe_device(device: str) -> Capabilities:
    """This machine, under the name `device`, with every runtime that works on it. One that fails as it
    is asked is left out, and the log says why.

    Raises:
        ValueError: `device` is not a name.
    """
    found = map(_capability, runtimes())
    return Capabilities(
        device=device,
        runtimes=tuple(capability for capability in found if capability is not None),
        threads=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_model=_cpu_model(),
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        memory_bytes=total_memory_bytes(),
        accelerators=cuda.accelerators(),
        versions={"python": platform.python_version(), "nas-service": _version("nas-service")},
    )


def measure(
    request: MeasurementRequest,
    here: Capabilities,
    cancelled: Callable[[], bool] = lambda: False,
    footprint: Footprint | None = None,
) -> Measurement:
    """Load and time a model by the protocol of `workers.timing`. Blocks; meant for a thread of its own.

    Args:
        request: what to measure.
        here: this device.
        cancelled: asked between samples.
        footprint: tells what memory a model takes. None: it is told of this process, where it moves with what
            ran before; so it is for engines that do not fork (`Runtime.forks`).

    Raises:
        TargetNotServed: the target is not one of this device.
        ModelUnusable: the model does not load or run.
        MeasurementCancelled: `cancelled` said so.
    """
    target = request.target
    obstacle = here.obstacle(target)
    if obstacle is not None:
        raise TargetNotServed(f"{target}: this worker {obstacle}")
    keep_freed_memory()
    runtime = parse_runtime(target.runtime)
    clocks = runtime.clocks(target.threads)
    # The reference stays as it is whatever the target's dtype: it is the unit, not the subject.
    beside = runtime.reference_workload(target.workload)
    unit = _prepared_reference(target.runtime, request.reference)
    fixed = runtime.load(unit, REFERENCE_DTYPE, target.threads)
    fewer = min(request.vocabulary, REFERENCE_VOCABULARY)
    reference, in_reference = _sample_of(fixed, fixed.inputs(beside, fewer), request, clocks)
    reference_ms = request.reference_ms
    if reference_ms is None:
        reference_ms = calibrate(reference, clocks, request.protocol) / in_reference
    prepared = runtime.prepare(request.model, target.dtype)
    apart = footprint if runtime.forks else None
    if apart is None and target.runtime not in _LOADED:
        # What an engine takes once a process is none of the first model's.
        thrown_away = runtime.load(prepared, target.dtype, target.threads)
        thrown_away.in_a_row(thrown_away.inputs(target.workload, request.vocabulary), 1)()
        _LOADED.add(target.runtime)
    memory = runtime.peak_memory()
    loaded = runtime.load(prepared, target.dtype, target.threads)
    model, calls = _sample_of(loaded, loaded.inputs(target.workload, request.vocabulary), request, clocks)
    peak_memory_bytes = 0
    if apart is None:
        # Before the reference runs again: what it takes is none of the model's.
        warm_up(model, request.protocol, clocks, fewest=1)
        peak_memory_bytes = memory.growth_bytes()
    of_reference = target.runtime, target.threads, beside
    usual_ms = _USUAL.get(of_reference, reference_ms)
    timing = time_interleaved(
        model,
        reference,
        request.protocol,
        clocks,
        cancelled,
        warm=target.workload.phase.in_a_row,
        usual=1e-3 * usual_ms * in_reference,
    )
    took_ms = timing.reference_ms / in_reference
    # A device that stays slow is not waited for again and again.
    _USUAL[of_reference] = took_ms if timing.slowed else min(usual_ms, took_ms)
    conditions = clocks.conditions()
    if apart is not None:
        if len(prepared) >= LARGE:
            del model, loaded
            trim_heap()
        first = Run(unit, REFERENCE_DTYPE, beside, fewer)
        then = Run(prepared, target.dtype, target.workload, request.vocabulary)
        peak_memory_bytes = apart(target, first, then) or memory.growth_bytes()
    unit_ms = reference_ms * in_reference / calls
    return Measurement(
        digest=request.digest,
        target=target,
        latency_ms=timing.ratio * unit_ms,
        spread_ms=timing.ratio_spread * unit_ms,
        error_ms=timing.ratio_error * unit_ms,
        wall_ms=timing.wall_ms / calls,
        reference_ms=reference_ms,
        drift=took_ms / reference_ms,
        peak_memory_bytes=peak_memory_bytes,
        repeats=timing.repeats,
        rejected=timing.rejected,
        noisy=timing.noisy or conditions.throttled,
        calls=calls,
        conditions=conditions.text,
    )


def _capability(name: str) -> RuntimeCapability | None:
    """What a runtime can do here; None where it does not work."""
    try:
        return parse_runtime(name).capability()
    except Exception as error:  # noqa: BLE001 -- whatever an engine that is half installed raises, the others work
        _LOG.warning("%s is left out: %s: %s", name, type(error).__name__, error)
        return None


def _sample_of(
    loaded: LoadedModel, inputs: Inputs, request: MeasurementRequest, clocks: Clocks
) -> tuple[Callable[[], object], int]:
    """What is timed at once, and how many calls that is. Beside calls in a row the reference is called so as
    well: drift is divided out by it, and one short call between long runs, which leave it neither caches nor
    clock rate, varies more than they do."""
    calls = 1
    if request.target.workload.phase.in_a_row:
        calls = calls_in_a_row(loaded.in_a_row(inputs, 1), clocks, request.protocol.row_ms)
    return loaded.in_a_row(inputs, calls), calls


@lru_cache(maxsize=16)
def _prepared_reference(runtime: str, reference: bytes) -> bytes:
    """The reference as an engine loads it: some take seconds for that, and it is the same for all models."""
    return parse_runtime(runtime).prepare(reference, REFERENCE_DTYPE)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _cpu_model() -> str:
    """The processor's name; on Linux from the system's own description, where `platform` knows none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()
