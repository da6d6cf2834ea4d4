"""What blocks are made of, against the papers' formulas."""

import math
from typing import Any

import pytest
import torch

from searchspaces.blocks import rms_norm
from searchspaces.projection import Projection
from searchspaces.rotary import ROTARY_BASE, grid_rotary, rotary, rotary_order, turn


def test_rms_norm_is_its_formula_and_torchs() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 8), torch.randn(8)
    torch.testing.assert_close(rms_norm(x, weight), torch.nn.functional.rms_norm(x, (8,), weight, 1e-6))
    unit = rms_norm(x, torch.ones(8))
    torch.testing.assert_close(unit.square().mean(-1), torch.ones(2, 3), rtol=1e-4, atol=1e-4)


def test_rotary_turns_each_pair_as_a_complex_number() -> None:
    torch.manual_seed(0)
    x, positions = torch.randn(5, 8), torch.tensor([0, 1, 2, 7, 1000])
    rates = torch.tensor([ROTARY_BASE ** (-2 * i / 8) for i in range(4)])
    wanted = torch.complex(x[:, :4], x[:, 4:]) * torch.exp(1j * positions[:, None] * rates)
    turned = turn(x, rotary(positions, 8))
    torch.testing.assert_close(turned, torch.cat([wanted.real, wanted.imag], dim=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head_size", [16, 32, 64])
def test_rotary_turns_a_dimension_alike_whatever_the_number_of_heads(head_size: int) -> None:
    torch.manual_seed(0)
    x, positions = torch.randn(5, 64), torch.arange(5) * 7
    heads = x.reshape(5, 64 // head_size, head_size).transpose(0, 1)
    turned = turn(heads, rotary(positions, head_size)).transpose(0, 1).reshape(5, 64)
    torch.testing.assert_close(turned, turn(x, rotary(positions, 64)))


@pytest.mark.parametrize("head_size", [2, 8, 16, 24, 64])
def test_rotary_products_depend_on_distance_alone(head_size: int) -> None:
    torch.manual_seed(0)
    q, k = torch.randn(1, head_size), torch.randn(1, head_size)

    def product(i: int, j: int) -> torch.Tensor:
        turned = [turn(x, rotary(torch.tensor([at]), head_size)) for x, at in ((q, i), (k, j))]
        return turned[0] @ turned[1].T

    torch.testing.assert_close(product(9, 4), product(109, 104), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(product(9, 4), product(9, 5), atol=1e-3)


def test_taylor_keeps_whole_pairs() -> None:
    """Products of what is kept of a turned head depend on distance alone too."""
    from searchspaces.mixers.taylor import Taylor

    torch.manual_seed(0)
    q, k = torch.randn(1, 64), torch.randn(1, 64)

    def product(i: int, j: int) -> torch.Tensor:
        turned = [turn(x, rotary(torch.tensor([at]), 64)) for x, at in ((q, i), (k, j))]
        return Taylor().base(turned[0]) @ Taylor().base(turned[1]).T

    torch.testing.assert_close(product(90, 40), product(2090, 2040), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head_size", [64, 24])
def test_a_pretrained_models_pairs_turn_as_if_they_were_halves(head_size: int) -> None:
    """Llama's convention, of dimensions in `rotary_order`: pairs K/2 apart, each at a speed of its own."""
    positions, projection = torch.arange(7), Projection(base=500.0)
    x = torch.randn(7, head_size, dtype=torch.float64)
    speeds = 500.0 ** -(torch.arange(head_size // 2, dtype=torch.float64) / (head_size // 2))
    pairs = torch.view_as_complex(torch.stack(x.chunk(2, dim=-1), dim=-1))
    turned = pairs * torch.polar(torch.ones(()).double(), positions[:, None] * speeds)
    expected = torch.cat([turned.real, turned.imag], dim=-1)
    order = rotary_order(head_size)
    found = turn(x[:, order], rotary(positions, head_size, projection))
    torch.testing.assert_close(found.double(), expected[:, order], atol=1e-5, rtol=1e-5)


def test_pairs_of_long_waves_are_stretched_as_llama_3_has_them() -> None:
    plain = Projection(base=10_000.0).frequencies(64)
    scaled = Projection(base=10_000.0, factor=8.0, original=64).frequencies(64)
    ratios = [a / b for a, b in zip(plain, scaled, strict=True)]
    turns = [64 * f / (2 * math.pi) for f in plain]
    assert all(r == 1 for r, t in zip(ratios, turns, strict=True) if t > 4)
    assert all(r == pytest.approx(8) for r, t in zip(ratios, turns, strict=True) if t < 1)
    assert sorted(ratios) == ratios
    assert any(1.1 < r < 7.9 for r in ratios)


@pytest.mark.parametrize(
    "wrong", [{"head_size": 3}, {"base": 0.5}, {"factor": 0.0}, {"bias": 1}, {"low": 5.0}]
)
def test_a_projection_says_what_it_accepts(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match="accepted"):
        Projection(**wrong)


@pytest.mark.parametrize("head_size", [8, 16, 48])
def test_rotary_products_on_a_grid_depend_on_rows_and_columns_between(head_size: int) -> None:
    torch.manual_seed(0)
    q, k = (torch.randn(head_size).expand(30, -1) for _ in range(2))
    turns = grid_rotary((5, 6), head_size)
    products = (turn(q, turns) @ turn(k, turns).T).reshape(5, 6, 5, 6)
    torch.testing.assert_close(products[0, 0, :3, :4], products[2, 2, 2:, 2:], atol=1e-4, rtol=1e-4)
    assert abs(products[0, 0, 1, 0] - products[0, 0, 0, 1]) > 1e-3
