"""The residual stream of a model, layer by layer: what is calibrated, replaced and compared by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.blocks import Weights, embed, forward_layer, mix_channels, mix_tokens, read_out, turns_of
from searchspaces.norms import rms_norm
from searchspaces.rotary import Turns

__all__ = ["Divergence", "Passage", "divergence", "passages", "passages_of_rows"]

CHUNK = 128
"""Positions whose logits are compared at once: a vocabulary of 50,000 takes 25 MB for so many."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A layer that the stream passes.

    Attributes:
        weights: the layer's, by name.
        turns: rotary, where its mixer reads them.
        before: (B, N, D) in front of the layer.
        between: (B, N, D) between its token mixer and its channel mixer.
    """

    layer: Layer
    weights: Mapping[str, Tensor]
    turns: Turns | None
    before: Tensor
    between: Tensor


def passages(tokens: Tensor, architecture: Architecture, weights: Weights) -> Iterator[Passage]:
    """The layers that (B, N) tokens pass, in order."""
    x = embed(tokens, architecture, weights)
    turns = turns_of(torch.arange(tokens.shape[1]), architecture)
    for layer, own in zip(architecture.layers, weights.layers, strict=True):
        turned = turns.get(layer)
        between = x + mix_tokens(x, layer, own, turned) if layer.mixer != NO_MIXER else x
        yield Passage(layer, own, turned, x, between)
        x = between + mix_channels(between, layer, own) if layer.ratio else between


def passages_of_rows(
    tokens: Tensor, architecture: Architecture, weights: Weights
) -> Iterator[tuple[Passage, ...]]:
    """The layers that (B, N) tokens pass, in order, each as B passages of one sequence: what is between two
    layers is never there of more than one."""
    return zip(*(passages(row, architecture, weights) for row in tokens.split(1)), strict=True)


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean Kullback–Leibler divergence in nats of a student's distributions from a teacher's, of logits
    (…, V)."""
    expected, found = log_softmax(teacher, -1), log_softmax(student, -1)
    return (expected.exp() * (expected - found)).sum(-1).mean()


class Divergence:
    """How far the predictions of models are from their parent's, on fixed tokens.

    The parent's stream in front of every layer is kept: what differs from it in one layer alone is computed
    from there on. Of its predictions p, whose logits are W z, only Σ p log p and Wᵀ p are kept: with logits
    s = W z' a model diverges by Σ p log p − (Wᵀ p) · z' + log Σ exp s.

    Args:
        parent: that all others are compared with.
        weights: of the parent.
        tokens: (B, N).
        last: positions at the end of each sequence that are compared; all where None.
    """

    def __init__(
        self, parent: Architecture, weights: Weights, tokens: Tensor, last: int | None = None
    ) -> None:
        self._parent, self._weights, self._tokens = parent, weights, tokens
        self._first_compared = 0 if last is None else max(0, tokens.shape[1] - last)
        with torch.inference_mode():
            self._before = [passage.before for passage in passages(tokens, parent, weights)]
            chunks = self._from(0, parent, weights).split(CHUNK, 1)
            kept = [self._predicted(read_out(chunk, parent, weights)) for chunk in chunks]
            self._certain, self._expected = (torch.cat(part, 1) for part in zip(*kept, strict=True))

    def _predicted(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, V) → Σ p log p (B, C) and Wᵀ p (B, C, D)."""
        known = log_softmax(logits, -1)
        likely = known.exp()
        return (likely * known).sum(-1), likely @ self._weights.outer[
            "embedding" if self._parent.tied else "head"
        ]

    def __call__(self, architecture: Architecture, weights: Weights) -> float:
        """Mean nats a token, of a model of as many layers with the parent's embedding."""
        pairs = zip(architecture.layers, self._parent.layers, strict=True)
        first = next((number for number, (own, kept) in enumerate(pairs) if own != kept), None)
        if first is None:
            return 0.0
        with torch.inference_mode():
            after = self._from(first, architecture, weights)
            total = self._certain.double().sum()
            total -= (self._expected * rms_norm(after, weights.outer["norm"])).double().sum()
            for chunk in after.split(CHUNK, 1):
                total += read_out(chunk, architecture, weights).logsumexp(-1).double().sum()
        return float(total) / self._certain.numel()

    def _from(self, first: int, architecture: Architecture, weights: Weights) -> Tensor:
        """The stream behind the last layer, where it is compared."""
        x = self._before[first]
        turns = turns_of(torch.arange(self._tokens.shape[1]), architecture)
        for layer, own in zip(architecture.layers[first:], weights.layers[first:], strict=True):
            x = forward_layer(x, layer, own, turns.get(layer))
        return x[:, self._first_compared :]
