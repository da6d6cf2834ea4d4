"""Cuts of a pretrained model that need no search, and the one of a family that takes so long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from nas.bench.start import Kept, StartBench
from nas.bench.start.cuts import (
    GRAIN,
    OVER,
    Cut,
    DroppedLayers,
    NarrowedAlike,
    PrunedByMagnitude,
    WindowedAlike,
    nearest_below,
)
from nas.errors import InvalidSpec
from nas.pretrained import read_parent
from nas.pretrained.fitting import Moments
from nas.pretrained.nesting import nest
from nas.pretrained.reading import read_model
from searchspaces.architecture import Architecture, Layer
from searchspaces.submodel import Submodel

EPSILON = 1e-5
"""Of the norms of the model that all tests here read."""

TOKENS = torch.randint(300, (2, 24), generator=torch.Generator().manual_seed(1))
FAMILIES: dict[str, Callable[[Submodel, list[Moments]], Cut]] = {
    "narrowed": NarrowedAlike,
    "magnitude": lambda parent, _: PrunedByMagnitude(parent, EPSILON),
    "dropped": lambda parent, _: DroppedLayers(parent, TOKENS),
    "windowed": lambda parent, units: WindowedAlike(parent, units, "window:64,4", TOKENS),
}


@pytest.fixture
def parent(llama: Path) -> Submodel:
    return read_model(read_parent(llama)).requires_grad_(False)


@pytest.fixture
def units(parent: Submodel) -> list[Moments]:
    found: list[Moments] = []
    nest(parent, TOKENS, lambda _, of_layer: found.append(of_layer))
    return found


def logits(model: Submodel) -> Tensor:
    with torch.inference_mode():
        return model(TOKENS)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_cut_is_the_parent_and_more_is_smaller_and_further(
    family: str, parent: Submodel, units: list[Moments]
) -> None:
    cut = FAMILIES[family](parent, units)
    models = [cut.model(strength) for strength in range(cut.most + 1)]
    far = [(logits(model) - logits(parent)).square().mean().item() for model in models]
    assert far[0] < 1e-9  # windows of 64 see all 24 tokens
    assert min(far[1:]) > 1e-6
    sizes = [sum(weight.numel() for weight in model.parameters()) for model in models]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    assert [model.architecture for model in models] == [cut.architecture(n) for n in range(cut.most + 1)]


def test_the_layer_that_changes_nothing_is_dropped_first(parent: Submodel) -> None:
    weights = dict(parent.layers[2].named_parameters())
    weights["out"].zero_()
    weights["swiglu_down"].zero_()
    torch.testing.assert_close(logits(DroppedLayers(parent, TOKENS).model(1)), logits(parent))


def test_units_without_weights_are_pruned_first(parent: Submodel, units: list[Moments]) -> None:
    for number, layer in enumerate(parent.layers):
        weights = dict(layer.named_parameters())
        small = torch.randperm(96, generator=torch.Generator().manual_seed(number))[:GRAIN]
        for name in ("swiglu_gate", "swiglu_up"):
            weights[name][small] = 0
        weights["swiglu_down"][:, small] *= 0.01  # what it is multiplied with is 0
    torch.testing.assert_close(logits(PrunedByMagnitude(parent, EPSILON).model(1)), logits(parent))
    assert not torch.allclose(logits(NarrowedAlike(parent, units).model(1)), logits(parent))


def test_magnitudes_are_those_of_the_models_own_weights(llama: Path, parent: Submodel) -> None:
    theirs = load_file(llama / "model.safetensors")
    layers = PrunedByMagnitude(parent, EPSILON).layers(3)
    for number, own in enumerate(layers):
        gate, up, down = (
            theirs[f"model.layers.{number}.mlp.{name}_proj.weight"] for name in ("gate", "up", "down")
        )
        score = gate.square().sum(1) + up.square().sum(1) + down.square().sum(0)
        first = score.argsort(descending=True)[: len(own["swiglu_gate"])]
        torch.testing.assert_close(own["swiglu_gate"], gate[first])


class _Line(Cut):
    """As many layers less as it is cut strongly."""

    def __init__(self, most: int) -> None:
        self._most = most

    @property
    def most(self) -> int:
        return self._most

    def architecture(self, strength: int) -> Architecture:
        return Architecture(8, 8, (Layer("softmax", 2),) * (self._most + 1 - strength))

    def layers(self, strength: int) -> list[dict[str, Tensor]]:
        return []


@given(
    most=st.integers(1, 90),
    limit=st.floats(0.1, 120),
    bends=st.floats(0.7, 1.4),
)
def test_the_member_is_within_the_latency_and_near_it(most: int, limit: float, bends: float) -> None:
    asked = []

    def latency_ms(architecture: Architecture) -> float:
        asked.append(architecture.depth)
        return float(5 + architecture.depth**bends)

    strength = nearest_below(_Line(most), limit, latency_ms)
    weakest, strongest = (5 + depth**bends for depth in (most + 1, 1))
    assert len(asked) <= 5
    if strength is None:
        assert strongest > limit * OVER
        return
    found = 5 + (most + 1 - strength) ** bends
    assert found <= limit * OVER
    if strength and bends == 1.0:
        assert found + 1 > limit * OVER
    assert strength > 0 or weakest <= limit * OVER


def test_a_kept_number_is_computed_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "known.jsonl")
    assert kept("a", lambda: 0.25) == 0.25
    again = Kept(tmp_path / "known.jsonl")
    assert again("a", lambda: pytest.fail("computed twice")) == 0.25
    assert again("b", lambda: float("inf")) == float("inf")
    assert Kept(tmp_path / "known.jsonl")("b", lambda: 0.0) == float("inf")
    assert again.seconds("a") >= 0


def test_wrong_settings_are_refused(llama: Path) -> None:
    spec = StartBench(str(llama)).spec(70)
    assert spec.bounds == {"latency_ms": "70%"}
    assert spec.budget.finalists.steps == 200
    assert not spec.budget.finalists.count
    assert not spec.budget.verify.presets
    with pytest.raises(InvalidSpec, match=r"--levels: .*accepted: percentages"):
        StartBench(str(llama), levels=(85, 100))
    with pytest.raises(InvalidSpec, match="--also: "):
        StartBench(str(llama), also=("decode",))
