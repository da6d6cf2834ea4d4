"""Submodels as programs of one shape: what engines take that compile a traced model ahead of time."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.runtime import Inputs, LoadedModel
from workers.runtimes.submodels import rebuilt
from workers.target import Phase

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["LoadedProgram", "Program", "packed", "traceable", "unpacked"]

_LENGTH = struct.Struct(">Q")

Call = Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[Any]]]
"""An engine's: inputs → outputs, in the program's order."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a compiled file takes: token ids, and where it decodes the position and every state.

    Attributes:
        shape: (B, N) of the token ids.
        context: tokens before a token that is decoded; None of prompts.
        states: shape of each, in order; their next ones follow the logits in the outputs.
        advancing: of each, whether the next has the same shape: one that grows cannot be fed on, and begins
            anew at each token.
    """

    shape: tuple[int, int]
    context: int | None = None
    states: tuple[tuple[int, ...], ...] = ()
    advancing: tuple[bool, ...] = ()

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Program:
        """Of its plain data."""
        batch, tokens = data["shape"]
        states = tuple(tuple(map(int, shape)) for shape in data["states"])
        return cls((batch, tokens), data["context"], states, tuple(map(bool, data["advancing"])))

    def first(self) -> list[NDArray[Any]]:
        """The position, and fixed pseudo-random numbers in [0, 1) for every state."""
        if self.context is None:
            return []
        rng = np.random.default_rng(0)
        states = [rng.random(shape, dtype=np.float32) for shape in self.states]
        return [np.array(self.context, np.int64), *states]


def traceable(file: bytes) -> tuple[Program, nn.Module, tuple[Tensor, ...]]:
    """A submodel's file (`ModelFormat.SUBMODEL`) as a module that can be traced, and example inputs.

    Raises:
        ModelUnusable: it is no such file.
    """
    import torch

    from searchspaces.submodel import state_shapes

    submodel, workload = rebuilt(file)
    if workload.phase is Phase.PREFILL:
        program = Program((workload.batch, workload.tokens))
        return program, submodel, (torch.zeros(program.shape, dtype=torch.int64),)
    here, following = (
        state_shapes(submodel.architecture, workload.batch, workload.tokens + more) for more in (0, 1)
    )
    names = [(layer, name) for layer, shapes in enumerate(here) for name in shapes]
    states = tuple(tuple(here[layer][name]) for layer, name in names)
    advancing = tuple(
        tuple(following[layer][name]) == s for (layer, name), s in zip(names, states, strict=True)
    )
    program = Program((workload.batch, 1), workload.tokens, states, advancing)
    position, *first = program.first()
    examples = (
        torch.zeros(program.shape, dtype=torch.int64),
        torch.from_numpy(position),
        *map(torch.from_numpy, first),
    )
    return program, _stepping(submodel, names), examples


def _stepping(submodel: Any, names: Sequence[tuple[int, str]]) -> nn.Module:
    """tokens, position and states → logits and the next states."""
    import torch

    from searchspaces.submodel import DecodeState

    class Stepping(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.submodel = submodel

        def forward(self, tokens: Tensor, position: Any, *states: Tensor) -> tuple[Tensor, ...]:
            layers: list[dict[str, Tensor]] = [{} for _ in submodel.architecture.layers]
            for (layer, name), state in zip(names, states, strict=True):
                layers[layer][name] = state
            logits, following = self.submodel.extend(tokens, DecodeState(position, tuple(layers)))
            return logits, *(following.layers[layer][name] for layer, name in names)

    return Stepping().eval()


def packed(program: Program, compiled: bytes) -> bytes:
    """A compiled file behind what it takes."""
    header = json.dumps(asdict(program)).encode()
    return _LENGTH.pack(len(header)) + header + compiled


def unpacked(file: bytes) -> tuple[Program, bytes]:
    """Inverse of `packed`.

    Raises:
        ModelUnusable: it is no such file.
    """
    try:
        (length,) = _LENGTH.unpack_from(file)
        header, compiled = file[_LENGTH.size :][:length], file[_LENGTH.size + length :]
        return Program.from_dict(json.loads(header)), compiled
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ModelUnusable(f"not a compiled program behind its description: {error}") from error


class LoadedProgram(LoadedModel):
    """A compiled file in its engine.

    Args:
        program: what it takes.
        call: the engine's.
    """

    def __init__(self, program: Program, call: Call) -> None:
        self._program, self.call = program, call
        self._first = program.first()

    def __call__(self, inputs: Inputs) -> Sequence[NDArray[Any]]:
        """See `LoadedModel`."""
        self._check(inputs)
        return self.call([inputs, *self._first])

    def in_a_row(self, inputs: Inputs, calls: int) -> Callable[[], object]:
        """See `LoadedModel.in_a_row`."""
        self._check(inputs)
        program, call = self._program, self.call
        if program.context is None:
            return super().in_a_row(inputs, calls)

        def run() -> None:
            position, *states = self._first
            for number in range(calls):
                following = call([inputs, position + number, *states])[1:]
                states = [
                    new if advances else old
                    for new, old, advances in zip(following, states, program.advancing, strict=True)
                ]

        return run

    def _check(self, inputs: Inputs) -> None:
        if inputs.shape != self._program.shape:
            raise ModelUnusable(f"tokens {inputs.shape}; the file was compiled for {self._program.shape}")
