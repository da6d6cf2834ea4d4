"""Tokens that are absent: the last ones of series that are shorter than the longest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["absent", "counted", "hiding", "of_tokens"]

ABSENT = -1e9
"""Added to a score that counts for nothing. Finite, for a token that is absent itself may see no other, and
what it gets must be a number, too."""


def of_tokens(present: Tensor, x: Tensor) -> Tensor:
    """(B, N) of bool → (B, 1, N, 1) of ones and zeros of x's precision."""
    there: Tensor = present.to(x.dtype)[:, None, :, None]
    return there


def absent(x: Tensor) -> float:
    """`ABSENT`, or the half of what x's precision reaches to: half precision has no such number."""
    import torch

    return max(ABSENT, torch.finfo(x.dtype).min / 2)


def hiding(there: Tensor) -> Tensor:
    """Ones and zeros (…, P, 1) → (…, 1, P), what is added to the scores of so many keys."""
    added: Tensor = (1 - there).transpose(-1, -2) * absent(there)
    return added


def counted(v: Tensor, present: Tensor | None) -> Tensor:
    """(…, N, K) → (…, N, K + 1): values with a one beside those that count, all where None."""
    import torch
    from torch.nn.functional import pad

    if present is None:
        return pad(v, (0, 1), value=1.0)
    there = of_tokens(present, v).expand(*v.shape[:-1], 1)
    return torch.cat([v, there], dim=-1)
