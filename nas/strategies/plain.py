"""Arrays and random generators as plain JSON data, bit for bit."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["generator_from", "generator_state", "pack", "unpack"]


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """An array's type, shape and bytes (base64, little-endian): compact, exact, NaN included."""
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def unpack(state: Mapping[str, Any]) -> NDArray[Any]:
    """The inverse of `pack`; a new, writable array."""
    flat = np.frombuffer(base64.b64decode(state["data"]), dtype=np.dtype(state["dtype"]))
    return flat.reshape(state["shape"]).copy()


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """The state of a PCG64 generator."""
    return dict(rng.bit_generator.state)


def generator_from(state: Mapping[str, Any]) -> np.random.Generator:
    """The inverse of `generator_state`."""
    bits = np.random.PCG64()
    bits.state = cast("Any", dict(state))
    return np.random.Generator(bits)
