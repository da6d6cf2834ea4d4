"""Random numbers that are constants of a formula: drawn once, from a text that says what they are, and never
trained."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = ["constant", "generator"]

P = ParamSpec("P")
T = TypeVar("T")


def generator(text: str) -> np.random.Generator:
    """The same numbers for the same text, on every machine."""
    return np.random.default_rng(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint32))


def constant(draw: Callable[P, T]) -> Callable[P, T]:
    """A function that is asked once for the same arguments, and whose answer compilers take as it is: they
    cannot trace how it is drawn."""
    marked: Any = draw
    # What `torch.compiler.assume_constant_result` does, where torch is not imported.
    marked._dynamo_marked_constant = True
    marked = cache(marked)
    once: Callable[P, T] = marked
    return once
