"""Projections back to the stream, fitted to what a pretrained model's parts wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import write_model
from torch import Tensor

from nas.pretrained import read_parent
from nas.pretrained.fitting import (
    RIDGE,
    Moments,
    before_projection,
    fitted,
    fitted_mixer,
    narrowed,
    order_of_removal,
    projection_of,
)
from nas.pretrained.reading import read_model
from nas.pretrained.streams import passages, passages_of_rows

TOKENS = torch.randint(300, (3, 48), generator=torch.Generator().manual_seed(1))


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def objective(weight: Tensor, own: Tensor, x: Tensor, y: Tensor) -> float:
    """What `fitted` says that it makes least."""
    ridge = RIDGE * x.shape[1] / len(x) * x.square().sum() / x.shape[1]
    return float((x @ weight.T - y).square().sum() + ridge * (weight - own).square().sum())


@given(seed=st.integers(0, 1 << 30), tokens=st.integers(1, 40), inputs=st.integers(1, 12))
def test_what_is_fitted_is_least(seed: int, tokens: int, inputs: int) -> None:
    x, y, own = drawn(seed, tokens, inputs), drawn(seed + 1, tokens, 5), drawn(seed + 2, 5, inputs)
    found = fitted(own, Moments.of(x), y.T @ x)
    least = objective(found, own, x, y)
    for step in (1e-2, -1e-2):
        other = found + step * drawn(seed + 3, 5, inputs)
        assert objective(other, own, x, y) > least - 1e-4 * (1 + abs(least))
    assert least <= objective(own, own, x, y) * (1 + 1e-4)


def test_inputs_that_are_never_there_change_nothing() -> None:
    own = drawn(0, 4, 6)
    torch.testing.assert_close(fitted(own, Moments.of(torch.zeros(9, 6)), torch.zeros(4, 6)), own)


@given(seed=st.integers(0, 1 << 30), kept=st.integers(1, 20))
def test_fewer_units_are_nearer_to_all_than_a_prefix_is(seed: int, kept: int) -> None:
    h, down = drawn(seed, 64, 20) @ drawn(seed + 1, 20, 20), drawn(seed + 2, 7, 20)
    own, wanted = down[:, :kept], h @ down.T
    found = narrowed(down, Moments.of(h), kept)
    far = [(h[:, :kept] @ weight.T - wanted).square().sum().item() for weight in (found, own)]
    assert far[0] <= far[1] * (1 + 1e-5) + 1e-6
    if kept == 20:
        torch.testing.assert_close(found, down, atol=1e-5, rtol=1e-5)


@given(seed=st.integers(0, 1 << 30), units=st.integers(4, 300))
def test_units_that_others_make_up_for_are_removed_first(seed: int, units: int) -> None:
    h = drawn(seed, 400, units)
    h[:, 0] = h[:, 1] + 0.01 * h[:, 2]  # of the first two one tells the other
    down = torch.nn.functional.normalize(drawn(seed + 1, 16, units), dim=0)
    order = order_of_removal(down, Moments.of(h))
    assert sorted(order.tolist()) == list(range(units))
    assert {0, 1} & set(order[-max(1, units // 96) :].tolist())


def test_moments_add_up() -> None:
    x = drawn(0, 3, 8, 5)
    whole, parts = Moments.of(x), Moments.of(x[:1]) + Moments.of(x[1:])
    torch.testing.assert_close(whole.sums, parts.sums)
    assert whole.tokens == parts.tokens == 24


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("mixer", ["window:8,2", "linear+window:4", "linear"])
def test_a_mixer_is_fitted_to_what_it_replaces(family: str, mixer: str, tmp_path: Path) -> None:
    """Qwen2 has a bias beside the projection where its config says so."""
    from searchspaces.supernet import Supernet

    write_model(family, tmp_path / family)
    parent = read_parent(tmp_path / family)
    model, space = read_model(parent), parent.space(["keep", mixer])
    torch.manual_seed(0)
    supernet = Supernet(space).requires_grad_(False)
    supernet.load_state_dict(model.state_dict(), strict=False)
    with torch.inference_mode():
        rows = list(passages_of_rows(TOKENS, model.architecture, model.weights))[2]
        passage = list(passages(TOKENS, model.architecture, model.weights))[2]
        layer = replace(passage.layer, mixer=mixer)
        weights = supernet.weights(space.first.with_layer(2, mixer=mixer)).layers[2]
        (name, projection), *_ = fitted_mixer(rows, layer, weights).items()
        assert name == projection_of(layer, space.first.width)
        x = before_projection(passage.before, layer, weights, passage.turns)
        wanted = passage.between - passage.before
        bias = weights.get(f"{name}_bias", torch.zeros(()))
        far = [(x @ w.T + bias - wanted).square().mean().item() for w in (projection, weights[name])]
    assert far[0] < far[1]


def test_what_has_no_projection_is_not_fitted(llama: Path) -> None:
    model = read_model(read_parent(llama))
    with torch.inference_mode():
        passage = next(passages(TOKENS, model.architecture, model.weights))
    assert fitted_mixer([passage], replace(passage.layer, mixer="none"), {}) == {}
