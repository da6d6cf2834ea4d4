"""Measurements."""

from __future__ import annotations

from nas.errors import Incompatible
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire.convert.targets import (
    architecture_from_message,
    architecture_to_message,
    target_from_message,
    target_to_message,
)
from nas.store import Forgotten
from searchspaces.architecture import Architecture
from workers.measurement import Correction, Measurement, MeasurementError
from workers.target import Target

__all__ = [
    "forgotten_from_message",
    "forgotten_to_message",
    "measurement_from_message",
    "measurement_to_message",
]

_MEASURED = (
    "spread_ms",
    "wall_ms",
    "reference_ms",
    "drift",
    "peak_memory_bytes",
    "repeats",
    "rejected",
    "noisy",
    "calls",
    "conditions",
    "attention",
    "measured_at",
)
"""Fields of a measurement that carry one name and one meaning on both sides."""

_FORGOTTEN = ("digest", "latency_ms", "measured_at", "forgotten_at", "by", "why")


def measurement_to_message(architecture: Architecture, measurement: Measurement) -> pb.Measurement:
    """Inverse of `measurement_from_message`; the target is the request's."""
    message = pb.Measurement(
        architecture=architecture_to_message(architecture),
        latency_ms=measurement.corrected.latency_ms,
        error_ms=measurement.corrected.error_ms,
        slowdown=measurement.slowdown,
        **{name: getattr(measurement, name) for name in _MEASURED},
    )
    if measurement.correction is not None:
        message.first.CopyFrom(pb.Reading(latency_ms=measurement.latency_ms, error_ms=measurement.error_ms))
    return message


def measurement_from_message(message: pb.Measurement, target: Target) -> tuple[Architecture, Measurement]:
    """Inverse of `measurement_to_message`, of a target that was asked for."""
    architecture = architecture_from_message(message.architecture)
    corrected = message.HasField("first")
    first = message.first if corrected else message
    try:
        return architecture, Measurement(
            digest=architecture.digest,
            target=target,
            latency_ms=first.latency_ms,
            error_ms=first.error_ms,
            correction=Correction(message.latency_ms, message.error_ms, message.slowdown)
            if corrected
            else None,
            **{name: getattr(message, name) for name in _MEASURED},
        )
    except MeasurementError as error:
        raise Incompatible(f"not a measurement: {error}") from error


def forgotten_to_message(entry: Forgotten) -> pb.Forgotten:
    """Inverse of `forgotten_from_message`."""
    told = {name: getattr(entry, name) for name in _FORGOTTEN}
    return pb.Forgotten(target=target_to_message(entry.target), **told)


def forgotten_from_message(message: pb.Forgotten) -> Forgotten:
    """Inverse of `forgotten_to_message`."""
    told = {name: getattr(message, name) for name in _FORGOTTEN}
    return Forgotten(target=target_from_message(message.target), **told)
