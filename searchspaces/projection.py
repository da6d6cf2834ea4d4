"""How a layer's tokens become heads where that is otherwise than in this project's own models: what
pretrained models bring along. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["PLAIN", "Projection"]


@dataclass(frozen=True, slots=True)
class Projection:
    """The same for all options of a layer, so no gene. Every default is this project's own way.

    Attributes:
        head_size: K; 0 for D/H.
        bias: whether queries, keys and values have one.
        out_bias: whether the output projection has one.
        norms: whether queries and keys are RMS-normed, head by head (Henry et al., 2020; Qwen3).
        base: of rotary positions: pair i of K/2 turns by base^(−2i/K) a token; 0 for this project's own, see
            `searchspaces.rotary.rotary`.
        factor: by which positions are divided (linear scaling; Chen et al., 2023).
        sharing: heads of queries to each one of keys and values, where a space has layers of fewer and fewer
            such groups; 0 where `Layer.kv_heads` says how many there are.
        original: tokens that the model was trained on before its context was extended as Llama 3's was: then
            only pairs of fewer than `low` turns over it are divided by the factor, those of more than `high`
            are not, and in between there is a smooth passage; 0 where it was not.
        low, high: see `original`.
    """

    head_size: int = 0
    bias: bool = False
    out_bias: bool = False
    norms: bool = False
    base: float = 0.0
    factor: float = 1.0
    original: int = 0
    low: float = 1.0
    high: float = 4.0
    sharing: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            kind, value = type(field.default), getattr(self, field.name)
            if kind is float and type(value) is int:
                object.__setattr__(self, field.name, float(value))
            elif type(value) is not kind:
                raise TypeError(f"projection.{field.name} {value!r}; accepted: {kind.__name__}")
        if self.head_size < 0 or self.head_size % 2:
            raise ValueError(f"projection.head_size {self.head_size}; accepted: an even number, 0 for D/H")
        if self.sharing < 0:
            raise ValueError(f"projection.sharing {self.sharing}; accepted: 0 or more")
        if not (self.base == 0 or 1 < self.base < math.inf):
            raise ValueError(f"projection.base {self.base}; accepted: above 1, or 0 for this project's own")
        if not (1 <= self.factor < math.inf and 0 < self.low < self.high < math.inf and self.original >= 0):
            raise ValueError(
                f"projection: factor {self.factor:g}, low {self.low:g}, high {self.high:g}, original "
                f"{self.original}; accepted: factor ≥ 1, 0 < low < high, original ≥ 0"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what is not the default."""
        said = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in said.items() if value != default}

    def frequencies(self, head_size: int) -> list[float]:
        """(K/2,) radians a token of each pair, where `base` is given."""
        exponents = (2 * i / head_size for i in range(head_size // 2))
        return [self._scaled(self.base**-exponent) for exponent in exponents]

    def _scaled(self, frequency: float) -> float:
        if not self.original:
            return frequency / self.factor
        turns = self.original * frequency / (2 * math.pi)
        kept = min(1.0, max(0.0, (turns - self.low) / (self.high - self.low)))
        return frequency * (kept + (1 - kept) / self.factor)

    def __str__(self) -> str:
        """Of what is not the default, e.g. ``"head_size64-base100000"``; empty for `PLAIN`."""
        return "-".join(f"{name}{value:g}" for name, value in self.to_dict().items())


PLAIN = Projection()
"""This project's own."""
