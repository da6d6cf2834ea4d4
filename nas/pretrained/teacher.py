"""Learning from a pretrained model's predictions (Hinton et al., 2015), without ever holding all logits."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.pretrained.streams import CHUNK, divergence
from searchspaces.architecture import Architecture
from searchspaces.blocks import Weights, last_hidden, read_out
from searchspaces.submodel import Submodel

__all__ = ["Teacher"]


class Teacher:
    """A model whose predictions another learns.

    Logits of a vocabulary of 50,000 take 400 MB for 2,048 tokens, and the loss wants several such. So they
    are made for `CHUNK` positions at a time, and each chunk's gradient is taken as far as the last hidden
    states at once; what went before is differentiated once, for all of them.

    Args:
        weights: of the model, which are not changed.
    """

    def __init__(self, architecture: Architecture, weights: Weights) -> None:
        self._architecture, self._weights = architecture, weights

    def backward(self, student: Submodel, tokens: Tensor) -> float:
        """Add the gradient of the student's mean divergence from the teacher on (B, N) tokens to its weights'
        gradients; the divergence, in nats a token."""
        with torch.no_grad():
            expected = last_hidden(tokens, self._architecture, self._weights)
        hidden = last_hidden(tokens, student.architecture, student.weights)
        found = hidden.detach().requires_grad_()
        total, own = 0.0, student.weights
        for taught, learning in zip(expected.split(CHUNK, 1), found.split(CHUNK, 1), strict=True):
            with torch.no_grad():
                logits = read_out(taught, self._architecture, self._weights)
            told = read_out(learning, student.architecture, own)
            loss = divergence(logits, told) * (learning.shape[1] / tokens.shape[1])
            loss.backward()
            total += loss.item()
        hidden.backward(found.grad)
        return total
