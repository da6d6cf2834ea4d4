"""Presets: published designs inside whatever space there is."""

from typing import Any

import pytest

from searchspaces import load_space, space_names
from searchspaces.costs import CostModel
from searchspaces.presets import presets


def space_with(mixers: list[str], **changes: Any) -> Any:
    layer = {"mixer": mixers, "heads": [2, 4], "ratio": [1, 4]} | changes
    return load_space({"name": "x", "width": [32], "depth": [2, 4], "layer": layer})


@pytest.mark.parametrize("name", space_names())
def test_presets_are_different_members_of_the_space(name: str) -> None:
    space = load_space(name)
    found = presets(space)
    assert all(key == preset.name and preset.source for key, preset in found.items())
    assert len({preset.architecture.digest for preset in found.values()}) == len(found)
    assert space.decode(space.encode(x.architecture for x in found.values())) == [
        x.architecture for x in found.values()
    ]


def test_the_demos_space_has_every_design_at_every_depth() -> None:
    found = presets(load_space("hybrid-lm"))
    designs = ("softmax", "masformer", "based", "linear", "sparse")
    assert {f"{name}-L{depth}" for name in designs for depth in range(2, 7)} <= set(found)
    assert {f"matformer-L6-x{ratio}" for ratio in ("0.5", "1", "2")} <= set(found)
    masformer = [layer.mixer for layer in found["masformer-L4"].architecture.layers]
    assert masformer == ["softmax", "window:128", "window:128", "window:128"]
    based = [layer.mixer for layer in found["based-L4"].architecture.layers]
    assert based == ["taylor", "window:64", "taylor", "window:64"]
    assert {layer.ratio for layer in found["softmax-L4"].architecture.layers} == {4.0}


def test_mixed_feed_forwards_are_as_large_as_the_uniform_ones_and_widen_with_depth() -> None:
    space = load_space("hybrid-lm")
    found, costs = presets(space), CostModel(space)
    mixed = {name: p.architecture for name, p in found.items() if name.endswith("-mixed")}
    assert set(mixed) == {"matformer-L6-x1-mixed", "matformer-L6-x2-mixed"}
    for name, architecture in mixed.items():
        ratios = [layer.ratio for layer in architecture.layers]
        assert ratios == sorted(ratios)
        assert len(set(ratios)) == 3
        uniform = found[name.removesuffix("-mixed")].architecture
        sizes = costs.parameters(space.encode([architecture, uniform]))
        assert sizes[0] == sizes[1]


def test_the_mixed_space_has_the_designs_that_forget() -> None:
    found = presets(load_space("mixed-lm"))
    designs = ("decay", "gated", "decay-hybrid", "gated-deltanet", "qwen3-next", "lfm2", "based")
    assert {f"{name}-L{depth}" for name in designs for depth in range(3, 7)} <= set(found)
    hybrid = found["decay-hybrid-L6"].architecture.layers
    assert [layer.mixer for layer in hybrid] == ["decay", "decay", "decay", "softmax", "decay", "decay"]
    assert {layer.conv for layer in found["gated-deltanet-L4"].architecture.layers} == {4}
    assert {layer.conv for layer in found["decay-L4"].architecture.layers} == {0}


def test_designs_take_the_options_that_a_space_has() -> None:
    found = presets(space_with(["softmax", "window:8", "window:48", "taylor", "sparse:16,4"]))
    assert {layer.mixer for layer in found["based-L2"].architecture.layers} == {"taylor", "window:48"}
    assert {layer.mixer for layer in found["sparse-L2"].architecture.layers} == {"sparse:16,4"}
    assert "linear-L2" not in found


def test_a_space_without_their_mixers_has_no_presets() -> None:
    assert presets(space_with(["none"])) == {}
    assert set(presets(space_with(["linear"]))) == {"linear-L2", "linear-L4"}


FRAMES = {"input": {"series": 12, "channels": 3}, "output": {"classes": 4}}
IMAGES = {"input": {"grid": [12, 8], "channels": 1}, "output": {"classes": 4}}


@pytest.mark.parametrize(
    ("form", "stem", "readout"),
    [(FRAMES, "frames", "mean"), (FRAMES, "frames", "pool"), (IMAGES, "patch:4", "pool")],
)
def test_encoders_of_any_stem_and_readout_have_presets(form: Any, stem: str, readout: str) -> None:
    layer = {"mixer": ["softmax", "linear"], "heads": [2], "ratio": [1, 2, 4]}
    outer = {"form": form, "stem": [stem], "readout": [readout], "width": [32], "depth": [3]}
    found = presets(load_space({"name": "x", "layer": layer} | outer))
    wide = {"transformer-L3"} if stem == "frames" or readout == "pool" else {"vit-L3"}
    matformers = {"matformer-L3-x1", "matformer-L3-x2", "matformer-L3-x2-mixed"}
    assert wide | {"linear-encoder-L3"} | matformers <= set(found)
    assert {(p.architecture.stem, p.architecture.readout) for p in found.values()} == {(stem, readout)}


def test_a_design_of_its_own_readout_keeps_its_name() -> None:
    layer = {"mixer": ["softmax"], "heads": [2], "ratio": [1]}
    outer = {"form": IMAGES, "stem": ["conv:3"], "readout": ["pool"], "width": [32], "depth": [2]}
    assert set(presets(load_space({"name": "x", "layer": layer} | outer))) == {"cct-L2"}
