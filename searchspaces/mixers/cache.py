"""Keys and values kept from token to token, and one query on them: decoding of the softmax mixers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.mixers.mixer import Position, Shape, State
    from searchspaces.part import Sizes

__all__ = [
    "append",
    "attend",
    "attend_causally",
    "attend_one_by_one",
    "cache_shapes",
    "cached_step_operations",
    "keep_first",
]


def cache_shapes(batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
    """Of the keys ``k`` and values ``v`` of so many tokens."""
    return dict.fromkeys(("k", "v"), (batch, groups, tokens, head_size))


def append(cache: State, k: Tensor, v: Tensor) -> State:
    """The cache with the k and v (B, G, S, K) of S tokens at its end."""
    import torch

    return {name: torch.cat([cache[name], new], dim=2) for name, new in {"k": k, "v": v}.items()}


def keep_first(first: Tensor, x: Tensor, position: Position) -> Tensor:
    """The first n tokens of a sequence (B, H, n, K), with those of x (B, H, S, K) among them, which begins at
    `position`; of tokens that are yet to come there is something or other."""
    import torch

    count = int(first.shape[2])
    token = torch.arange(count, device=x.device)
    new = (token - position).clamp(max=x.shape[2] - 1) + count
    return torch.cat([first, x], dim=2).index_select(2, torch.where(token < position, token, new))


def attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None = None) -> Tensor:
    """Softmax of one token's queries (B, G, H/G, K) over keys and values (B, G, n, K) → (B, G, H/G, K).

    Args:
        seen: which of the keys count, (n,); all of them where None.
    """
    # This way round the keys, which are many, need not be transposed.
    scores = (k @ q.transpose(-1, -2)).transpose(-1, -2) * q.shape[-1] ** -0.5
    if seen is not None:
        scores = scores + q.new_zeros(1).masked_fill(~seen, float("-inf"))
    mixed: Tensor = scores.softmax(-1) @ v
    return mixed


def attend_causally(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax of queries (B, H, N, K), those of the last N of T tokens, over the keys and values
    (B, H, T, K) of tokens up to their own → (B, H, N, K)."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    new, tokens = q.shape[2], k.shape[2]
    # Exports name this call as an operator of the meaning said here, which torch's has for N = T alone.
    if new == tokens or torch.onnx.is_in_onnx_export():
        return scaled_dot_product_attention(q, k, v, is_causal=True)
    seen = torch.ones(new, tokens, device=q.device, dtype=torch.bool).tril(tokens - new)
    return scaled_dot_product_attention(q, k, v, attn_mask=seen)


def attend_one_by_one(q: Tensor, k: Tensor, v: Tensor, seen: list[list[int]]) -> Tensor:
    """The references' plain loop: query i (B, H, N, K) over the positions `seen[i]`."""
    import torch

    rows = [attend(q[:, :, i : i + 1], k[:, :, js], v[:, :, js]) for i, js in enumerate(seen)]
    return torch.cat(rows, dim=2)


def cached_step_operations(sizes: Sizes, written: int, seen: int) -> tuple[Operation, ...]:
    """Operations of writing keys and values of `written` tokens, of which one is new, and attending to
    `seen`."""
    inner, heads = sizes.inner, sizes.heads
    return (
        Operation(OperationKind.GATHER, elements=2 * sizes.shared * written, calls=2),
        Operation(OperationKind.ATTENTION, macs=2 * inner * seen, elements=heads * seen + inner, calls=2),
        Operation(OperationKind.ELEMENTWISE, elements=2 * heads * seen, calls=2),
    )
