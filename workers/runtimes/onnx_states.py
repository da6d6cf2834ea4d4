"""What a model file in ONNX may ask for, whichever engine runs it: tokens, and states where it decodes.

An input ``…state_NAME`` is a layer's state before a token, the output ``…next_NAME`` the same after it. A
size of a state that the file leaves free is the context's: it begins as that of the workload which the file's
metadata `WORKLOAD` name, and grows. Decoding in a row feeds each token's next states to the one after; a
state whose next has another fixed size cannot be fed on, and begins anew at each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.runtime import INPUT
from workers.target import Workload

__all__ = ["NEXT", "STATE", "WORKLOAD", "OnnxValue", "advancing_states", "first_states"]

STATE, NEXT = "state_", "next_"

WORKLOAD = "workload"
"""Key of the file's metadata: the workload that it was made for, as text."""


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
    def _is_tokens(self) -> bool:
        return (self.name, self.dtype, len(self.shape)) == (INPUT, "int64", 2)

    @property
    def _is_state(self) -> bool:
        return self.name != INPUT and self.dtype == "float32"


def first_states(inputs: Sequence[OnnxValue], workload: str | None) -> dict[str, NDArray[np.float32]]:
    """Fixed pseudo-random numbers in [0, 1) for every input but the tokens; none where a file has no more.

    Args:
        inputs: of the file.
        workload: what its metadata say of it; None where they say nothing.

    Raises:
        ModelUnusable: the inputs are not those of a model that is timed, or sizes of states are free and no
            workload fills them.
    """
    states = [declared for declared in inputs if not declared._is_tokens]
    if len(states) != len(inputs) - 1 or not all(declared._is_state for declared in states):
        raise ModelUnusable(
            f"the model's inputs are {_listed(inputs)}; accepted: {INPUT} int64 (B, N), and states that are "
            "float32"
        )
    context = 0
    if any(None in declared.shape for declared in states):
        try:
            context = Workload.parse(workload or "").tokens
        except ValueError as error:
            raise ModelUnusable(
                f"the model leaves sizes of {_listed(states)} free, and its metadata {WORKLOAD!r} do not "
                f"name the context: {error}"
            ) from error
    rng = np.random.default_rng(0)
    shapes = {i.name: [context if n is None else n for n in i.shape] for i in states}
    return {name: rng.random(shape, dtype=np.float32) for name, shape in shapes.items()}


def advancing_states(inputs: Sequence[OnnxValue], outputs: Sequence[OnnxValue]) -> dict[str, int]:
    """Of each state that a token hands on to the next: the place of the output that becomes this input."""
    places = {output.name: (place, output.shape) for place, output in enumerate(outputs)}
    found = {}
    for declared in inputs:
        before, _, name = declared.name.rpartition(STATE)
        place, shape = places.get(before + NEXT + name, (0, None))
        if shape is not None and (shape == declared.shape or None in declared.shape):
            found[declared.name] = place
    return found


def _listed(values: Sequence[OnnxValue]) -> str:
    return ", ".join(f"{value.name} {value.dtype} {list(value.shape)}" for value in values)
