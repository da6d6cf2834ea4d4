"""Digests, codes and counts of spaces as they were before layers had more genes: stores are keyed by them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchspaces import Architecture, load_space
from searchspaces.costs import CostModel
from searchspaces.presets import presets

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "unmoved.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_spaces_of_before_mean_the_same(name: str) -> None:
    recorded = RECORDED[name]
    space = load_space(recorded["declaration"])
    assert space.digest == recorded["digest"]
    assert list(space.names) == recorded["genes"]
    models = recorded["models"]
    architectures = [Architecture.from_dict(json.loads(model["canonical"])) for model in models]
    assert [a.digest for a in architectures] == [model["digest"] for model in models]
    assert [a.canonical_json() for a in architectures] == [model["canonical"] for model in models]
    population = np.array([model["codes"] for model in models])
    assert np.array_equal(space.encode(architectures), population)
    assert space.decode(population) == architectures
    found = {name: preset.architecture.digest for name, preset in presets(space).items()}
    assert recorded["presets"].items() <= found.items(), "others may have come"


@pytest.mark.parametrize("name", RECORDED)
def test_their_costs_are_the_same(name: str) -> None:
    recorded = RECORDED[name]
    space = load_space(recorded["declaration"])
    costs = CostModel(space)
    models = recorded["models"]
    population = np.array([model["codes"] for model in models])
    assert list(costs.names) == recorded["blocks"]
    assert costs.parameters(population).tolist() == [model["parameters"] for model in models]
    assert costs.macs(population, 1024).tolist() == [model["macs"] for model in models]
    assert costs.state_bytes(population, 1024).tolist() == [model["state_bytes"] for model in models]
    assert costs.prefill_work(1024).sum(0).tolist() == recorded["prefill_work"]
    assert costs.step_work(1024).sum(0).tolist() == recorded["step_work"]
