"""A window of softmax attention, and behind it linear attention with learned features (LoLCATs; Zhang et al.,
2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from searchspaces.mixers.cache import append
from searchspaces.mixers.chunks import into_chunks, out_of_chunks
from searchspaces.mixers.gates import gate, gate_operations, gate_weights
from searchspaces.mixers.heads import HeadMixer
from searchspaces.mixers.hedgehog import Hedgehog
from searchspaces.mixers.kernel import CHUNK
from searchspaces.mixers.mixer import Kind, Position, Shape, State, register_mixer
from searchspaces.mixers.window import Window
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

FAR = Hedgehog()

NEAR = 8.0
"""γ of a fresh gate: evenly spread features give a far token 2/K, of which there are many."""

MOST = 8.0
"""|log γ / 8| at most: a first token has nothing but its window."""


@register_mixer("linear+window")
@dataclass(frozen=True)
class LinearWindow(HeadMixer):
    """Weights are γ_i exp(s_ij − max_j s_ij), s = q·k/√K, of the W tokens i − W < j ≤ i, and φ(q)·φ(k) of
    Hedgehog's features of all tokens before; their sum divides both.

    γ_i = 8 exp(w·x_i + b), one a head. Queries and keys are those of softmax attention, so that a pretrained
    layer needs to learn φ and γ alone. The state keeps the last W keys, values and mapped keys, and the sums
    of the tokens that left.

    Args:
        window: W.
    """

    window: int

    glyph = "Σ"
    example = "linear+window:8"
    kind = Kind.KERNEL
    kernel = "γ exp(q·k/√K) near, φ(q)·φ(k) far, φ learned, normalised together"
    sparsity = "all tokens"
    source = "LoLCATs: Zhang et al., 2025"
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"window": (1, 1 << 16)}

    @property
    def _near(self) -> Window:
        return Window(self.window)

    def own_name(self, name: str) -> str:
        """See `HeadMixer.own_name`; windows of several lengths in one layer share nothing."""
        return f"linear_window{self.window}_{name}"

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """Hedgehog's maps, and γ's gate."""
        return FAR.own_shapes(sizes) | gate_weights("near", sizes)

    def prepared(
        self, q: Tensor, k: Tensor, weights: Mapping[str, Tensor], sizes: Sizes
    ) -> tuple[Tensor, Tensor]:
        """Each with what Hedgehog maps it to behind it, 2 K numbers."""
        import torch

        maps = {FAR.own_name(name): weights[self.own_name(name)] for name in FAR.maps(sizes)}
        mapped = FAR.prepared(q, k, maps, sizes)
        return torch.cat([q, mapped[0]], dim=-1), torch.cat([k, mapped[1]], dim=-1)

    def signals(self, x: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
        """`near` (B, G, N): γ."""
        return {"near": NEAR * gate(x, weights, self.own_name("near"), sizes).clamp(-MOST, MOST).exp()}

    def mix(self, q: Tensor, k: Tensor, v: Tensor, near: Tensor) -> Tensor:
        """In chunks: the window's, and those of tokens W earlier."""
        from torch.nn.functional import pad

        tokens = q.shape[2]
        (query, far_query), (key, far_key) = _halves(q), _halves(k)
        values = pad(v, (0, 1), value=1.0)
        inside = self._inside(query, self._near.seen(key), self._near.seen(values), near)

        def earlier(x: Tensor) -> Tensor:
            return into_chunks(pad(x, (0, 0, self.window, 0))[:, :, :tokens], CHUNK)

        queries, keys = FAR.base(into_chunks(far_query, CHUNK)), FAR.base(earlier(far_key))
        return _quotient(inside + out_of_chunks(FAR.sums(queries, keys, earlier(values)), tokens))

    def _inside(
        self, query: Tensor, keys: Tensor, values: Tensor, near: Tensor, position: Position = 0
    ) -> Tensor:
        """The window's share of the sums (B, H, N, K + 1)."""
        shares = _shares(self._near.scores(query, keys, position))
        return out_of_chunks(shares @ values, query.shape[2]) * near.unsqueeze(-1)

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor, near: Tensor) -> Tensor:
        """Token by token."""
        import torch

        (query, far_query), (key, far_key) = _halves(q), _halves(k)
        rows = []
        for i in range(q.shape[2]):
            first = max(0, i + 1 - self.window)
            scores = (query[:, :, i : i + 1] * key[:, :, first : i + 1]).sum(-1) * query.shape[-1] ** -0.5
            inside = near[:, :, i : i + 1] * _shares(scores)
            features = FAR.base(far_query[:, :, i : i + 1]), FAR.base(far_key[:, :, :first])
            weights = torch.cat([(features[0] * features[1]).sum(-1), inside], dim=-1).unsqueeze(-1)
            rows.append((weights * v[:, :, : i + 1]).sum(-2) / weights.sum(-2))
        return torch.stack(rows, dim=-2)

    def mix_extend(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position, near: Tensor
    ) -> tuple[Tensor, State]:
        """In chunks, on top of the window and of the sums so far."""
        import torch
        from torch.nn.functional import pad

        tokens = q.shape[2]
        cache = append({name: state[name] for name in ("k", "v")}, k, v)
        (query, far_query), (key, _) = _halves(q), _halves(k)
        keys = self._near.seen(key, _halves(state["k"])[0])
        # Of zeros that stand for tokens before the first the ones are masked with their keys.
        values = self._near.seen(pad(v, (0, 1), value=1.0), pad(state["v"], (0, 1), value=1.0))
        inside = self._inside(query, keys, values, near, position)
        there = torch.arange(tokens, device=q.device) + position >= self.window
        left = self._left_with(cache["v"][:, :, :tokens], there)
        keys = FAR.base(into_chunks(_halves(cache["k"][:, :, :tokens])[1], CHUNK))
        queries = FAR.base(into_chunks(far_query, CHUNK))
        outside, sums = FAR.sums_after(state["sums"], queries, keys, left)
        kept = {name: y[:, :, -self.window :] for name, y in cache.items()}
        return _quotient(inside + outside), {**kept, "sums": sums}

    def mix_step(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position, near: Tensor
    ) -> tuple[Tensor, State]:
        """Add the token that leaves the window to the sums; look up in both."""
        import torch
        from torch.nn.functional import pad

        there = torch.arange(1, device=q.device) + position >= self.window
        left = self._left_with(state["v"][:, :, :1], there)
        leaving = _halves(state["k"][:, :, 0])[1]
        sums = state["sums"] + FAR.features(FAR.base(leaving).unsqueeze(-1)) * left
        cache = append({name: state[name] for name in ("k", "v")}, k.unsqueeze(2), v.unsqueeze(2))
        kept = {name: y[:, :, 1:] for name, y in cache.items()}
        (query, far_query), (keys, _) = _halves(q), _halves(kept["k"])
        seen = torch.arange(-self.window, 0, device=q.device) + position >= -1
        # This way round the keys, which are many, need not be transposed.
        scores = (keys @ query.transpose(-1, -2)).transpose(-1, -2) * query.shape[-1] ** -0.5
        shares = _shares(scores + q.new_zeros(1).masked_fill(~seen, float("-inf")))
        inside = shares @ pad(kept["v"], (0, 1), value=1.0) * near[..., None, None]
        features = FAR.features(FAR.base(far_query).transpose(-1, -2)).transpose(-1, -2)
        return _quotient(inside + features @ sums), {**kept, "sums": sums}

    @staticmethod
    def _left_with(values: Tensor, there: Tensor) -> Tensor:
        """Values (B, H, S, K) of tokens that leave the window, and a 1 behind each that there is, (S,)."""
        import torch

        ones = there.to(values.dtype)[:, None].expand_as(values[..., :1])
        return torch.cat([values, ones], dim=-1)

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """Two keys and a value for each of the last W tokens, and the sums of those before."""
        near = {
            "k": (batch, groups, self.window, 2 * head_size),
            "v": (batch, groups, self.window, head_size),
        }
        return near | FAR.mix_state_shapes(batch, groups, head_size, tokens)

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Those of both, the gate's, and the sums of the window's weights."""
        near = self._near.mix_operations(sizes, tokens)
        summed = self._summed(sizes, self._near.pairs(tokens))
        return (*gate_operations(sizes, tokens), *near, summed, *FAR.mix_operations(sizes, tokens))

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """The same for one token."""
        near = self._near.mix_step_operations(sizes, context)
        summed = self._summed(sizes, self.window)
        return (*gate_operations(sizes, 1), *near, summed, *FAR.mix_step_operations(sizes, context))

    @staticmethod
    def _summed(sizes: Sizes, pairs: int) -> Operation:
        """The column of ones beside a window's values."""
        return Operation(OperationKind.ATTENTION, macs=pairs * sizes.heads, elements=pairs * sizes.heads)


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """What the window compares, and what the features are of."""
    size = int(x.shape[-1]) // 2
    return x[..., :size], x[..., size:]


def _shares(scores: Tensor) -> Tensor:
    """exp(s − max s) of scores (…, n)."""
    return (scores - scores.amax(-1, keepdim=True)).exp()


def _quotient(sums: Tensor) -> Tensor:
    """Sums (…, K + 1) of weighted values over those of weights."""
    return sums[..., :-1] / sums[..., -1:]
