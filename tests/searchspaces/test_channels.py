"""The contract of every registered channel mixer."""

import pytest
import torch

from searchspaces.channels import Channel, channels, parse_channel

EXAMPLES = [cls.example for cls in channels().values()]
every_channel = pytest.mark.parametrize("channel", [parse_channel(x) for x in EXAMPLES], ids=EXAMPLES)


def weights_of(channel: Channel, width: int, hidden: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shapes = channel.shapes(width, hidden)
    return {name: torch.randn(shape, dtype=torch.float64) for name, (shape, _) in shapes.items()}


@every_channel
def test_a_smaller_block_is_a_prefix_of_a_larger(channel: Channel) -> None:
    sizes = {"width": (8, 6), "hidden": (32, 5)}
    larger, smaller = channel.shapes(8, 32), channel.shapes(6, 5)
    assert larger.keys() == smaller.keys()
    for name, (shape, axes) in larger.items():
        assert shape == tuple(sizes[axis][0] for axis in axes)
        assert smaller[name] == (tuple(sizes[axis][1] for axis in axes), axes)


@every_channel
def test_hidden_units_that_write_nothing_can_be_cut(channel: Channel) -> None:
    """What makes a prefix a model of its own: hidden units do not mix."""
    weights = weights_of(channel, 8, 32)
    shapes = channel.shapes(8, 12)
    kept = {name: weights[name][tuple(slice(n) for n in shape)] for name, (shape, _) in shapes.items()}
    for name, (_, axes) in shapes.items():
        if axes[0] == "width":  # writes to the residual
            weights[name][:, 12:] = 0
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(channel.forward(x, weights), channel.forward(x, kept))


@every_channel
def test_positions_do_not_mix(channel: Channel) -> None:
    weights, x = weights_of(channel, 8, 16), torch.randn(1, 5, 8, dtype=torch.float64)
    whole = channel.forward(x, weights)
    torch.testing.assert_close(whole[:, 3], channel.forward(x[:, 3], weights))


@every_channel
def test_operations_count_every_weight_once_a_token(channel: Channel) -> None:
    size = sum(torch.Size(shape).numel() for shape, _ in channel.shapes(8, 16).values())
    assert sum(operation.macs for operation in channel.operations(8, 16, 10)) == 10 * size


def test_an_mlp_is_its_formula() -> None:
    mlp = parse_channel("mlp")
    weights, x = weights_of(mlp, 4, 6), torch.randn(3, 4, dtype=torch.float64)
    hidden = x @ weights["up"].T
    wanted = (hidden * (1 + torch.erf(hidden / 2**0.5)) / 2) @ weights["down"].T
    torch.testing.assert_close(mlp.forward(x, weights), wanted)


def test_an_unknown_channel_is_named() -> None:
    with pytest.raises(ValueError, match=r"mpl.*accepted: .*mlp"):
        parse_channel("mpl")
