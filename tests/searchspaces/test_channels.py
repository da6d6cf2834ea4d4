"""Every registered channel mixer keeps the contract: registering one enrols it here."""

import pytest
import torch

from nas.testing.channels import ChannelContract, weights_of
from searchspaces.channels import channels, parse_channel


class TestEveryChannel(ChannelContract):
    subjects = tuple(cls.example for cls in channels().values())


def test_an_mlp_is_its_formula() -> None:
    mlp = parse_channel("mlp")
    weights, x = weights_of(mlp, 4, 6), torch.randn(3, 4, dtype=torch.float64)
    hidden = x @ weights["up"].T
    wanted = (hidden * (1 + torch.erf(hidden / 2**0.5)) / 2) @ weights["down"].T
    torch.testing.assert_close(mlp.forward(x, weights), wanted)


def test_an_unknown_channel_is_named() -> None:
    with pytest.raises(ValueError, match=r"mpl.*accepted: .*mlp"):
        parse_channel("mpl")
