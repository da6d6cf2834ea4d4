"""Keys and values kept from token to token, and one query on them: decoding of the softmax mixers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.mixers.mixer import Shape, State
    from searchspaces.part import Sizes

__all__ = ["append", "attend", "attend_one_by_one", "cache_shapes", "cached_step_operations"]


def cache_shapes(batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
    """Of the keys ``k`` and values ``v`` of so many tokens."""
    return dict.fromkeys(("k", "v"), (batch, groups, tokens, head_size))


def append(cache: State, k: Tensor, v: Tensor) -> State:
    """The cache with one token's k and v (B, G, K) at its end."""
    import torch

    new = {"k": k, "v": v}
    return {name: torch.cat([cache[name], new[name].unsqueeze(2)], dim=2) for name in new}


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax of one token's queries (B, G, H/G, K) over keys and values (B, G, n, K) → (B, G, H/G, K)."""
    # This way round the keys, which are many, need not be transposed.
    scores = (k @ q.transpose(-1, -2)).transpose(-1, -2) * q.shape[-1] ** -0.5
    mixed: Tensor = scores.softmax(-1) @ v
    return mixed


def attend_one_by_one(q: Tensor, k: Tensor, v: Tensor, seen: list[list[int]]) -> Tensor:
    """The references' plain loop: query i (B, H, N, K) over the positions `seen[i]`."""
    import torch

    rows = [attend(q[:, :, i : i + 1], k[:, :, js], v[:, :, js]) for i, js in enumerate(seen)]
    return torch.cat(rows, dim=2)


def cached_step_operations(sizes: Sizes, cached: int, seen: int) -> tuple[Operation, ...]:
    """Operations of appending to `cached` tokens and attending to `seen`."""
    inner, heads = sizes.inner, sizes.heads
    return (
        Operation(OperationKind.GATHER, elements=2 * sizes.shared * (cached + 1), calls=2),
        Operation(OperationKind.ATTENTION, macs=2 * inner * seen, elements=heads * seen + inner, calls=2),
        Operation(OperationKind.ELEMENTWISE, elements=2 * heads * seen, calls=2),
    )
