"""The interface of an engine that runs models on a device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from searchspaces.registry import Registry
from workers.capabilities import RuntimeCapability
from workers.target import Phase, Workload

__all__ = [
    "LoadedModel",
    "Runtime",
    "Tokens",
    "parse_runtime",
    "register_runtime",
    "runtimes",
    "workload_tokens",
]

Tokens: TypeAlias = NDArray[np.int64]
"""(B, N) token ids."""

LoadedModel: TypeAlias = Callable[[Tokens], Sequence[NDArray[Any]]]
"""A model ready to run in the thread that calls it: tokens to outputs."""

INPUT = "tokens"
"""The one input of every model that is measured, int64 (B, N)."""

_REGISTRY: Registry[Runtime] = Registry("workers.runtimes", "runtime")
register_runtime = _REGISTRY.register
parse_runtime = _REGISTRY.parse
runtimes = _REGISTRY.classes


class Runtime(ABC):
    """One engine. Modules import theirs inside methods, so that a service can name engines that only
    its devices have. Registering one enrols it in the contract suite `tests/workers/test_runtimes.py`.

    Attributes:
        name: set by `@register_runtime`.
    """

    name: ClassVar[str]

    @abstractmethod
    def capability(self) -> RuntimeCapability | None:
        """What works here and now; None where the engine is not installed."""

    @abstractmethod
    def prepare(self, model: bytes, dtype: str) -> bytes:
        """The ONNX file `model` as this engine runs it in a number format; not part of what is timed.

        Raises:
            TargetNotServed: `dtype` is not among the capability's, or the engine is not here.
            ModelUnusable: the file cannot be converted.
        """

    @abstractmethod
    def load(self, prepared: bytes, threads: int) -> LoadedModel:
        """Make a prepared file, whose one input is `tokens` int64 (B, N), ready to run.

        Args:
            prepared: what `prepare` returned.
            threads: processor threads that one call may use.

        Raises:
            ModelUnusable: the file does not load, has other inputs, or would run elsewhere than asked.
                The loaded model raises it too, where it does not run.
        """


def workload_tokens(workload: Workload, vocabulary: int) -> Tokens:
    """The fixed pseudo-random input of a prefill workload, (B, N) below `vocabulary`."""
    if workload.phase is not Phase.PREFILL:
        raise ValueError(f"workload {workload} has no whole prompt; accepted: phase prefill")
    shape = (workload.batch, workload.tokens)
    return np.random.default_rng(0).integers(vocabulary, size=shape, dtype=np.int64)
