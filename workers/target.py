"""What a latency is a latency of: device × runtime × dtype × threads × workload."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Phase", "Target", "Workload"]


class Phase(StrEnum):
    """What a model is timed at."""

    PREFILL = "prefill"
    """All tokens of a prompt at once."""
    DECODE = "decode"
    """One token, after `tokens` tokens of context."""
    ENCODE = "encode"
    """All of an input of fixed size at once, in a model that is no language model."""

    @property
    def in_a_row(self) -> bool:
        """Whether people call a model again and again, as one token follows the other, or one image; a prompt
        comes after what else a machine does."""
        return self is not Phase.PREFILL


@dataclass(frozen=True, slots=True, order=True)
class Workload:
    """What one timed call does.

    Attributes:
        phase: prefill or decode of a language model, encode of others.
        batch: B, sequences at once.
        tokens: N, which the model makes of an input where it encodes; for decode the context's length.
    """

    phase: Phase = Phase.PREFILL
    batch: int = 1
    tokens: int = 1024

    def __post_init__(self) -> None:
        object.__setattr__(self, "phase", Phase(self.phase))
        for name, value in (("batch", self.batch), ("tokens", self.tokens)):
            _check_count(name, value)

    def __str__(self) -> str:
        return f"{self.phase}/b{self.batch}/n{self.tokens}"

    @classmethod
    def parse(cls, text: str) -> Workload:
        """Inverse of `str`.

        Raises:
            ValueError: the text has another form; the message shows the accepted one.
        """
        match = _WORKLOAD.fullmatch(text)
        if match is None:
            accepted = "prefill/b1/n1024, decode/b1/n1024 or encode/b1/n49"
            raise ValueError(f"{text!r} is not a workload; accepted: {accepted}")
        return cls(Phase(match["phase"]), int(match["batch"]), int(match["tokens"]))


MOST = 2**31 - 1
"""Of anything that a target counts: what messages and columns hold."""


def _check_count(name: str, value: int) -> None:
    if not 1 <= value <= MOST:
        raise ValueError(f"{name} is {value!s:.20}; accepted: 1 to {MOST}")


_WORKLOAD = re.compile(r"(?P<phase>prefill|decode|encode)/b(?P<batch>\d+)/n(?P<tokens>\d+)")
_TARGET = re.compile(
    r"(?P<device>[\w.-]+)/(?P<runtime>[\w.-]+)/(?P<dtype>[\w.-]+)/(?P<threads>\d+)t/(?P<workload>.+)"
)
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Where and how a model will run. Its text form, ``local-cpu/onnxruntime/fp32/1t/prefill/b1/n1024``,
    identifies it everywhere.

    Attributes:
        device: the name a worker registers under.
        runtime: registered name of the engine (`workers/runtimes`).
        dtype: number format, e.g. ``"fp32"``.
        threads: processor threads that one call may use.
        workload: what one call does.
    """

    device: str
    runtime: str = "onnxruntime"
    dtype: str = "fp32"
    threads: int = 1
    workload: Workload = Workload()

    def __post_init__(self) -> None:
        for part in (self.device, self.runtime, self.dtype):
            if not _NAME.fullmatch(part):
                raise ValueError(f"{part!r} is not a name; accepted: letters, digits and . _ -")
        _check_count("threads", self.threads)

    def __str__(self) -> str:
        return f"{self.device}/{self.runtime}/{self.dtype}/{self.threads}t/{self.workload}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Inverse of `str`.

        Raises:
            ValueError: the text has another form; the message shows the accepted one.
        """
        match = _TARGET.fullmatch(text)
        if match is None or not _WORKLOAD.fullmatch(match["workload"]):
            raise ValueError(f"{text!r} is not a target; accepted: DEVICE/RUNTIME/DTYPE/1t/prefill/b1/n1024")
        workload = Workload.parse(match["workload"])
        return cls(match["device"], match["runtime"], match["dtype"], int(match["threads"]), workload)
