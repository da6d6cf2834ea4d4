"""Costs of populations against the models that they count."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from searchspaces import Architecture, Population, SearchSpace, load_space
from searchspaces.costs import WORK, BlockRole, CostModel
from searchspaces.mixers import mixers
from searchspaces.operations import OperationKind
from searchspaces.part import Sight
from searchspaces.submodel import Submodel

TWO_WIDTHS = {
    "name": "two-widths",
    "vocabulary": 32,
    "width": [16, 32],
    "depth": [1, 3],
    "layer": {
        "mixer": ["softmax", "window:8", "linear", "taylor", "sparse", "none"],
        "heads": [1, 2],
        "ratio": [1, 2.5],
    },
}

EVERYTHING = {
    "name": "everything",
    "vocabulary": 32,
    "width": [32],
    "depth": [1, 3],
    "layer": {
        "mixer": [cls.example for cls in mixers(Sight.CAUSAL).values()],
        "heads": [1, 2],
        "ratio": [1],
        "conv": [0, 4],
        "kv_heads": [0, 1],
    },
}


@pytest.fixture(
    params=["hybrid-lm", TWO_WIDTHS, EVERYTHING],
    ids=["hybrid-lm", "two-widths", "everything"],
    scope="module",
)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return load_space(request.param)


@pytest.fixture(scope="module")
def population(space: SearchSpace) -> Population:
    return space.sample(24, np.random.default_rng(0))


def test_parameters_are_those_of_the_model(space: SearchSpace, population: Population) -> None:
    real = [sum(p.numel() for p in Submodel(a).parameters()) for a in space.decode(population)]
    assert CostModel(space).parameters(population).tolist() == real


@pytest.mark.parametrize("tokens", [1, 11])
def test_state_bytes_are_those_of_the_state(space: SearchSpace, population: Population, tokens: int) -> None:
    def real(architecture: Architecture) -> int:
        model = Submodel(architecture)
        state = model.init_state(1)
        with torch.no_grad():
            for _ in range(tokens):
                _, state = model.extend(torch.zeros(1, 1, dtype=torch.long), state)
        return sum(tensor.nbytes for layer in state.layers for tensor in layer.values())

    few = population[:6]
    assert CostModel(space).state_bytes(few, tokens).tolist() == [real(a) for a in space.decode(few)]


def counted_macs(run: Callable[[], object]) -> int:
    """By torch's own counter, which does not know the fused attention of processors."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize("tokens", [1, 65, 200])
def test_macs_are_those_that_torch_counts(space: SearchSpace, population: Population, tokens: int) -> None:
    costs, few = CostModel(space), population[:8]
    sequence = torch.zeros(1, tokens, dtype=torch.long)
    real = [counted_macs(partial(Submodel(a), sequence)) for a in space.decode(few)]
    assert costs.macs(few, tokens).tolist() == real
    np.testing.assert_allclose(macs_of(costs.counts(few) @ costs.prefill_work(tokens)), real)


@pytest.mark.parametrize("context", [0, 9, 70])
def test_macs_of_a_step_are_those_that_torch_counts(
    space: SearchSpace, population: Population, context: int
) -> None:
    def real(architecture: Architecture) -> int:
        model, token = Submodel(architecture), torch.zeros(1, 1, dtype=torch.long)
        state = model.init_state(1)
        with torch.no_grad():
            for _ in range(context):
                _, state = model.extend(token, state)
        return counted_macs(partial(model.extend, token, state))

    costs, few = CostModel(space), population[:8]
    said = macs_of(costs.counts(few) @ costs.step_work(context))
    np.testing.assert_allclose(said, [real(a) for a in space.decode(few)])


def macs_of(work: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a table of work with the columns `WORK`."""
    return work[:, [i for i, name in enumerate(WORK) if name.endswith("_macs")]].sum(1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_counts_say_what_a_model_consists_of(seed: int) -> None:
    space = load_space(TWO_WIDTHS)
    costs = CostModel(space)
    population = space.sample(5, np.random.default_rng(seed))
    for counts, architecture in zip(costs.counts(population), space.decode(population), strict=True):
        found = [block for block, n in zip(costs.blocks, counts, strict=True) for _ in range(n)]
        expected = sorted(
            [(BlockRole.STEM, "embedding", 0, 0.0)]
            + [(BlockRole.MIXER, x.mixer, x.heads, 0.0) for x in architecture.layers if x.mixer != "none"]
            + [(BlockRole.CHANNEL, x.channel, 0, x.ratio) for x in architecture.layers]
        )
        assert sorted((b.role, b.option, b.heads, b.ratio) for b in found) == expected
        assert {b.width for b in found} == {architecture.width}


def test_names_are_unique_and_blocks_cost_something() -> None:
    costs = CostModel(load_space("hybrid-lm"))
    assert len(set(costs.names)) == len(costs.names)
    assert (costs.prefill_work(1024)[:, WORK.index("calls")] > 0).all()


def test_a_batch_multiplies_work_but_not_weights_or_launches() -> None:
    costs = CostModel(load_space("hybrid-lm"))
    fixed = [WORK.index("weight_elements"), WORK.index("calls")]
    for work in (costs.prefill_work, costs.step_work):
        expected = 3 * work(128)
        expected[:, fixed] /= 3
        np.testing.assert_allclose(work(128, batch=3), expected)


def test_a_decode_step_of_a_window_does_not_grow_with_the_context() -> None:
    costs = CostModel(load_space("hybrid-lm"))
    attention = WORK.index(f"{OperationKind.ATTENTION}_macs")
    grown = costs.step_work(4096)[:, attention] - costs.step_work(1024)[:, attention]
    by_option = {block.option: grown[i] for i, block in enumerate(costs.blocks)}
    assert by_option["softmax"] > 0
    assert by_option["window:64"] == by_option["linear"] == 0


def test_heads_of_a_fixed_size_widen_the_projections() -> None:
    space = load_space(TWO_WIDTHS)
    costs = CostModel(space, head_size=64)
    narrow, wide = (space.encode([Architecture.from_dict(one_layer(heads))]) for heads in (1, 2))
    assert costs.parameters(wide)[0] - costs.parameters(narrow)[0] == 4 * 16 * 64


def one_layer(heads: int) -> dict[str, object]:
    layer = {"mixer": "softmax", "heads": heads, "channel": "mlp", "ratio": 1.0}
    return {"vocabulary": 32, "width": 16, "layers": [layer]}
