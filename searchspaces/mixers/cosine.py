"""Linear attention that weighs near tokens more by a cosine (cosFormer; Qin et al., 2022)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from searchspaces.mixers.chunks import into_chunks
from searchspaces.mixers.kernel import CHUNK
from searchspaces.mixers.linear import Linear
from searchspaces.mixers.mixer import Kind, Position, State, register_mixer
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor


@register_mixer("cosine")
@dataclass(frozen=True)
class Cosine(Linear):
    """Weights are φ(q_i)·φ(k_j) (1 + cos(π (i − j)/reach))/2, φ(x) = elu(x) + 1: 3 K features.

    cosFormer weighs by cos(π (i − j)/2N), below 0 beyond a length N that must be known, with relu for φ.
    Raised by one, weights are at least 0 at any distance; they fall until `reach` tokens back, then rise.
    Where tokens all see each other they are the same in both directions, and on a grid of two axes the mean
    of those along each: 5 K features.

    Args:
        reach: tokens back at which a token counts nothing.
    """

    reach: int = 512

    glyph = "K"
    example = "cosine"
    kind = Kind.KERNEL
    kernel = "φ(q)·φ(k) × a raised cosine of the distance, normalised"
    sparsity = "all tokens"
    source = "cosFormer: Qin et al., 2022"
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"reach": (2, 1 << 20)}

    def mix(self, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None = None) -> Tensor:
        """In chunks."""
        import torch

        queries, keys = self.base(into_chunks(q, CHUNK)), self.base(into_chunks(k, CHUNK))
        positions = torch.arange(queries.shape[2] * CHUNK, device=q.device).reshape(-1, CHUNK)
        return self._mixed(self._at(queries, positions), self._at(keys, positions), v, log_decay)

    def placed(self, x: Tensor, sizes: Sizes) -> Tensor:
        """At their positions."""
        import torch

        axes = (torch.arange(size, device=x.device) for size in sizes.view.grid)
        positions = torch.meshgrid(*axes, indexing="ij")
        return self._at(self.base(x), *(axis.flatten() for axis in positions))

    def placed_sizes(self, sizes: Sizes) -> tuple[int, int]:
        """(1 + 2 axes) K, both."""
        size = (1 + 2 * sizes.view.dimensions) * sizes.head_size
        return size, size

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None = None) -> Tensor:
        """Token by token."""
        import torch

        positions = torch.arange(q.shape[2], device=q.device)
        queries, keys = self._at(self.base(q), positions), self._at(self.base(k), positions)
        return self._mixed_one_by_one(queries, keys, v, log_decay)

    def mix_extend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        state: State,
        position: Position,
        log_decay: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """In chunks, at positions −1, −2, …, since a state's last token is at 0; turned back at the end."""
        import torch

        queries, keys = self.base(into_chunks(q, CHUNK)), self.base(into_chunks(k, CHUNK))
        positions = torch.arange(queries.shape[2] * CHUNK, device=q.device).reshape(-1, CHUNK)
        queries, keys = self._at(queries, -1 - positions), self._at(keys, -1 - positions)
        mixed, sums = self._mixed_after(state["sums"], queries, keys, v, log_decay)
        tokens = torch.arange(v.shape[2] + 1, device=q.device)[-1]
        return mixed, {"sums": self._turned(sums, tokens)}

    def mix_step(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        state: State,
        position: Position,
        log_decay: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Turn what earlier tokens left by one position, and go on from position 0."""
        sums = self._turned(self._left(state, log_decay), 1)
        here = q.new_zeros(1)
        return self._looked_up(self._at(self.base(q), here), self._at(self.base(k), here), v, sums)

    def _turned(self, sums: Tensor, tokens: int | Tensor) -> Tensor:
        """Sums (…, 3 K, K + 1) whose last token is at 0, as seen from so many positions later."""
        import torch

        plain, cosine, sine = sums.chunk(3, dim=-2)
        a: float | Tensor
        b: float | Tensor
        if isinstance(tokens, int):
            angle = tokens * math.pi / self.reach
            a, b = math.cos(angle), math.sin(angle)
        else:
            precise = torch.promote_types(sums.dtype, torch.float32)
            angles = tokens.to(precise) * (math.pi / self.reach)
            a, b = angles.cos().to(sums.dtype), angles.sin().to(sums.dtype)
        return torch.cat([plain, a * cosine - b * sine, b * cosine + a * sine], dim=-2)

    def _at(self, base: Tensor, *positions: Tensor) -> Tensor:
        """Bases (…, K) at positions (…) along A axes → [φ, φ cos/√A, φ sin/√A, …]/√2, whose products are the
        weights."""
        import torch

        precise = torch.promote_types(base.dtype, torch.float32)  # half would confuse distant positions
        scaled, share = base * 0.5**0.5, len(positions) ** -0.5
        waves = []
        for axis in positions:
            angles = axis.unsqueeze(-1).to(precise) * (math.pi / self.reach)
            waves += [(wave * share).to(base.dtype) for wave in (angles.cos(), angles.sin())]
        return torch.cat([scaled, *(scaled * wave for wave in waves)], dim=-1)

    def base_size(self, head_size: int) -> int:
        """3 K."""
        return 3 * head_size

    def feature_size(self, head_size: int) -> int:
        """3 K."""
        return 3 * head_size
