"""Keys and values kept from token to token, and one query on them: decoding of the softmax mixers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from searchspaces.mixers.mixer import Shape, State

__all__ = ["append", "attend", "attend_one_by_one", "cache_shapes", "cached_step_operations", "empty_cache"]


def empty_cache(batch: int, heads: int, head_size: int, dtype: dtype) -> State:
    """No keys and values yet: ``k`` and ``v``, both (B, H, 0, K)."""
    import torch

    return {name: torch.zeros(batch, heads, 0, head_size, dtype=dtype) for name in ("k", "v")}


def cache_shapes(batch: int, heads: int, head_size: int, tokens: int) -> dict[str, Shape]:
    """Of the keys and values of so many tokens."""
    return dict.fromkeys(("k", "v"), (batch, heads, tokens, head_size))


def append(cache: State, k: Tensor, v: Tensor) -> State:
    """The cache with one token's k and v (B, H, K) at its end."""
    import torch

    new = {"k": k, "v": v}
    return {name: torch.cat([cache[name], new[name].unsqueeze(2)], dim=2) for name in new}


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax of one query (B, H, K) over keys and values (B, H, n, K) → (B, H, K)."""
    scores = (k @ q.unsqueeze(-1)).squeeze(-1) * q.shape[-1] ** -0.5
    mixed: Tensor = scores.softmax(-1).unsqueeze(-2) @ v
    return mixed.squeeze(-2)


def attend_one_by_one(q: Tensor, k: Tensor, v: Tensor, seen: list[list[int]]) -> Tensor:
    """The references' plain loop: query i (B, H, N, K) over the positions `seen[i]`."""
    import torch

    rows = [attend(q[:, :, i], k[:, :, js], v[:, :, js]) for i, js in enumerate(seen)]
    return torch.stack(rows, dim=2)


def cached_step_operations(width: int, heads: int, cached: int, seen: int) -> tuple[Operation, ...]:
    """Operations of appending to `cached` tokens and attending to `seen`."""
    return (
        Operation(OperationKind.GATHER, elements=2 * width * (cached + 1), calls=2),
        Operation(OperationKind.ATTENTION, macs=2 * width * seen, elements=heads * seen + width, calls=2),
        Operation(OperationKind.ELEMENTWISE, elements=2 * heads * seen, calls=2),
    )
