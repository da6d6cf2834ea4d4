"""Sums over a sequence in chunks, M of C tokens, in which what is older may count less.

With decays α_t per token, token j still counts Π_{j<t≤i} α_t at token i. Within a chunk that is a C × C
matrix, from chunk to chunk an M × M one: two products, nothing token by token (Yang et al., 2024; Dao &
Gu, 2024).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from searchspaces.mixers.chunks import into_chunks

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CARRIED", "Decayed", "Remembered", "Undecayed", "carried", "unit_lower_inverse"]

CARRIED = "searchspaces::Carried"
"""Exports name `carried` so, for whoever writes the file to define it."""

LEAST = -80.0
"""Of a logarithm of what is left: below it processors compute slowly, on what no sum can tell from 0."""


class Remembered(Protocol):
    """How much of earlier tokens is left."""

    def within(self, weights: Tensor) -> Tensor:
        """Weights (B, H, M, C, C) of a chunk's tokens for each other, those of later ones 0."""

    def at_end(self, values: Tensor) -> Tensor:
        """What is left of tokens (B, H, M, C, V) at the end of their chunks."""

    def since_start(self, sums: Tensor) -> Tensor:
        """What is left at each token of sums (B, H, M, C, V) over earlier chunks."""

    def before(self, states: Tensor) -> Tensor:
        """Sums over earlier chunks (B, H, M, F, V), of each chunk's own at its end."""

    def after(self, start: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """The same on top of the sums before the first chunk, (B, H, F, V), and the sums after the last."""

    def over_chunk(self, identity: Tensor) -> Tensor:
        """What is left of a state over each chunk: a factor (F, F), or one a chunk (B, H, M, F, F)."""


class Undecayed:
    """All of them, for ever."""

    def within(self, weights: Tensor) -> Tensor:
        """See `Remembered`."""
        return weights.tril()

    def at_end(self, values: Tensor) -> Tensor:
        """See `Remembered`."""
        return values

    def since_start(self, sums: Tensor) -> Tensor:
        """See `Remembered`."""
        return sums

    def before(self, states: Tensor) -> Tensor:
        """See `Remembered`."""
        from torch.nn.functional import pad

        # Shifted, for subtracting would let later tokens round earlier ones.
        return pad(states.cumsum(dim=2)[:, :, :-1], (0, 0, 0, 0, 1, 0))

    def after(self, start: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """See `Remembered`."""
        import torch

        sums = torch.cat([start.unsqueeze(2), states], dim=2).cumsum(dim=2)
        return sums[:, :, :-1], sums[:, :, -1]

    def over_chunk(self, identity: Tensor) -> Tensor:
        """See `Remembered`."""
        return identity


class Decayed:
    """What decays leave.

    Args:
        log_decay: log α_t, (B, H, N), or (1, H, 1) where it is the same for all.
        chunk: C.
    """

    def __init__(self, log_decay: Tensor, chunk: int) -> None:
        import torch

        if log_decay.shape[2] == 1:
            steps = torch.arange(1, chunk + 1, device=log_decay.device, dtype=log_decay.dtype)
            # (…, M or 1, C) from the start of a chunk to each of its tokens, that token's own included.
            self._sums = (log_decay * steps).unsqueeze(2)
        else:
            self._sums = into_chunks(log_decay.unsqueeze(-1), chunk).squeeze(-1).cumsum(-1)

    def within(self, weights: Tensor) -> Tensor:
        """See `Remembered`."""
        return weights * _left(self._sums.unsqueeze(-1) - self._sums.unsqueeze(-2)).tril()

    def at_end(self, values: Tensor) -> Tensor:
        """See `Remembered`."""
        return values * _left(self._sums[..., -1:] - self._sums).unsqueeze(-1)

    def since_start(self, sums: Tensor) -> Tensor:
        """See `Remembered`."""
        return sums * _left(self._sums).unsqueeze(-1)

    def over_chunk(self, identity: Tensor) -> Tensor:
        """See `Remembered`."""
        return identity * _left(self._sums[..., -1, None, None])

    def before(self, states: Tensor) -> Tensor:
        """See `Remembered`."""
        return _before(self._sums[..., -1].expand(-1, -1, states.shape[2]), states)

    def after(self, start: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """See `Remembered`."""
        import torch
        from torch.nn.functional import pad

        # As a chunk of its own in front, and an empty one behind.
        chunks = pad(self._sums[..., -1].expand(-1, -1, states.shape[2]), (1, 1))
        first = start.unsqueeze(2)
        sums = _before(chunks, torch.cat([first, states, torch.zeros_like(first)], dim=2))
        return sums[:, :, 1:-1], sums[:, :, -1]


def _before(chunks: Tensor, states: Tensor) -> Tensor:
    """Sums over earlier chunks of states (B, H, M, F, V), each chunk's own log decay being (B, H, M)."""
    from torch.nn.functional import pad

    sums = chunks.cumsum(-1)
    # At the start of chunk m, of what chunk n < m had at its end; of chunk m − 1 that is everything. Shifted,
    # for subtracting a chunk from sums over thousands of tokens would round it.
    left = _left(pad(sums[..., :-1], (1, 0)).unsqueeze(-1) - sums.unsqueeze(-2)).tril(-1)
    rows, columns = int(states.shape[3]), int(states.shape[4])
    sums_before: Tensor = left @ states.flatten(3)
    return sums_before.reshape(*states.shape[:3], rows, columns)


def _left(logarithm: Tensor) -> Tensor:
    return logarithm.clamp(LEAST, 0.0).exp()


def carried(transitions: Tensor, inputs: Tensor) -> Tensor:
    """S_0 = 0 and S_{m+1} = P_m S_m + X_m of transitions P (B, H, M, F, F) and inputs X (B, H, M, F, V),
    chunk after chunk: the states (B, H, M, F, V) before each."""
    import torch

    if torch.onnx.is_in_onnx_export():
        states: Tensor = _exported().apply(transitions, inputs)
        return states
    return _carried(transitions, inputs)


def _carried(transitions: Tensor, inputs: Tensor) -> Tensor:
    import torch

    state, states = torch.zeros_like(inputs[:, :, 0]), []
    for transition, new in zip(transitions.unbind(2), inputs.unbind(2), strict=True):
        states.append(state)
        state = transition @ state + new
    return torch.stack(states, dim=2)


@cache
def _exported() -> Any:
    """The same as an operator `CARRIED`: a tracer would unroll the loop for one number of chunks."""
    import torch

    class Carried(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, transitions: Tensor, inputs: Tensor) -> Tensor:
            return _carried(transitions, inputs)

        @staticmethod
        def symbolic(g: Any, transitions: Any, inputs: Any) -> Any:
            states = g.op(CARRIED, transitions, inputs)
            states.setType(inputs.type())
            return states

    return Carried


def unit_lower_inverse(lower: Tensor) -> Tensor:
    """(I + A)⁻¹ of strictly lower triangular A (…, C, C), C a power of 2.

    Blocks on the diagonal are inverted in pairs, of 1, 2, 4, … rows: (X − X B X) joins two of them, with B
    what stands between. No entry grows beyond the inverse's own, as powers of A would.
    """
    import torch

    size = int(lower.shape[-1])
    column = torch.arange(size, device=lower.device)
    row = column.unsqueeze(-1)
    inverse = torch.eye(size, device=lower.device, dtype=lower.dtype)
    rows = 1
    while rows < size:
        between = ((row // rows) % 2 == 1) & (column // rows == row // rows - 1)
        joined = lower * between.to(lower.dtype)
        inverse = inverse - (joined if rows == 1 else inverse @ joined @ inverse)
        rows *= 2
    return inverse
