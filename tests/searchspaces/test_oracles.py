"""Recurrent mixers against the plain forms of fla-core (flash-linear-attention), which needs no GPU for them.

It scales queries by 1/√K and neither divides delta rules by a norm nor gated sums by their weights: stated in
each test.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from searchspaces.mixers import HeadMixer, parse_mixer

BATCH, TOKENS, HEADS, SIZE = 2, 77, 3, 16


def plain(operator: str) -> ModuleType:
    """The module of an operator's plain form; the package itself would import GPU kernels."""
    pytest.importorskip("einops", reason="fla-core's plain forms need it")
    package = importlib.util.find_spec("fla")
    if package is None or not package.submodule_search_locations:
        pytest.skip("fla-core is not installed (pip install fla-core)")
    path = Path(package.submodule_search_locations[0]) / "ops" / operator / "naive.py"
    spec = importlib.util.spec_from_file_location(f"fla_plain_{operator}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mixer(option: str) -> HeadMixer:
    found = parse_mixer(option)
    assert isinstance(found, HeadMixer)
    return found


@pytest.fixture
def heads() -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v (B, H, N, K)."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, BATCH, HEADS, TOKENS, SIZE).unbind()
    return q, k, v


@pytest.fixture
def numbers() -> tuple[Tensor, Tensor]:
    """Strengths in (0, 1) and log decays below 0, (B, H, N)."""
    torch.manual_seed(1)
    strength, decay = torch.randn(2, BATCH, HEADS, TOKENS).unbind()
    return strength.sigmoid(), torch.nn.functional.logsigmoid(decay + 2)


def normed(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def tokens_first(*xs: Tensor) -> list[Tensor]:
    return [x.transpose(1, 2) for x in xs]


def test_linear(heads: tuple[Tensor, ...]) -> None:
    """Of features; divided by the sum of weights."""
    linear = mixer("linear")
    features = [torch.nn.functional.elu(x) + 1 for x in heads[:2]]
    wanted, _ = plain("linear_attn").naive_recurrent_linear_attn(
        *tokens_first(*features, heads[2]), normalize=True
    )
    torch.testing.assert_close(linear.mix(*heads), wanted.transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_taylor(heads: tuple[Tensor, ...]) -> None:
    """With K 16, all of which are kept."""
    wanted = plain("based").naive_parallel_based(*heads)
    torch.testing.assert_close(mixer("taylor").mix(*heads), wanted, rtol=1e-4, atol=1e-4)


def test_gated(heads: tuple[Tensor, ...], numbers: tuple[Tensor, Tensor]) -> None:
    """Of features; its sum of weights is what it gives for values of one."""
    q, k = (torch.nn.functional.elu(x) + 1 for x in heads[:2])
    naive = plain("simple_gla").naive_recurrent_simple_gla
    decay = numbers[1].transpose(1, 2)
    sums, weights = (naive(*tokens_first(q, k, v), g=decay)[0] for v in (heads[2], torch.ones_like(heads[2])))
    mixed = mixer("gated").mix(*heads, log_decay=numbers[1])
    torch.testing.assert_close(mixed, (sums / weights).transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_delta(heads: tuple[Tensor, ...], numbers: tuple[Tensor, Tensor]) -> None:
    """Of keys of norm 1; the norm of the output is ours."""
    q, k = (torch.nn.functional.normalize(x, dim=-1) for x in heads[:2])
    wanted, _ = plain("delta_rule").delta_rule_recurrence(q * SIZE**0.5, k, heads[2], numbers[0])
    mixed = mixer("delta").mix(q, k, heads[2], strength=numbers[0])
    torch.testing.assert_close(mixed, normed(wanted), rtol=1e-4, atol=1e-4)


def test_gated_delta(heads: tuple[Tensor, ...], numbers: tuple[Tensor, Tensor]) -> None:
    """Of keys of norm 1; the norm of the output is ours."""
    q, k = (torch.nn.functional.normalize(x, dim=-1) for x in heads[:2])
    strength, decay = numbers
    wanted, _ = plain("gated_delta_rule").naive_recurrent_gated_delta_rule(
        *tokens_first(q, k, heads[2], strength, decay), scale=1.0
    )
    mixed = mixer("gateddelta").mix(q, k, heads[2], strength=strength, log_decay=decay)
    torch.testing.assert_close(mixed, normed(wanted.transpose(1, 2)), rtol=1e-4, atol=1e-4)
