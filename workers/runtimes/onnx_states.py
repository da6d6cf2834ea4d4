"""What a model file in ONNX may ask for, whichever engine runs it: tokens or numbers, and states where it
decodes.

An input ``…state_NAME`` is a layer's state before a token, the output ``…next_NAME`` the same after it.
The input `POSITION`, int64 (), is how many tokens there were, the output ``next_position`` how many there are
then. A size of a state that the file leaves free is the context's: like the position it begins as that of the
workload which the file's metadata `WORKLOAD` name, and grows. Decoding in a row feeds each token's next
states to the one after; a state whose next has another fixed size cannot be fed on, and begins anew at each
token. Where the metadata `APPENDED` name a state that grows, its next may be bound to the memory of the one
before, longer than the context by as many tokens as come: a token is then written behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.runtime import INPUT, Inputs, workload_tokens
from workers.target import Workload

__all__ = [
    "APPENDED",
    "NEXT",
    "POSITION",
    "STATE",
    "WORKLOAD",
    "OnnxValue",
    "advancing_states",
    "drawn",
    "first_states",
    "given_input",
    "with_room",
]

NUMBERS = ("pixels", "series")
"""Inputs that are no token ids: (B, C, H, W) and (B, C, N), as `searchspaces.form` names them."""

STATE, NEXT, POSITION = "state_", "next_", "position"

WORKLOAD = "workload"
"""Key of the file's metadata: the workload that it was made for, as text."""

APPENDED = "appended"
"""Key of the file's metadata: names of the states that it can append to in place, apart by spaces."""


@dataclass(frozen=True, slots=True)
class OnnxValue:
    """An input or output as the file declares it.

    Attributes:
        dtype: numpy's name of its numbers.
        shape: None for a size that any call may choose.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def _is_given(self) -> bool:
        if self.name in NUMBERS:
            return self.dtype == "float32" and all(self.shape[1:])
        return (self.name, self.dtype, len(self.shape)) == (INPUT, "int64", 2)

    @property
    def _is_position(self) -> bool:
        return (self.name, self.dtype, self.shape) == (POSITION, "int64", ())

    @property
    def _is_state(self) -> bool:
        return self.name not in (INPUT, *NUMBERS) and self.dtype == "float32"


def given_input(inputs: Sequence[OnnxValue]) -> OnnxValue:
    """That of a file's inputs which is no state.

    Raises:
        ModelUnusable: there is not exactly one.
    """
    found = [declared for declared in inputs if declared._is_given]
    if len(found) != 1:
        raise ModelUnusable(_not_accepted(inputs))
    return found[0]


def drawn(given: OnnxValue, workload: Workload, vocabulary: int) -> Inputs:
    """The fixed pseudo-random input of a workload, as a file declares it."""
    if given.name == INPUT:
        return workload_tokens(workload, vocabulary)
    shape = [workload.batch, *(size or 1 for size in given.shape[1:])]
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def first_states(inputs: Sequence[OnnxValue], workload: str | None) -> dict[str, NDArray[Any]]:
    """The position, and fixed pseudo-random numbers in [0, 1) for every state; nothing where a file has only
    tokens.

    Args:
        inputs: of the file.
        workload: what its metadata say of it; None where they say nothing.

    Raises:
        ModelUnusable: the inputs are not those of a model that is timed, or sizes of states are free and no
            workload fills them.
    """
    others = [declared for declared in inputs if not declared._is_given]
    positions = [declared for declared in others if declared._is_position]
    states = [declared for declared in others if not declared._is_position]
    if len(others) != len(inputs) - 1 or not all(declared._is_state for declared in states):
        raise ModelUnusable(_not_accepted(inputs))
    context = 0
    if positions or any(None in declared.shape for declared in states):
        try:
            context = Workload.parse(workload or "").tokens
        except ValueError as error:
            raise ModelUnusable(
                f"the model leaves sizes of {_listed(others)} free, and its metadata {WORKLOAD!r} do not "
                f"name the context: {error}"
            ) from error
    rng = np.random.default_rng(0)
    shapes = {i.name: [context if n is None else n for n in i.shape] for i in states}
    first: dict[str, NDArray[Any]] = {declared.name: np.array(context) for declared in positions}
    return first | {name: rng.random(shape, dtype=np.float32) for name, shape in shapes.items()}


def with_room(first: NDArray[Any], declared: OnnxValue, tokens: int) -> NDArray[Any]:
    """A first state with zeros behind it on the axis that grows, for so many tokens more."""
    behind = [(0, tokens if size is None else 0) for size in declared.shape]
    return np.pad(first, behind)


def advancing_states(inputs: Sequence[OnnxValue], outputs: Sequence[OnnxValue]) -> dict[str, int]:
    """Of each state that a token hands on to the next: the place of the output that becomes this input."""
    places = {output.name: (place, output.shape) for place, output in enumerate(outputs)}
    found = {}
    for declared in inputs:
        before, _, name = ("", "", POSITION) if declared._is_position else declared.name.rpartition(STATE)
        place, shape = places.get(before + NEXT + name, (0, None))
        if shape is not None and (shape == declared.shape or None in declared.shape):
            found[declared.name] = place
    return found


def _not_accepted(inputs: Sequence[OnnxValue]) -> str:
    return (
        f"the model's inputs are {_listed(inputs)}; accepted: {INPUT} int64 (B, N) or {' or '.join(NUMBERS)} "
        f"float32 (B, …), {POSITION} int64 (), and states that are float32"
    )


def _listed(values: Sequence[OnnxValue]) -> str:
    return ", ".join(f"{value.name} {value.dtype} {list(value.shape)}" for value in values)
