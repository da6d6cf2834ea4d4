"""Fronts of hybrids against those of one kind of attention, on little."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nas.bench.mixing import POOLS, MixingBench, Scores, train_missing
from nas.cli.main import app
from nas.errors import InvalidSpec

BENCH = MixingBench(
    task="recall",
    options={"pairs": 16},
    tokens=128,
    context=64,
    depths=(2, 3),
    width=32,
    conv=4,
    members=5,
    steps=1,
    batch=1,
    seeds=1,
    softmax_layers=1,
    processes=1,
)


def test_pools_are_of_equal_size_and_of_their_mixers_alone() -> None:
    for name, options in POOLS.items():
        models = BENCH.pool(options, seed=3)
        assert len({model.digest for model in models}) == BENCH.members, name
        assert {layer.mixer for model in models for layer in model.layers} <= set(options)
        assert {layer.conv for model in models for layer in model.layers} == {4}
        shapes = [(len(model.layers), model.layers[0].ratio) for model in models]
        assert shapes == BENCH.shapes(3), name
    assert any(len({layer.mixer for layer in m.layers}) > 1 for m in BENCH.pool(POOLS["mixed"], seed=3))


def test_more_softmax_than_layers_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="3 of 3 layers leave nothing to place"):
        replace(BENCH, softmax_layers=3)


def test_what_a_file_keeps_is_not_trained_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    (model,) = replace(BENCH, members=1).pool(POOLS["linear"], seed=0)
    Scores(BENCH, kept).keep(0, model.digest, 0.25)
    wanted, trained = {(0, model.digest): model}, list[str]()
    assert train_missing(BENCH, wanted, Scores(BENCH, kept), trained.append)[0, model.digest] == 0.25
    assert not trained
    longer = replace(BENCH, steps=2)
    assert 0 <= train_missing(longer, wanted, Scores(longer, kept), trained.append)[0, model.digest] <= 1
    assert trained == ["1 of 1 models trained"]
    assert len(kept.read_text().splitlines()) == 2


@pytest.mark.slow
def test_the_command_compares_fronts_and_placements(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    answer = CliRunner().invoke(app, ["bench", "mixing", "--quick", "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    result = json.loads(out.read_text())
    assert set(result["volumes"]) == set(POOLS)
    assert set(result["ratios"]) == set(POOLS) - {"mixed"}
    assert set(result["placements"]) == {"even", "random", "learned"}
    assert all(model["latency_ms"] > 0 and 0 <= model["test"] <= 1 for model in result["models"])
    assert "mixed over it" in answer.output
