"""The contract of channel mixers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from nas.testing.contract import Contract
from searchspaces.channels import Channel, parse_channel
from searchspaces.part import Initial, Sizes

__all__ = ["ChannelContract", "weights_of"]


def weights_of(channel: Channel, width: int, hidden: int) -> dict[str, torch.Tensor]:
    """Normal float64 weights of a block of this size, by name."""
    torch.manual_seed(0)
    shapes = channel.shapes(Sizes(width, hidden=hidden))
    return {name: torch.randn(weight.shape, dtype=torch.float64) for name, weight in shapes.items()}


class ChannelContract(Contract):
    """What every channel mixer does.

    Attributes:
        subjects: option texts, e.g. ``"mlp"``.
    """

    @pytest.fixture
    def channel(self, subject: str) -> Channel:
        return parse_channel(subject)

    def test_a_smaller_block_is_a_prefix_of_a_larger(self, channel: Channel) -> None:
        sizes = {"width": (8, 6), "hidden": (32, 5)}
        larger, smaller = channel.shapes(Sizes(8, hidden=32)), channel.shapes(Sizes(6, hidden=5))
        assert larger.keys() == smaller.keys()
        for name, weight in larger.items():
            fixed = [sizes.get(axis, (n, n)) for axis, n in zip(weight.axes, weight.shape, strict=True)]
            assert weight.shape == tuple(first for first, _ in fixed)
            assert smaller[name] == replace(weight, shape=tuple(second for _, second in fixed))

    def test_hidden_units_that_write_nothing_can_be_cut(self, channel: Channel) -> None:
        """What makes a prefix a model of its own: hidden units do not mix."""
        weights = weights_of(channel, 8, 32)
        shapes = channel.shapes(Sizes(8, hidden=12))
        kept = {name: weights[name][tuple(slice(n) for n in w.shape)] for name, w in shapes.items()}
        for name, weight in shapes.items():
            assert (weight.initial is Initial.RESIDUAL) == (weight.axes[0] == "width")
            if weight.initial is Initial.RESIDUAL:
                weights[name][:, 12:] = 0
        x = torch.randn(2, 5, 8, dtype=torch.float64)
        torch.testing.assert_close(channel.forward(x, weights), channel.forward(x, kept))

    def test_positions_do_not_mix(self, channel: Channel) -> None:
        weights, x = weights_of(channel, 8, 16), torch.randn(1, 5, 8, dtype=torch.float64)
        whole = channel.forward(x, weights)
        torch.testing.assert_close(whole[:, 3], channel.forward(x[:, 3], weights))

    def test_operations_count_every_matrix_once_a_token(self, channel: Channel) -> None:
        sizes = Sizes(8, hidden=16)
        matrices = [weight for weight in channel.shapes(sizes).values() if weight.is_matrix]
        size = sum(math.prod(weight.shape) for weight in matrices)
        assert sum(operation.macs for operation in channel.operations(sizes, 10)) == 10 * size
