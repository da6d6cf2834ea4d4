"""Sequences in chunks, which keep a mixer's cost linear in N: M chunks of C tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["chunk_count", "into_chunks", "out_of_chunks", "with_earlier"]


def chunk_count(tokens: int, chunk: int) -> int:
    """M, the number of chunks that hold `tokens` tokens."""
    return (tokens + chunk - 1) // chunk


def into_chunks(x: Tensor, chunk: int, ahead: int = 0) -> Tensor:
    """(B, H, N, K) → (B, H, ahead + M, C, K): zeros fill the last chunk and `ahead` chunks in front."""
    import torch

    batch, heads, tokens, size = x.shape
    # H and K are the same for every input: as whole numbers they are constants in exports by tracing.
    heads, size = int(heads), int(size)
    zeros = x.new_zeros(batch, heads, chunk_count(tokens, chunk) * chunk - tokens, size)
    front = [x.new_zeros(batch, heads, ahead * chunk, size)] if ahead else []
    return torch.cat([*front, x, zeros], dim=2).reshape(batch, heads, -1, chunk, size)


def out_of_chunks(x: Tensor, tokens: int) -> Tensor:
    """(B, H, M, C, K) → (B, H, N, K), the inverse of `into_chunks`."""
    return x.reshape(x.shape[0], int(x.shape[1]), -1, int(x.shape[-1]))[:, :, :tokens]


def with_earlier(x: Tensor, chunk: int, earlier: int, before: Tensor | None = None) -> Tensor:
    """(B, H, N, K) → (B, H, M, (earlier + 1) C, K): each chunk behind the `earlier` chunks before it.

    Args:
        before: the tokens before x, (B, H, earlier C, K); zeros where None.
    """
    import torch

    if before is None:
        chunks = into_chunks(x, chunk, ahead=earlier)
    else:
        chunks = into_chunks(torch.cat([before, x], dim=2), chunk)
    batch, heads, count, _, size = chunks.shape
    own = torch.arange(count - earlier, device=x.device).unsqueeze(1)
    table = own + torch.arange(earlier + 1, device=x.device)
    seen = chunks.index_select(2, table.flatten())
    return seen.reshape(batch, int(heads), -1, (earlier + 1) * chunk, int(size))
