"""Fronts of hybrids against those of one kind of attention, on little."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from typer.testing import CliRunner

from nas.bench.mixers.alone import Key, Scores, Training, process_pool, train_missing
from nas.bench.mixers.mixing import POOLS, MixingBench, run_mixing_bench
from nas.cli.main import app
from nas.errors import InvalidSpec
from searchspaces.architecture import Architecture

BENCH = MixingBench(
    Training("recall", {"pairs": 16}, tokens=128, context=64, steps=1, batch=1),
    depths=(2, 3),
    width=32,
    conv=4,
    members=9,
    seeds=1,
    softmax_layers=1,
    processes=1,
)


@pytest.fixture
def formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for training and timing."""

    def score(model: Architecture) -> float:
        liked = [layer.mixer in ("decay", "window:64,4") for layer in model.layers]
        return sum(liked) / len(liked)

    def train(wanted: Mapping[Key, Architecture], scores: Scores, *_: object) -> None:
        for key, model in wanted.items():
            scores.keep(key, score(model))

    def timed(models: Mapping[str, Architecture], tokens: int) -> dict[str, float]:
        return {digest: 1.0 + sum(layer.ratio for layer in model.layers) for digest, model in models.items()}

    monkeypatch.setattr("nas.bench.mixers.mixing.train_missing", train)
    monkeypatch.setattr("nas.bench.mixers.mixing.timed", timed)
    monkeypatch.setattr("nas.bench.mixers.mixing.process_pool", lambda processes: _Here())
    monkeypatch.setattr(MixingBench, "placements", lambda self, seed: {"even": (0,)})


class _Here:
    """A pool of processes that is this one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    map = staticmethod(map)


@pytest.mark.usefixtures("formulas")
def test_each_kind_is_searched_with_one_budget() -> None:
    result = run_mixing_bench(BENCH, lambda _: None)
    for name, options in POOLS.items():
        models = [model for model in result["models"] if name in model["pools"]]
        assert len(models) == BENCH.members, name
        layers = [layer for model in models for layer in model["layers"]]
        assert {layer["mixer"] for layer in layers} <= set(options)
        assert {layer["conv"] for layer in layers} == {4}
    mixed = [model["test"] for model in result["models"] if "mixed" in model["pools"]]
    assert np.mean(mixed[4:]) > np.mean(mixed[:4]), "what is chosen is better than what is drawn"
    assert result["ratios"]["softmax"]["mean"] > 1
    assert result["volumes"]["mixed"][0] > 0


def test_more_softmax_than_layers_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="3 of 3 layers leave nothing to place"):
        replace(BENCH, softmax_layers=3)


def test_what_a_file_keeps_is_not_trained_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    model = BENCH.architecture(["decay"], 1.0)
    key = 0, model.digest
    Scores(BENCH.training, kept).keep(key, 0.25)
    trained = list[tuple[int, int]]()
    known = Scores(BENCH.training, kept)
    train_missing({key: model}, known, 1, lambda *done: trained.append(done))
    assert known.known == {key: 0.25}
    assert not trained
    longer = Scores(replace(BENCH.training, steps=2), kept)
    train_missing({key: model}, longer, 1, lambda *done: trained.append(done))
    assert 0 <= longer.known[key] <= 1
    assert trained == [(1, 1)]
    assert len(kept.read_text().splitlines()) == 2


def test_who_is_interrupted_does_not_wait_for_what_is_being_trained() -> None:
    others, pids = set(active_children()), list[int]()

    def interrupted() -> None:
        with process_pool(1) as pool:
            running = [pool.submit(time.sleep, 60) for _ in range(3)]
            while not running[0].running():
                time.sleep(0.01)
            pids.extend(process.pid for process in set(active_children()) - others if process.pid)
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - begun < 30
    assert pids
    for pid in pids:  # not active_children(): the pool's own thread may not have noted yet what it waited for
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


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
