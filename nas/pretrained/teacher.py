"""Learning from a pretrained model's predictions (Hinton et al., 2015), without ever holding all logits."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from nas.pretrained.streams import CHUNK, divergence
from searchspaces.architecture import Architecture
from searchspaces.blocks import Weights, last_hidden, read_out
from searchspaces.submodel import Submodel

__all__ = ["Teacher", "has_bfloat16"]


def has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 by itself: two to three times as fast as in single
    precision, where one that has to emulate it is far slower."""
    told = torch.cpu.get_capabilities()
    return bool(told.get("amx_bf16") or told.get("avx512_bf16"))


class Teacher:
    """A model whose predictions another learns.

    Logits of a vocabulary of 50,000 take 400 MB for 2,048 tokens, and the loss wants several such. So they
    are made for `CHUNK` positions at a time, and each chunk's gradient is taken as far as the last hidden
    states at once; what went before is differentiated once, for all of them.

    Args:
        weights: of the model, which are not changed.
        bfloat16: multiply in it, both models; weights, sums and gradients stay as they are (Micikevicius et
            al., 2018).
    """

    def __init__(self, architecture: Architecture, weights: Weights, bfloat16: bool = False) -> None:
        self._architecture, self._weights = architecture, weights
        self._products = partial(torch.autocast, "cpu", torch.bfloat16, enabled=bfloat16)

    def backward(self, student: Submodel, tokens: Tensor) -> float:
        """Add the gradient of the student's mean divergence from the teacher on (B, N) tokens to its weights'
        gradients; the divergence, in nats a token."""
        with torch.no_grad(), self._products():
            expected = last_hidden(tokens, self._architecture, self._weights)
        with self._products():
            hidden = last_hidden(tokens, student.architecture, student.weights)
        found = hidden.detach().requires_grad_()
        total, own = 0.0, student.weights
        for taught, learning in zip(expected.split(CHUNK, 1), found.split(CHUNK, 1), strict=True):
            with torch.no_grad(), self._products():
                logits = read_out(taught, self._architecture, self._weights)
            with self._products():
                told = read_out(learning, student.architecture, own)
            loss = divergence(logits.float(), told.float()) * (learning.shape[1] / tokens.shape[1])
            loss.backward()
            total += loss.item()
        hidden.backward(found.grad)
        return total
