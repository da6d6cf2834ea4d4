"""Targets and architectures."""

from __future__ import annotations

from dataclasses import replace

from nas.errors import Incompatible
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire.convert.plain import member_of, number_of
from nas.service.wire.version import unknown
from searchspaces.architecture import Architecture, Layer
from searchspaces.form import Classes, Form, Grid, Input, Series, Tokens
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
    message = pb.Architecture(
        vocabulary=architecture.vocabulary,
        width=architecture.width,
        layers=[pb.Layer(**layer.to_dict()) for layer in architecture.layers],
        untied=not architecture.tied,
    )
    if not architecture.form.causal:
        message.form.CopyFrom(_form_to_message(architecture.form))
        message.stem, message.readout = architecture.stem, architecture.readout
    return message


def architecture_from_message(message: pb.Architecture) -> Architecture:
    """Inverse of `architecture_to_message`."""
    layers = tuple(map(_layer_from_message, message.layers))
    plain = Architecture(message.vocabulary, message.width, layers, tied=not message.untied)
    if not message.HasField("form"):
        return plain
    form = _form_from_message(message.form)
    return replace(plain, form=form, stem=message.stem, readout=message.readout)


def _form_to_message(form: Form) -> pb.Form:
    """Of a model that tells a class."""
    assert isinstance(form.output, Classes)
    message = pb.Form(classes=form.output.count)
    match form.input:
        case Tokens(vocabulary, length):
            message.tokens.CopyFrom(pb.Form.Tokens(vocabulary=vocabulary, length=length))
        case Grid((height, width), channels):
            message.grid.CopyFrom(pb.Form.Grid(height=height, width=width, channels=channels))
        case Series(length, channels):
            message.series.CopyFrom(pb.Form.Series(length=length, channels=channels))
    return message


def _form_from_message(message: pb.Form) -> Form:
    match message.WhichOneof("input"):
        case "tokens":
            given: Input = Tokens(message.tokens.vocabulary, message.tokens.length)
        case "grid":
            given = Grid((message.grid.height, message.grid.width), message.grid.channels)
        case "series":
            given = Series(message.series.length, message.series.channels)
        case _:
            raise unknown("what goes into a model", "tokens, grid, series")
    return Form(given, Classes(message.classes))


def _layer_from_message(message: pb.Layer) -> Layer:
    genes = message.mixer, message.heads, message.channel, message.ratio, message.conv, message.kv_heads
    told = {field.name: value for field, value in message.projection.ListFields()}
    return Layer(*genes, Projection(**told))
