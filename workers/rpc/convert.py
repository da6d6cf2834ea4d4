"""Messages to protobuf and back. Whatever comes from the wire is checked here, field by field."""

from __future__ import annotations

import math
import re

from workers.capabilities import Accelerator, Capabilities, RuntimeCapability
from workers.errors import ProtocolViolation
from workers.measurement import Measurement, MeasurementError
from workers.messages import (
    Cancel,
    Drain,
    Failure,
    Heartbeat,
    Lease,
    Leave,
    ModelFile,
    Register,
    Result,
    ServiceMessage,
    Welcome,
    WorkerMessage,
    shortened,
)
from workers.rpc.v1 import worker_pb2 as wire
from workers.target import Phase, Target, Workload
from workers.timing import TimingProtocol

__all__ = [
    "service_message_from_wire",
    "service_message_to_wire",
    "worker_message_from_wire",
    "worker_message_to_wire",
]

_PHASE_TO_WIRE = {
    Phase.PREFILL: wire.PHASE_PREFILL,
    Phase.DECODE: wire.PHASE_DECODE,
    Phase.ENCODE: wire.PHASE_ENCODE,
}
_PHASE_FROM_WIRE: dict[int, Phase] = {number: phase for phase, number in _PHASE_TO_WIRE.items()}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MEASURED = (
    "latency_ms",
    "spread_ms",
    "error_ms",
    "wall_ms",
    "reference_ms",
    "drift",
    "peak_memory_bytes",
    "repeats",
    "rejected",
    "noisy",
    "calls",
    "conditions",
)
"""Fields of a Measurement that carry one name and one meaning on both sides."""

_TIMED = ("warm_up", "min_repeats", "max_repeats", "goal_error", "max_seconds", "row_ms")
"""The same of a TimingProtocol."""


def worker_message_to_wire(message: WorkerMessage) -> wire.WorkerMessage:
    """What a worker says; what it says to people, `shortened`, since a message too long ends the session."""
    match message:
        case Register():
            capabilities = _capabilities_to_wire(message.capabilities)
            return wire.WorkerMessage(
                register=wire.Register(protocol_version=message.protocol_version, capabilities=capabilities)
            )
        case Heartbeat():
            return wire.WorkerMessage(heartbeat=wire.Heartbeat())
        case Result():
            measurement = _measurement_to_wire(message.measurement)
            return wire.WorkerMessage(result=wire.Result(lease_id=message.lease_id, measurement=measurement))
        case Failure(lease_id, reason, retryable):
            return wire.WorkerMessage(
                failure=wire.Failure(lease_id=lease_id, reason=shortened(reason), retryable=retryable)
            )
        case Leave(reason):
            return wire.WorkerMessage(leave=wire.Leave(reason=shortened(reason)))


def worker_message_from_wire(message: wire.WorkerMessage) -> WorkerMessage:
    """Inverse of `worker_message_to_wire`.

    Raises:
        ProtocolViolation: the message is empty or of a later protocol, or a field has a value that it
            cannot have (among them a measurement that is none).
    """
    try:
        match message.WhichOneof("message"):
            case "register":
                return Register(
                    _capabilities_from_wire(message.register.capabilities), message.register.protocol_version
                )
            case "heartbeat":
                return Heartbeat()
            case "result":
                return Result(message.result.lease_id, _measurement_from_wire(message.result.measurement))
            case "failure":
                failure = message.failure
                return Failure(failure.lease_id, failure.reason, failure.retryable)
            case "leave":
                return Leave(message.leave.reason)
    except _Unknown as error:
        raise _older("service", "worker", str(error)) from error
    except (ValueError, MeasurementError) as error:
        raise ProtocolViolation(str(error)) from error
    raise _older("service", "worker", "the message does not belong to this protocol")


def service_message_to_wire(message: ServiceMessage) -> wire.ServiceMessage:
    """What the service says."""
    match message:
        case Welcome(session_id, heartbeat_seconds):
            return wire.ServiceMessage(
                welcome=wire.Welcome(session_id=session_id, heartbeat_seconds=heartbeat_seconds)
            )
        case Lease():
            return wire.ServiceMessage(lease=_lease_to_wire(message))
        case Cancel(lease_id, reason):
            return wire.ServiceMessage(cancel=wire.Cancel(lease_id=lease_id, reason=reason))
        case Drain(reason):
            return wire.ServiceMessage(drain=wire.Drain(reason=reason))


def service_message_from_wire(message: wire.ServiceMessage) -> ServiceMessage:
    """Inverse of `service_message_to_wire`.

    Raises:
        ProtocolViolation: as in `worker_message_from_wire`.
    """
    try:
        match message.WhichOneof("message"):
            case "welcome":
                seconds = message.welcome.heartbeat_seconds
                if not (math.isfinite(seconds) and seconds > 0):
                    raise ProtocolViolation(f"heartbeat_seconds is {seconds}; accepted: above 0")
                return Welcome(message.welcome.session_id, seconds)
            case "lease":
                return _lease_from_wire(message.lease)
            case "cancel":
                return Cancel(message.cancel.lease_id, message.cancel.reason)
            case "drain":
                return Drain(message.drain.reason)
    except _Unknown as error:
        raise _older("worker", "service", str(error)) from error
    except ValueError as error:
        raise ProtocolViolation(str(error)) from error
    raise _older("worker", "service", "the message does not belong to this protocol")


