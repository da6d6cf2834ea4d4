"""Targets and architectures."""

from __future__ import annotations

from nas.errors import Incompatible
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire.convert.plain import member_of, number_of
from searchspaces.architecture import Architecture, Layer
from searchspaces.projection import Projection
from workers.target import Phase, Target, Workload

__all__ = ["architecture_from_message", "architecture_to_message", "target_from_message", "target_to_message"]


def target_to_message(target: Target) -> pb.Target:
    """Inverse of `target_from_message`."""
    workload = target.workload
    return pb.Target(
        device=target.device,
        runtime=target.runtime,
        dtype=target.dtype,
        threads=target.threads,
        workload=pb.Workload(
            phase=number_of(workload.phase),
            batch=workload.batch,
            tokens=workload.tokens,
        ),
    )


def target_from_message(message: pb.Target) -> Target:
    """Inverse of `target_to_message`."""
    try:
        workload = Workload(
            phase=member_of(Phase, message.workload.phase),
            batch=message.workload.batch,
            tokens=message.workload.tokens,
        )
        return Target(message.device, message.runtime, message.dtype, message.threads, workload)
    except ValueError as error:
        raise Incompatible(f"not a target: {error}") from error


def architecture_to_message(architecture: Architecture) -> pb.Architecture:
    """Inverse of `architecture_from_message`."""
    return pb.Architecture(
        vocabulary=architecture.vocabulary,
        width=architecture.width,
        layers=[pb.Layer(**layer.to_dict()) for layer in architecture.layers],
        untied=not architecture.tied,
    )


def architecture_from_message(message: pb.Architecture) -> Architecture:
    """Inverse of `architecture_to_message`."""
    layers = tuple(map(_layer_from_message, message.layers))
    return Architecture(message.vocabulary, message.width, layers, tied=not message.untied)


def _layer_from_message(message: pb.Layer) -> Layer:
    genes = message.mixer, message.heads, message.channel, message.ratio, message.conv, message.kv_heads
    told = {field.name: value for field, value in message.projection.ListFields()}
    return Layer(*genes, Projection(**told))
