"""Processes that take every step of a training together: what a trainer needs of them, no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Alone", "ProcessGroup", "Ranks"]


class Ranks(Protocol):
    """The processes of a training; each holds all weights and sees its share of every batch.

    Every call is made by all of them, in the same order, and gives all of them the same bits.

    Attributes:
        rank: 0, 1, …, count − 1; rank 0 also writes checkpoints and tells progress.
        count: of processes.
        device: where this one keeps its weights, as torch names it.
    """

    rank: int
    count: int
    device: str

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Put the sums over all processes in the tensors' place."""

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""

    def agree(self, number: int) -> bool:
        """Whether all processes say the same number."""


class Alone:
    """A training in one process."""

    rank = 0
    count = 1
    device = "cpu"

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """See `Ranks.sum`."""

    def any(self, flag: bool) -> bool:
        """See `Ranks.any`."""
        return flag

    def agree(self, number: int) -> bool:
        """See `Ranks.agree`."""
        return True


class ProcessGroup:
    """The default process group of `torch.distributed`, which whoever starts the processes has made
    (gloo on processors, nccl on GPUs)."""

    def __init__(self, device: str = "cpu") -> None:
        from torch import distributed

        self.rank = distributed.get_rank()
        self.count = distributed.get_world_size()
        self.device = device

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """See `Ranks.sum`. One message whatever their number: most weights of a supernet are small."""
        import torch
        from torch import distributed

        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """See `Ranks.any`."""
        return self._largest(int(flag)) > 0

    def agree(self, number: int) -> bool:
        """See `Ranks.agree`."""
        return self._largest(number) == -self._largest(-number)

    def _largest(self, number: int) -> int:
        import torch
        from torch import distributed

        value = torch.tensor([number], device=self.device)
        distributed.all_reduce(value, op=distributed.ReduceOp.MAX)
        return int(value.item())
