"""Supernet and submodel: slicing is extraction, stepping is running whole, and calls are pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from searchspaces import Architecture, Layer, SearchSpace, SpaceError, load_space
from searchspaces.channels import CHANNELS, register_channel
from searchspaces.channels.mlp import Mlp
from searchspaces.costs import CostModel
from searchspaces.mixers import mixers, parse_mixer
from searchspaces.part import Sight, Sizes, Weight
from searchspaces.submodel import Submodel
from searchspaces.supernet import Supernet

SMALL = [
    option if option != "window:8" else "window:3"
    for option in (cls.example for cls in mixers(Sight.CAUSAL).values())
    if option != "none"
]
SPACE = load_space(
    {
        "name": "small",
        "vocabulary": 17,
        "context": 16,
        "width": [8, 24, 40],
        "depth": [1, 2, 3],
        "layer": {
            "mixer": [*SMALL, "none"],
            "heads": [1, 2, 4],
            "ratio": [0.5, 1, 2],
            "conv": [0, 4],
            "kv_heads": [0, 1],
        },
    }
)


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Norms too, which start at 1 and would hide a slice that is missing."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.copy_(torch.rand_like(parameter) + 0.5)
    return model


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    return randomised(Supernet(SPACE))


def sampled(seed: int) -> Architecture:
    return SPACE.decode(SPACE.sample(1, np.random.default_rng(seed)))[0]


def tokens_of(seed: int, batch: int = 2, length: int = 21) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(17, size=(batch, length)))


seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, batch=st.integers(1, 3), length=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_a_submodel_has_the_supernets_logits(supernet: Supernet, seed: int, batch: int, length: int) -> None:
    architecture, tokens = sampled(seed), tokens_of(seed, batch, length)
    with torch.no_grad():
        logits = supernet(tokens, architecture)
        assert logits.shape == (batch, length, 17)
        torch.testing.assert_close(supernet.extract(architecture)(tokens), logits, rtol=0, atol=1e-5)


@given(seed=seeds)
@settings(max_examples=25, deadline=None)
def test_token_by_token_come_the_logits_and_a_state_of_the_promised_size(
    supernet: Supernet, seed: int
) -> None:
    architecture, tokens = sampled(seed), tokens_of(seed)
    submodel = supernet.extract(architecture)
    with torch.no_grad():
        wanted, state = submodel(tokens), submodel.init_state(2)
        for i in range(tokens.shape[1]):
            logits, state = submodel.extend(tokens[:, i : i + 1], state)
            torch.testing.assert_close(logits[:, 0], wanted[:, i], rtol=0, atol=1e-4)
    kept = sum(tensor.nbytes for layer in state.layers for tensor in layer.values())
    sizes = [
        parse_mixer(layer.mixer).state_bytes(layer.sizes(architecture.width), tokens.shape[1])
        for layer in architecture.layers
    ]
    assert kept == 2 * sum(sizes)
    assert state.position == tokens.shape[1]


@given(seed=seeds, changed=st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_logits_depend_on_no_later_token(supernet: Supernet, seed: int, changed: int) -> None:
    architecture, tokens = sampled(seed), tokens_of(seed, batch=1)
    with torch.no_grad():
        before = supernet(tokens, architecture)
        tokens[:, changed] = (tokens[:, changed] + 1) % 17
        after = supernet(tokens, architecture)
    torch.testing.assert_close(before[:, :changed], after[:, :changed], rtol=0, atol=1e-6)
    assert not torch.equal(before[:, changed], after[:, changed])


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_gradients_reach_what_an_architecture_uses_and_nothing_else(supernet: Supernet, seed: int) -> None:
    architecture = sampled(seed)
    supernet.zero_grad()
    supernet(tokens_of(seed), architecture).square().sum().backward()
    submodel = supernet.extract(architecture)
    submodel(tokens_of(seed)).square().sum().backward()
    wanted = {name: parameter.grad for name, parameter in submodel.named_parameters()}
    for name, parameter in supernet.named_parameters():
        if name not in wanted:
            assert parameter.grad is None
            continue
        used = tuple(slice(size) for size in wanted[name].shape)
        torch.testing.assert_close(parameter.grad[used], wanted[name])
        outside = parameter.grad.clone()
        outside[used] = 0
        assert not outside.any()


def test_calls_leave_no_trace(supernet: Supernet) -> None:
    first, second = sampled(1), sampled(2)
    weights = {name: value.clone() for name, value in supernet.state_dict().items()}
    with torch.no_grad():
        alone = supernet(tokens_of(0), first)
        supernet(tokens_of(0), second)
        assert torch.equal(supernet(tokens_of(0), first), alone)
    assert all(torch.equal(weights[name], value) for name, value in supernet.state_dict().items())


def test_an_extracted_model_is_a_copy(supernet: Supernet) -> None:
    architecture = sampled(3)
    submodel = supernet.extract(architecture)
    with torch.no_grad():
        before = submodel(tokens_of(0))
        kept = supernet.embedding.clone()
        supernet.embedding.add_(1.0)
        assert torch.equal(submodel(tokens_of(0)), before)
        supernet.embedding.copy_(kept)


def test_slices_are_views(supernet: Supernet) -> None:
    weights = supernet.weights(sampled(4))
    storage = {parameter.untyped_storage().data_ptr() for parameter in supernet.parameters()}
    used = [*weights.outer.values(), *(w for layer in weights.layers for w in layer.values())]
    assert all(weight.untyped_storage().data_ptr() in storage for weight in used)


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_a_submodel_has_only_its_own_weights(seed: int) -> None:
    architecture = sampled(seed)
    (counted,) = CostModel(SPACE).parameters(SPACE.encode([architecture]))
    assert sum(p.numel() for p in Submodel(architecture).parameters()) == counted


def test_a_supernet_of_one_family_is_as_large_as_its_largest_model() -> None:
    layer = {"mixer": ["softmax", "window:3", "sparse:4,2", "none"], "heads": [1, 2, 4], "ratio": [0.5, 2]}
    space = load_space({"name": "x", "vocabulary": 17, "width": [8, 40], "depth": [1, 3], "layer": layer})
    largest = Architecture(17, 40, (Layer("softmax", 4, ratio=2),) * 3)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (Supernet(space), Submodel(largest))]
    assert sizes[0] == sizes[1]


def test_families_share_values_and_outputs_but_not_queries_and_keys(supernet: Supernet) -> None:
    def storage(option: str, name: str) -> int:
        weights = supernet.weights(Architecture(17, 8, (Layer(option, 2, ratio=1),)))
        return weights.layers[0][name].untyped_storage().data_ptr()

    for name in ("value", "out"):
        assert storage("softmax", name) == storage("linear", name)
    assert storage("window:3", "query") == storage("softmax", "query")
    assert storage("taylor", "linear_query") == storage("linear", "linear_query")
    assert storage("linear", "linear_query") != storage("softmax", "query")


def test_what_is_no_matrix_is_not_declared_one(supernet: Supernet) -> None:
    """A kernel of a convolution has two axes and is none."""
    assert "layers.0.query" in supernet.matrices
    assert "layers.0.mlp_down" in supernet.matrices
    others = {name.partition(".")[2].partition(".")[2] for name, _ in supernet.named_parameters()}
    others -= {name.partition(".")[2].partition(".")[2] for name in supernet.matrices}
    assert {"value_conv", "mixing_norm"} <= others
    assert {"query", "key", "value", "out"}.isdisjoint(others)


@pytest.fixture
def outsiders() -> Iterator[tuple[Architecture, str]]:
    layer = Layer("softmax", 2, ratio=1)
    return iter(
        [
            (Architecture(17, 8, (layer,) * 4), "depth"),
            (Architecture(17, 16, (layer,)), "width"),
            (Architecture(16, 8, (layer,)), "vocabulary"),
            (Architecture(17, 8, (Layer("window:5", 2, ratio=1),)), "mixer"),
            (Architecture(17, 8, (Layer("softmax", 2, ratio=4),)), "ratio"),
        ]
    )


def test_what_the_space_lacks_is_refused(
    supernet: Supernet, outsiders: Iterator[tuple[Architecture, str]]
) -> None:
    for architecture, gene in outsiders:
        with pytest.raises(SpaceError, match=gene):
            supernet(tokens_of(0), architecture)
        with pytest.raises(SpaceError, match=gene):
            supernet.extract(architecture)


def test_fresh_weights_follow_the_seed_and_give_logits_near_even_odds() -> None:
    space = load_space("hybrid-lm")
    architecture = space.decode(space.sample(1, np.random.default_rng(0)))[0]
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(Submodel(architecture).state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert not torch.equal(models[0]["embedding"], models[2]["embedding"])
    tokens = torch.arange(64).reshape(1, 64)
    with torch.no_grad():
        logits = Supernet(space)(tokens, architecture)
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:])
    assert 4.5 < loss < 7.5  # ln 256 = 5.5


def test_channels_of_a_space_have_weights_of_their_own() -> None:
    space: SearchSpace = load_space(
        {"name": "x", "width": [8], "depth": [1], "layer": {"mixer": ["none"], "heads": [1], "ratio": [1, 2]}}
    )
    names = set(dict(Supernet(space).named_parameters()))
    assert names == {"embedding", "norm", "layers.0.channel_norm", "layers.0.mlp_up", "layers.0.mlp_down"}


def test_options_of_one_channel_share_weights_as_large_as_the_largest() -> None:
    @dataclass(frozen=True)
    class Narrowed(Mlp):
        by: int

        limits: ClassVar[dict[str, tuple[int, int]]] = {"by": (1, 8)}

        def shapes(self, sizes: Sizes) -> dict[str, Weight]:
            return super().shapes(replace(sizes, hidden=sizes.hidden // self.by))

    layer = {"mixer": ["none"], "heads": [1], "channel": ["narrowed:1", "narrowed:2"], "ratio": [2]}
    with CHANNELS.scratch():
        register_channel("narrowed")(Narrowed)
        space = load_space({"name": "x", "width": [8], "depth": [1], "layer": layer})
        supernet = Supernet(space)
        assert supernet.layers[0]["narrowed_up"].shape == (16, 8)
        for option in space.spec.layer.channel:
            supernet(tokens_of(0), Architecture(256, 8, (Layer("none", 0, option, 2),)))


@pytest.mark.parametrize("option", SPACE.spec.layer.mixer)
def test_a_model_runs_where_its_weights_are(option: str) -> None:
    """On torch's device without data, which takes no tensor of the processor's beside its own."""
    model = Submodel(Architecture(17, 24, (Layer(option, 2),))).to("meta")
    tokens = torch.zeros(2, 30, dtype=torch.long, device="meta")
    assert model(tokens).device.type == "meta"
    state = model.init_state(2)
    for piece in tokens.split([9, 1, 1, 19], dim=1):
        logits, state = model.extend(piece, state)
    assert logits.device.type == "meta"
    assert {kept.device.type for layer in state.layers for kept in layer.values()} <= {"meta"}


@pytest.mark.parametrize("option", SPACE.spec.layer.mixer)
def test_a_model_of_half_precision_runs_in_it(option: str) -> None:
    torch.manual_seed(0)
    model = Submodel(Architecture(17, 24, (Layer(option, 2),)))
    tokens = tokens_of(0, batch=2, length=30)
    with torch.inference_mode():
        whole = model(tokens)
        halved = model.bfloat16()(tokens)
        assert halved.dtype == torch.bfloat16
        rows, state = [], model.init_state(2)
        for i in range(30):
            logits, state = model.extend(tokens[:, i : i + 1], state)
            rows.append(logits[:, 0].float())
    least = 1.0 if parse_mixer(option).continuous else 0.9
    for found, wanted, apart in ((halved, whole, 0.1), (torch.stack(rows, dim=1), halved, 0.05)):
        near = (found - wanted).abs().amax(-1) < apart
        assert near.float().mean() >= least
    assert {kept.dtype for layer in state.layers for kept in layer.values()} <= {torch.bfloat16}