class _Unknown(Exception):
    """What was read is of a later version, if it is anything at all."""


def _older(reader: str, writer: str, error: str) -> ProtocolViolation:
    return ProtocolViolation(
        f"{error}; if the {writer} is of a later version, the {reader} is the older one: update the {reader}"
    )


def _capabilities_to_wire(value: Capabilities) -> wire.Capabilities:
    return wire.Capabilities(
        device=value.device,
        runtimes=[
            wire.RuntimeCapability(
                name=runtime.name,
                version=runtime.version,
                dtypes=runtime.dtypes,
                phases=[_PHASE_TO_WIRE[phase] for phase in runtime.phases],
            )
            for runtime in value.runtimes
        ],
        threads=value.threads,
        cpu_model=value.cpu_model,
        machine=value.machine,
        system=value.system,
        memory_bytes=value.memory_bytes,
        versions=value.versions,
        accelerators=[
            wire.Accelerator(name=a.name, memory_bytes=a.memory_bytes, driver=a.driver, part=a.part)
            for a in value.accelerators
        ],
    )


def _capabilities_from_wire(value: wire.Capabilities) -> Capabilities:
    return Capabilities(
        device=value.device,
        runtimes=tuple(
            RuntimeCapability(
                runtime.name, runtime.version, tuple(runtime.dtypes), tuple(map(_phase, runtime.phases))
            )
            for runtime in value.runtimes
        ),
        threads=value.threads,
        cpu_model=value.cpu_model,
        machine=value.machine,
        system=value.system,
        memory_bytes=value.memory_bytes,
        versions=dict(value.versions),
        accelerators=tuple(Accelerator(a.name, a.memory_bytes, a.driver, a.part) for a in value.accelerators),
    )


def _phase(number: int) -> Phase:
    if number not in _PHASE_FROM_WIRE:
        raise _Unknown(f"phase {number} is not known; accepted: {', '.join(Phase)}")
    return _PHASE_FROM_WIRE[number]


def _target_to_wire(value: Target) -> wire.Target:
    workload = wire.Workload(
        phase=_PHASE_TO_WIRE[value.workload.phase], batch=value.workload.batch, tokens=value.workload.tokens
    )
    return wire.Target(
        device=value.device,
        runtime=value.runtime,
        dtype=value.dtype,
        threads=value.threads,
        workload=workload,
    )


def _target_from_wire(value: wire.Target) -> Target:
    workload = Workload(_phase(value.workload.phase), value.workload.batch, value.workload.tokens)
    return Target(value.device, value.runtime, value.dtype, value.threads, workload)


def _measurement_to_wire(value: Measurement) -> wire.Measurement:
    told = {name: getattr(value, name) for name in _MEASURED}
    told["conditions"] = shortened(value.conditions)
    return wire.Measurement(digest=value.digest, target=_target_to_wire(value.target), **told)


def _measurement_from_wire(value: wire.Measurement) -> Measurement:
    return Measurement(
        digest=value.digest,
        target=_target_from_wire(value.target),
        **{name: getattr(value, name) for name in _MEASURED},
    )


def _lease_to_wire(value: Lease) -> wire.Lease:
    return wire.Lease(
        lease_id=value.lease_id,
        digest=value.digest,
        target=_target_to_wire(value.target),
        model=wire.Model(sha256=value.model.sha256, size_bytes=value.model.size_bytes),
        reference=wire.Model(sha256=value.reference.sha256, size_bytes=value.reference.size_bytes),
        vocabulary=value.vocabulary,
        reference_ms=value.reference_ms,
        protocol=wire.TimingProtocol(**{name: getattr(value.protocol, name) for name in _TIMED}),
    )


def _lease_from_wire(value: wire.Lease) -> Lease:
    if value.vocabulary < 1:
        raise ProtocolViolation("vocabulary is 0; accepted: at least 1")
    return Lease(
        lease_id=value.lease_id,
        digest=value.digest,
        target=_target_from_wire(value.target),
        model=_model_from_wire(value.model),
        reference=_model_from_wire(value.reference),
        vocabulary=value.vocabulary,
        reference_ms=value.reference_ms if value.HasField("reference_ms") else None,
        protocol=TimingProtocol(**{name: getattr(value.protocol, name) for name in _TIMED}),
    )


def _model_from_wire(value: wire.Model) -> ModelFile:
    if not _SHA256.fullmatch(value.sha256):
        raise ProtocolViolation(f"{value.sha256[:80]!r} is not a SHA-256; accepted: 64 lower-case digits")
    return ModelFile(value.sha256, value.size_bytes)
