"""What the gateway and its page say to each other, as plain data. What a page says is checked here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from workers.capabilities import Accelerator, Capabilities, RuntimeCapability
from workers.errors import ProtocolViolation
from workers.measurement import Measurement
from workers.messages import Failure, Lease, Result
from workers.runtimes import parse_runtime
from workers.runtimes.onnxruntime_web import OnnxRuntimeWeb, OnnxRuntimeWebGpu
from workers.target import Phase

__all__ = ["answer_of", "capabilities_of", "lease_document"]

BROWSERS = (OnnxRuntimeWeb.name, OnnxRuntimeWebGpu.name)
LONGEST_TEXT = 300
MOST_THREADS = 1024
MOST_BYTES = 1 << 50
MOST_CALLS = 1 << 31

TIMES = ("latency_ms", "spread_ms", "error_ms", "wall_ms", "reference_ms", "drift")
COUNTS = ("repeats", "rejected", "calls")
"""Of a measurement."""


def capabilities_of(document: Mapping[str, Any]) -> Capabilities:
    """What a browser says that it can measure.

    Raises:
        ProtocolViolation: it says something that cannot be.
    """
    versions = _mapping(document.get("versions", {}), "versions")
    try:
        return Capabilities(
            device=_text(document, "device"),
            runtimes=tuple(_runtime(_mapping(each, "runtime")) for each in _list(document, "runtimes")),
            threads=_count(document, "threads", MOST_THREADS),
            cpu_model=_text(document, "cpu_model"),
            machine=_text(document, "machine"),
            system=_text(document, "system"),
            memory_bytes=_count(document, "memory_bytes", MOST_BYTES),
            versions={name: _text(versions, name) for name in versions},
            accelerators=tuple(
                _accelerator(_mapping(each, "accelerator")) for each in _list(document, "accelerators")
            ),
        )
    except ValueError as error:
        raise ProtocolViolation(str(error)) from error


def lease_document(lease: Lease) -> dict[str, Any]:
    """A lease as the page reads it."""
    target = lease.target
    return {
        "lease_id": lease.lease_id,
        "digest": lease.digest,
        "target": str(target),
        "runtime": target.runtime,
        "dtype": target.dtype,
        "threads": target.threads,
        "workload": asdict(target.workload),
        "in_a_row": target.workload.phase.in_a_row,
        "beside": asdict(parse_runtime(target.runtime).reference_workload(target.workload)),
        "model": asdict(lease.model),
        "reference": asdict(lease.reference),
        "vocabulary": lease.vocabulary,
        "reference_ms": lease.reference_ms,
        "protocol": asdict(lease.protocol),
    }


def answer_of(document: Mapping[str, Any], lease: Lease) -> Result | Failure:
    """What a page answers to a lease.

    Raises:
        ProtocolViolation: it is neither a measurement nor a failure.
    """
    if "failure" in document:
        failure = _mapping(document["failure"], "failure")
        return Failure(lease.lease_id, _text(failure, "reason"), failure.get("retryable") is True)
    told = _mapping(document.get("measurement"), "measurement")
    numbers: dict[str, Any] = {name: _number(told, name) for name in TIMES}
    numbers |= {name: _count(told, name, MOST_CALLS) for name in COUNTS}
    try:
        measurement = Measurement(
            digest=lease.digest,
            target=lease.target,
            peak_memory_bytes=0,  # browsers do not tell
            noisy=told.get("noisy") is True,
            conditions=_text(told, "conditions"),
            **numbers,
        )
    except ValueError as error:
        raise ProtocolViolation(str(error)) from error
    return Result(lease.lease_id, measurement)


def _runtime(document: Mapping[str, Any]) -> RuntimeCapability:
    name = _text(document, "name")
    if name not in BROWSERS:
        raise ProtocolViolation(f"{name!r} is not a runtime of browsers; accepted: {', '.join(BROWSERS)}")
    dtypes = tuple(str(each)[:LONGEST_TEXT] for each in _list(document, "dtypes"))
    phases = tuple(Phase(each) for each in _list(document, "phases"))
    return RuntimeCapability(name, _text(document, "version"), dtypes, phases)


def _accelerator(document: Mapping[str, Any]) -> Accelerator:
    return Accelerator(_text(document, "name"), _count(document, "memory_bytes", MOST_BYTES))


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolViolation(f"{name} is {type(value).__name__}; accepted: a mapping")
    return value


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list):
        raise ProtocolViolation(f"{name} is {type(value).__name__}; accepted: a list")
    return value


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise ProtocolViolation(f"{name} is {type(value).__name__}; accepted: text")
    return value[:LONGEST_TEXT]


def _number(document: Mapping[str, Any], name: str) -> float:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProtocolViolation(f"{name} is {value!r:.40}; accepted: a number")
    return float(value)


def _count(document: Mapping[str, Any], name: str, most: int) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ProtocolViolation(f"{name} is {value!r:.40}; accepted: a whole number from 0 to {most}")
    return value
