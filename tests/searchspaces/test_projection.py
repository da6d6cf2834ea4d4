"""Spaces of what pretrained models bring along: heads of their own size, biases, norms, an output projection,
layers without a channel mixer."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.export import BlockLibrary
from nas.service.wire.convert import architecture_from_message, architecture_to_message
from searchspaces import Architecture, SpaceError, load_space
from searchspaces.costs import CostModel
from searchspaces.projection import PLAIN
from searchspaces.supernet import Supernet

DECLARATION = {
    "name": "brought",
    "vocabulary": 19,
    "context": 16,
    "width": [24],
    "depth": [3],
    "tied": False,
    "layer": {
        "mixer": ["softmax", "window:3,1", "hedgehog", "gatedconv", "none"],
        "heads": [4],
        "kv_heads": [2],
        "channel": ["swiglu", "mlp"],
        "ratio": [2, 0.5, 0],
        "projection": {"head_size": 8, "bias": True, "out_bias": True, "norms": True, "base": 500.0},
    },
}
SPACE = load_space(DECLARATION)
SAMPLED = SPACE.decode(SPACE.sample(6, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    model = Supernet(SPACE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def test_architectures_survive_codes_json_and_the_wire() -> None:
    assert SPACE.decode(SPACE.encode(SAMPLED)) == SAMPLED
    for architecture in SAMPLED:
        assert Architecture.from_dict(json.loads(architecture.canonical_json())) == architecture
        assert architecture_from_message(architecture_to_message(architecture)) == architecture


def test_what_is_brought_along_is_part_of_a_digest() -> None:
    plain = load_space(DECLARATION | {"layer": DECLARATION["layer"] | {"projection": {}}})
    tied = load_space(DECLARATION | {"tied": True})
    assert len({SPACE.digest, plain.digest, tied.digest}) == 3
    (model,) = plain.decode(plain.encode([replace(SAMPLED[0], layers=_plain(SAMPLED[0]))]))
    assert model.digest != SAMPLED[0].digest
    for other in (plain, tied):
        with pytest.raises(SpaceError, match=r"projection|tied"):
            other.encode([SAMPLED[0]])


def _plain(architecture: Architecture) -> tuple:
    return tuple(replace(layer, projection=PLAIN) for layer in architecture.layers)


def test_costs_count_the_weights_of_submodels(supernet: Supernet) -> None:
    counted = CostModel(SPACE).parameters(SPACE.encode(SAMPLED))
    assert counted.tolist() == [
        sum(p.numel() for p in supernet.extract(architecture).parameters()) for architecture in SAMPLED
    ]


@pytest.mark.parametrize("number", range(len(SAMPLED)))
def test_supernet_submodel_steps_and_onnx_are_one_function(supernet: Supernet, number: int) -> None:
    import onnxruntime

    architecture = SAMPLED[number]
    tokens = torch.randint(19, (2, 9), generator=torch.Generator().manual_seed(number))
    submodel = supernet.extract(architecture)
    with torch.inference_mode():
        expected = submodel(tokens)
        torch.testing.assert_close(supernet(tokens, architecture), expected)
        state, rows = submodel.init_state(2), []
        for token in tokens.split(1, dim=1):
            logits, state = submodel.extend(token, state)
            rows.append(logits)
        torch.testing.assert_close(torch.cat(rows, 1), expected, atol=1e-5, rtol=1e-5)
    weights = {name: value.numpy() for name, value in submodel.state_dict().items()}
    file = BlockLibrary().compose(architecture, weights).SerializeToString()
    (found,) = onnxruntime.InferenceSession(file).run(None, {"tokens": tokens.numpy()})
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
