"""Causal linear attention over feature maps, in chunks: shared by the mixers that have one.

Katharopoulos et al. (2020) write causal linear attention as a running sum of φ(k) vᵀ. Taken token by
token it is slow and large; in chunks (Hua et al., 2022; Yang et al., 2024) it is a small masked product
within each chunk plus one state a chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CHUNK", "EPSILON", "chunked", "one_step", "plain"]

CHUNK = 128
"""C, tokens a chunk: where the two products cost about the same at the head sizes of the spaces here."""

EPSILON = 1e-6
"""Added to the sum of weights that the output is divided by."""


def chunked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Σ_{j≤i} (q_i·k_j) v_j / (Σ_{j≤i} q_i·k_j + EPSILON).

    Args:
        q, k: (B, H, N, M) features, products of them ≥ 0.
        v: (B, H, N, K).
    """
    import torch
    from torch.nn.functional import pad

    batch, heads, tokens, features = q.shape
    head_size = v.shape[-1]
    extra = -tokens % CHUNK
    chunks = (tokens + extra) // CHUNK
    q = pad(q, (0, 0, 0, extra)).reshape(batch, heads, chunks, CHUNK, features)
    k = pad(k, (0, 0, 0, extra)).reshape(batch, heads, chunks, CHUNK, features)
    # A column of ones beside v carries the sum of weights through the same products.
    v = pad(pad(v, (0, 1), value=1.0), (0, 0, 0, extra)).reshape(batch, heads, chunks, CHUNK, head_size + 1)
    states = k.transpose(-1, -2) @ v
    before = torch.cumsum(states, dim=2) - states
    past = torch.tril(torch.ones(CHUNK, CHUNK, dtype=q.dtype, device=q.device))
    sums = ((q @ k.transpose(-1, -2)) * past) @ v + q @ before
    sums = sums.reshape(batch, heads, chunks * CHUNK, head_size + 1)[:, :, :tokens]
    return sums[..., :head_size] / (sums[..., head_size:] + EPSILON)


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same token by token."""
    import torch

    rows = []
    for i in range(q.shape[-2]):
        weights = (q[..., i : i + 1, :] * k[..., : i + 1, :]).sum(-1, keepdim=True)
        rows.append((weights * v[..., : i + 1, :]).sum(-2) / (weights.sum(-2) + EPSILON))
    return torch.stack(rows, dim=-2)


def one_step(q: Tensor, k: Tensor, v: Tensor, sums: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One token: (B, H, M) features and (B, H, K) values on running sums (B, H, M, K) and (B, H, M)."""
    sums = sums + k.unsqueeze(-1) * v.unsqueeze(-2)
    weights = weights + k
    above = (q.unsqueeze(-2) @ sums).squeeze(-2)
    return above / ((q * weights).sum(-1, keepdim=True) + EPSILON), sums, weights
