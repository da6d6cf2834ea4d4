"""Composed model files: equal to torch at any batch and length, for every mixer and channel mixer."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

import nas.export.library
from nas.export import BlockLibrary
from nas.export.attention import FORMS, form_of
from nas.export.blocks import Block, Positions
from nas.export.library import OPSET
from searchspaces.architecture import Architecture, Layer
from searchspaces.channels import channels
from searchspaces.mixers import mixers
from searchspaces.part import Sight
from searchspaces.rotary import rotary
from searchspaces.space import load_space
from searchspaces.submodel import Submodel
from workers.runtimes import parse_runtime

SHAPES = ((1, 1), (3, 7), (2, 64), (1, 150))
LIBRARY = BlockLibrary()


def run(model: onnx.ModelProto, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"tokens": tokens})[0]


def randomised(architecture: Architecture, seed: int = 0) -> Submodel:
    """Every weight random, norms too: a constant baked into a graph would show."""
    submodel = Submodel(architecture)
    generator = torch.Generator().manual_seed(seed)
    for parameter in submodel.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return submodel.eval()


def compose(submodel: Submodel, library: BlockLibrary = LIBRARY) -> onnx.ModelProto:
    weights = {name: value.detach().numpy() for name, value in submodel.state_dict().items()}
    return library.compose(submodel.architecture, weights)


def largest_difference(submodel: Submodel, model: onnx.ModelProto) -> float:
    rng = np.random.default_rng(0)
    differences = []
    for shape in SHAPES:
        tokens = rng.integers(submodel.architecture.vocabulary, size=shape)
        with torch.inference_mode():
            expected = submodel(torch.from_numpy(tokens)).numpy()
        got = run(model, tokens)
        assert got.shape == expected.shape
        differences.append(np.abs(got - expected).max() / max(1.0, np.abs(expected).max()))
    return float(max(differences))


@pytest.mark.parametrize("heads", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("mixer", sorted(mixers(Sight.CAUSAL)))
def test_every_mixer_composes_to_what_torch_computes(mixer: str, heads: int) -> None:
    layers = (Layer(mixers()[mixer].example, heads, ratio=1), Layer(mixers()[mixer].example, heads, ratio=2))
    submodel = randomised(Architecture(50, 32, layers))
    assert largest_difference(submodel, compose(submodel)) < 1e-4


@pytest.mark.parametrize("mixer", ["softmax", "window:8,3", "sparse:8,4", "decay", "gateddelta", "gatedconv"])
def test_short_convolutions_and_shared_keys_compose_to_what_torch_computes(mixer: str) -> None:
    layers = (Layer(mixer, 4, ratio=1, conv=4, kv_heads=2), Layer("linear", 4, ratio=1, conv=2, kv_heads=1))
    submodel = randomised(Architecture(50, 32, layers))
    assert largest_difference(submodel, compose(submodel)) < 1e-4


@pytest.mark.parametrize("channel", sorted(channels()))
def test_every_channel_mixer_composes_to_what_torch_computes(channel: str) -> None:
    layers = (
        Layer("none", 0, channels()[channel].example, 2),
        Layer("none", 0, channels()[channel].example, 0.5),
    )
    submodel = randomised(Architecture(50, 32, layers))
    assert largest_difference(submodel, compose(submodel)) < 1e-4


@pytest.fixture
def mixed() -> Architecture:
    layers = (Layer("softmax", 2, ratio=1), Layer("none", 0, ratio=2), Layer("window:8", 4, ratio=1))
    return Architecture(256, 16, layers)


def test_the_file_is_plain_onnx_with_the_weights_own_names(mixed: Architecture) -> None:
    submodel = Submodel(mixed)
    model = compose(submodel)
    onnx.checker.check_model(model, full_check=True)
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert [(opset.domain, opset.version) for opset in model.opset_import if not opset.domain] == [
        ("", OPSET)
    ]
    kept = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert {name.removesuffix(".T") for name in kept} == set(submodel.state_dict())
    for name, array in kept.items():
        weight = submodel.state_dict()[name.removesuffix(".T")].numpy()
        np.testing.assert_array_equal(array, weight.T if name.endswith(".T") else weight)
    assert {name for name in kept if kept[name].ndim == 2 and not name.endswith(".T")} == {"embedding"}
    assert [value.name for value in model.graph.input] == ["tokens"]
    assert [value.name for value in model.graph.output] == ["logits"]


def test_random_weights_follow_the_seed(mixed: Architecture) -> None:
    first, again, other = (LIBRARY.compose(mixed, seed=seed).SerializeToString() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_missing_weight_is_named(mixed: Architecture) -> None:
    weights: dict[str, Any] = {n: v.numpy() for n, v in Submodel(mixed).state_dict().items()}
    del weights["layers.2.query"]
    with pytest.raises(KeyError, match=r"layers\.2\.query"):
        LIBRARY.compose(mixed, weights)


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_attention_computes_what_torch_computes(name: str, heads: int) -> None:
    """Within a block, over several, and in the corners of both; a form says which operators it needs."""
    layers = (
        Layer("softmax", heads, ratio=1),
        Layer("softmax", 2, ratio=1),
        Layer("softmax", heads, ratio=1),
    )
    submodel = randomised(Architecture(50, 32, layers))
    weights = {name: value.numpy() for name, value in submodel.state_dict().items()}
    model = LIBRARY.compose(submodel.architecture, weights, attention=FORMS[name])
    onnx.checker.check_model(model, full_check=True)
    assert domains_of(model.graph) == {"", *FORMS[name].domains}
    assert not set(FORMS[name].domains) - {opset.domain for opset in model.opset_import}
    for shape in ((1, 1), (2, 128), (1, 129), (2, 255), (1, 256), (1, 257), (3, 600)):
        tokens = np.random.default_rng(0).integers(50, size=shape)
        with torch.inference_mode():
            expected = submodel(torch.from_numpy(tokens)).numpy()
        np.testing.assert_allclose(run(model, tokens), expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_bears_scores_beyond_what_exponentials_reach(name: str) -> None:
    """Scores of some thousands, of either sign."""
    submodel = randomised(Architecture(50, 32, (Layer("softmax", 2, ratio=1),)))
    for projection in ("query", "key"):
        submodel.layers[0][projection].data *= 30
    weights = {name: value.numpy() for name, value in submodel.state_dict().items()}
    model = LIBRARY.compose(submodel.architecture, weights, attention=FORMS[name])
    tokens = np.random.default_rng(0).integers(50, size=(1, 600))
    with torch.inference_mode():
        expected = submodel(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(run(model, tokens), expected, atol=1e-2, rtol=1e-3)


def test_a_form_is_the_first_that_there_is() -> None:
    assert form_of(("fused-somehow", "flash", "blocks")) is FORMS["flash"]
    assert form_of(("flash", "blocks"), standard_only=True) is FORMS["blocks"]
    with pytest.raises(ValueError, match=r"among fused-somehow; accepted: whole, blocks, flash, flash512"):
        form_of(("fused-somehow",))


def domains_of(graph: onnx.GraphProto) -> set[str]:
    inner = (a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH)
    return {node.domain for node in graph.node}.union(*map(domains_of, inner))


def test_half_precision_does_not_confuse_positions() -> None:
    """An engine that is asked for bf16 computes cosines of rounded positions: there must be none to round,
    and what products of rounded turns lose must stay of the order of one rounding, at any distance."""
    positions = Positions(32, 16)
    graph = LIBRARY.function(positions)
    assert not {node.op_type for node in graph.node} & {"Cos", "Sin"}
    inputs = positions.example()
    positions.__dict__["tables"] = [(c.bfloat16(), s.bfloat16()) for c, s in positions.tables]
    for start in (0, 200, 5_000):
        inputs["tokens"] = torch.zeros(1, start + 100, dtype=torch.int64)
        exact = rotary(torch.arange(start + 100), 16)
        for rounded, wanted in zip(positions.compute(inputs), exact, strict=True):
            assert (rounded.float() - wanted)[start:].abs().max() < 0.03


@pytest.mark.parametrize("mixer", sorted(set(mixers(Sight.CAUSAL)) - {"none", "identity"}))
def test_every_product_with_a_weight_is_quantised(mixer: str) -> None:
    # Of blocks that another test has exported.
    architecture = Architecture(50, 32, (Layer(mixers()[mixer].example, 4, ratio=2),) * 2)
    model = LIBRARY.compose(architecture)
    weights = sum(tensor.name.endswith(".T") for tensor in model.graph.initializer)
    file = model.SerializeToString()
    quantised = onnx.load_model_from_string(parse_runtime("onnxruntime").prepare(file, "int8"))
    operators = Counter(node.op_type for node in quantised.graph.node)
    # A mixer's own maps are products with weights too; queries of hashes are their keys.
    assert operators["MatMulInteger"] >= weights >= 2 * (5 if mixer == "lsh" else 6) + 1
    assert held(quantised) < 0.5 * held(model)


def held(model: onnx.ModelProto) -> int:
    """Bytes of its matrices."""
    matrices = [t for t in model.graph.initializer if len(t.dims) == 2]
    return sum(onnx.numpy_helper.to_array(matrix).nbytes for matrix in matrices)


def counted(patch: pytest.MonkeyPatch) -> list[Block]:
    """Blocks that are exported from now on."""
    exported: list[Block] = []
    export: Callable[[Block], bytes] = nas.export.library._export

    def counting(block: Block) -> bytes:
        exported.append(block)
        return export(block)

    patch.setattr(nas.export.library, "_export", counting)
    return exported


def test_blocks_are_exported_once_and_kept_on_disk(
    mixed: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = counted(monkeypatch)
    library = BlockLibrary(tmp_path / "blocks")
    first = library.compose(mixed)
    names = [block.name for block in exported]
    # Embedding, two head sizes' positions, two mixers, two ratios, logits.
    assert len(names) == len(set(names)) == 8
    shuffled = Architecture(256, 16, mixed.layers[::-1])
    library.compose(shuffled)
    assert BlockLibrary(tmp_path / "blocks").compose(mixed) == first
    assert len(exported) == 8
    assert len(list((tmp_path / "blocks").iterdir())) == 8


def test_a_change_of_the_arithmetic_is_exported_anew(
    mixed: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = counted(monkeypatch)
    BlockLibrary(tmp_path).compose(mixed)
    monkeypatch.setattr(nas.export.library, "_origin", lambda: "changed")
    BlockLibrary(tmp_path).compose(mixed)
    assert len(exported) == 16


@pytest.mark.slow
def test_the_demos_space_composes_to_what_torch_computes() -> None:
    space = load_space("mixed-lm-small")
    library = BlockLibrary()
    for architecture in space.decode(space.sample(12, np.random.default_rng(0))):
        submodel = Submodel(architecture)
        assert largest_difference(submodel, compose(submodel, library)) < 1e-4
