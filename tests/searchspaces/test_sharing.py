"""Heads that share keys and values because a pretrained model's do, in mixers that know no such heads."""

from typing import Any

import pytest
import torch

from searchspaces import SpaceError, load_space
from searchspaces.architecture import Architecture, Layer
from searchspaces.costs import CostModel
from searchspaces.mixers import parse_mixer
from searchspaces.projection import Projection
from searchspaces.supernet import Supernet


def declared(*mixers: str, **projection: Any) -> dict[str, Any]:
    return {
        "name": "shared",
        "vocabulary": 19,
        "context": 16,
        "width": [32],
        "depth": [1],
        "layer": {
            "mixer": list(mixers),
            "heads": [4, 2],
            "ratio": [2],
            "projection": {"head_size": 8, "sharing": 2} | projection,
        },
    }


@pytest.mark.parametrize("heads", [4, 2])
@pytest.mark.parametrize("pieces", [[1] * 9, [4, 5], [3, 1, 5]])
def test_flow_in_pieces_is_flow_of_heads_that_share(heads: int, pieces: list[int]) -> None:
    torch.manual_seed(0)
    space = load_space(declared("softmax", "flow"))
    supernet = Supernet(space)
    model = supernet.extract(space.first.with_layer(0, mixer="flow", heads=heads))
    tokens = torch.randint(19, (2, 9))
    with torch.inference_mode():
        state, rows = model.init_state(2), []
        for piece in tokens.split(pieces, dim=1):
            logits, state = model.extend(piece, state)
            rows.append(logits)
        torch.testing.assert_close(torch.cat(rows, 1), model(tokens), atol=1e-5, rtol=1e-5)
    assert model.layers[0].value.shape == (heads // 2 * 8, 32), "as the pretrained model's"
    codes = space.encode([model.architecture])
    assert CostModel(space).parameters(codes) == sum(p.numel() for p in model.parameters())
    assert CostModel(space).state_bytes(codes, 9) == 4 * sum(y[0].numel() for y in state.layers[0].values())


def test_lsh_is_refused_where_heads_share() -> None:
    with pytest.raises(SpaceError) as caught:
        load_space(declared("softmax", "lsh:8"))
    (problem,) = caught.value.problems
    assert problem.path == "space.layer.mixer.1"
    assert "projection.sharing 2" in problem.message
    accepted = problem.message.partition("accepted: ")[2].split(", ")
    assert "flow" in accepted
    assert "lsh" not in accepted


def test_an_architecture_of_lsh_whose_heads_share_is_refused() -> None:
    layers = (Layer("softmax", 4), Layer("lsh:8", 4, projection=Projection(head_size=8, sharing=2)))
    with pytest.raises(SpaceError, match=r"layers\.1: mixer lsh:8 .* projection\.sharing 2"):
        Architecture.from_dict(Architecture(19, 32, layers).to_dict())


def test_queries_of_lsh_are_normed() -> None:
    torch.manual_seed(0)
    mixer = parse_mixer("lsh:4")
    sizes = Layer("lsh:4", 2, projection=Projection(norms=True)).sizes(16)
    weights = {name: torch.randn(weight.shape) for name, weight in mixer.shapes(sizes).items()}
    assert [name for name in weights if name.endswith("_norm")] == ["hash_query_norm"]
    x = torch.randn(1, 12, 16)
    mixed = mixer.forward(x, weights, sizes, None)
    larger = weights | {"hash_query": weights["hash_query"] * 3}
    torch.testing.assert_close(mixer.forward(x, larger, sizes, None), mixed, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mixer.reference(x, weights, sizes, None), mixed, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(
        mixer.forward(x, weights | {"hash_query_norm": 3 * weights["hash_query_norm"]}, sizes, None), mixed
    )
