"""What a model file in ONNX may ask for, whichever engine runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.runtime import INPUT

__all__ = ["OnnxInput", "fixed_states"]


@dataclass(frozen=True, slots=True)
class OnnxInput:
    """An input as the file declares it.

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
        return self.name != INPUT and self.dtype == "float32" and None not in self.shape


def fixed_states(inputs: Sequence[OnnxInput]) -> dict[str, NDArray[np.float32]]:
    """Fixed pseudo-random numbers in [0, 1) for every input but the tokens; none where a file has no more.

    Raises:
        ModelUnusable: the inputs are not those of a model that is timed.
    """
    states = [declared for declared in inputs if not declared._is_tokens]
    if len(states) != len(inputs) - 1 or not all(declared._is_state for declared in states):
        listed = ", ".join(f"{i.name} {i.dtype} {list(i.shape)}" for i in inputs)
        raise ModelUnusable(
            f"the model's inputs are {listed}; accepted: {INPUT} int64 (B, N), and states that are float32 "
            "of fixed shape"
        )
    rng = np.random.default_rng(0)
    return {i.name: rng.random([n or 0 for n in i.shape], dtype=np.float32) for i in states}
