"""Whole jobs on a table of measured architectures, whose exact front is known."""

from __future__ import annotations

import gzip
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import simulated

from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.bench.benchmarks import load_benchmark
from nas.bench.replay import Replay, load_replay
from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.job import Job, JobStatus
from nas.planning.plan import resolve
from nas.spec import JobSpec
from nas.store import open_store
from nas.store.store import Store
from searchspaces.errors import SpaceError
from workers.target import Target

HWGPT = Path(__file__).resolve().parents[4] / "shared" / "data" / "hwgpt"
DEVICES = ("phone", "server")
HEADER = "embed_dim,n_layer,n_head,mlp_ratio,bias,perplexity,phone:latency_ms,server:latency_ms"


def written(path: Path, rows: int = 150, header: str = HEADER, width: int = 16) -> Path:
    """A table whose devices differ in what they are slow at; one row of it was never scored."""
    rng = np.random.default_rng(0)
    lines = [header]
    for number in range(rows):
        width_ratio, depth = rng.choice([1, 2]), rng.choice([1, 2, 3])
        heads, ratios = rng.choice([2, 4], depth), rng.choice([1, 2], depth)
        worth = width_ratio * (depth + 0.2 * heads.sum() + 0.3 * ratios.sum())
        perplexity = f"{20 + 40 / worth:.4f}" if number != 7 else ""
        phone, server = 1 + width_ratio * ratios.sum(), 1 + depth + 0.1 * width_ratio * heads.sum()
        layers = "-".join(map(str, heads)), "-".join(map(str, ratios))
        cells = (width * width_ratio, depth, *layers, number % 2, perplexity, phone, f"{server:.3f}")
        lines.append(",".join(map(str, cells)))
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Replay:
    return load_replay(written(tmp_path_factory.mktemp("table") / "toy.csv.gz"), DEVICES)


def spec(replay: Replay, evaluations: int = 24, strategy: str = "evolution", **profile: object) -> JobSpec:
    """A job for every device of a table. Whole models teach its predictors: no table has single blocks."""
    budget = {
        "profile": {"measurements": 16, "holdout": 6, "predictor": "lookup", **profile},
        "train": {"steps": 1, "batch": 1},
        "search": {"evaluations": evaluations, "batch": 6, "strategy": strategy},
        "verify": {"rounds": 2, "evaluations": 6, "tolerance": 0.1},
    }
    targets = [{"device": device, "tokens": 1024} for device in replay.latency_ms]
    data = {"space": replay.declaration, "targets": targets, "budget": budget}
    return JobSpec.model_validate({"name": "replay", "task": {"name": "text"}, **data})


def run(store: Store, home: Path, replay: Replay, of: JobSpec, failures: float = 0.0, **evaluator) -> Job:
    return simulated.run(
        store,
        home,
        of,
        SimulatedComputeBackend(replay.quality, failures=failures, **evaluator),
        SimulatedMeasurementBackend(store, replay.devices, failures=failures / 3),
    )


def front(store: Store, job: Job) -> dict[str, tuple]:
    return {
        p.digest: (
            p.validation,
            p.test,
            *(latency.measured for latency in p.values.values() if not latency.exact),
        )
        for p in store.points(job.id)
        if p.on_front
    }


def straggling(rng) -> float:
    return 20.0 if rng.random() < 0.2 else rng.uniform(0.5, 1.5)


class TestReplay:
    def test_the_space_is_that_of_the_table_and_declared_as_any_other(self, table):
        assert resolve(spec(table)).space.options == table.space.options
        assert table.declaration["width"] == [16, 32]
        assert table.declaration["depth"] == [1, 2, 3]
        assert table.declaration["layer"]["heads"] == [2, 4]
        assert table.notes[-2:] == ("1 rows lack a value", "63 rows repeat an architecture")

    def test_measured_architectures_answer_as_the_strategy_level_has_them(self, tmp_path, table):
        path = written(tmp_path / "toy.csv.gz")
        exact = load_benchmark(f"{path}:server")
        pool = table.space.decode(table.encoding.pool)
        assert len(pool) < exact.problem.encoding.enumerate(1000).shape[0]  # rows that only bias tells apart
        values = exact.evaluate(exact.problem.encoding.pool)
        known = {tuple(row) for row in values.tolist()}
        assert {tuple(row) for row in table.values("server", pool).tolist()} <= known
        target = Target("server")
        for architecture, (perplexity, latency) in zip(pool, table.values("server", pool), strict=True):
            assert table.quality(architecture, Split.TEST) == perplexity
            assert table.devices["server"](architecture, target) == latency

    def test_others_answer_as_the_nearest_of_their_width_and_depth(self, table):
        everything = table.space.enumerate(10_000)
        nearest = table.encoding.canonical(everything)
        assert len(np.unique(nearest, axis=0)) == len(table.encoding.pool) < len(everything)
        assert np.array_equal(nearest[:, :2], everything[:, :2])
        near, other = (table.space.decode(rows) for rows in (nearest, everything))
        assert np.array_equal(table.values("phone", near), table.values("phone", other))

    def test_the_share_is_of_the_exact_front(self, table):
        pool = table.space.decode(table.encoding.pool)
        assert table.share("phone", pool) == 1.0
        values = table.values("phone", pool)
        best = [a for a, v in zip(pool, values, strict=True) if not (values < v).all(1).any()]
        assert 1 < len(best) < len(pool)
        assert table.share("phone", best) == pytest.approx(1.0)
        worst = values.max(0)
        box = np.prod(worst - values[0]) / np.prod(worst - values[1])
        assert table.share("phone", pool[:1]) / table.share("phone", pool[1:2]) == pytest.approx(box)

    def test_what_is_none_of_the_space_is_named(self, table):
        stranger = table.space.decode(table.encoding.pool[:1])[0]
        deep = type(stranger)(stranger.vocabulary, stranger.width, stranger.layers[:1] * 4)
        with pytest.raises(SpaceError, match=r"depth: 4 is not an option of table; accepted: \[1, 2, 3\]"):
            table.quality(deep, Split.VALIDATION)

    @pytest.mark.parametrize(
        ("change", "devices", "says"),
        [
            ({}, ["fridge"], "lacks fridge:latency_ms; its devices: phone, server"),
            ({"header": HEADER.replace("perplexity", "loss")}, ["phone"], "lacks perplexity"),
            ({"width": 15}, ["phone"], "width 15 cannot be split into 2 heads"),
            ({"rows": 0}, ["phone"], "at least one row"),
        ],
    )
    def test_a_table_that_no_job_could_run_on_says_why(self, tmp_path, change, devices, says):
        with pytest.raises(InvalidSpec, match=says):
            load_replay(written(tmp_path / "bad.csv.gz", **change), devices)


def test_a_job_finds_the_same_on_any_number_of_processes_and_nearly_the_exact_front(tmp_path, table):
    fronts = []
    for processes in (1, 5):
        home = tmp_path / str(processes)
        with closing(open_store(home)) as store:
            job = run(store, home, table, spec(table, 60), processes=processes, seconds=straggling)
            assert job.status is JobStatus.SUCCEEDED
            fronts.append(front(store, job))
            members = [p.architecture for p in store.points(job.id) if p.on_front]
    assert fronts[0] == fronts[1]
    for device in DEVICES:
        assert table.share(device, members) > 0.95


def test_what_fails_is_left_out(tmp_path, table):
    with closing(open_store(tmp_path)) as store:
        job = run(store, tmp_path, table, spec(table), failures=0.2)
        assert job.status is JobStatus.SUCCEEDED
        notes = [event.message for event in store.events(job.id)]
        assert any("failed" in note for note in notes)
        assert any("could not measure" in note for note in notes)
        found = front(store, job)
        assert found
        assert all(np.isfinite([validation, *latency]).all() for validation, _, *latency in found.values())


@pytest.mark.skipif(not HWGPT.is_dir(), reason=f"no HW-GPT-Bench tables in {HWGPT}")
def test_a_job_on_hw_gpt_bench(tmp_path):
    replay = load_replay(HWGPT / "gpt_s.csv.gz", ["a100", "v100"])
    with closing(open_store(tmp_path)) as store:
        job = run(store, tmp_path, replay, spec(replay, 60, "default", measurements=24), processes=5)
        assert job.status is JobStatus.SUCCEEDED
        members = [p.architecture for p in store.points(job.id) if p.on_front]
        shares = {device: replay.share(device, members) for device in replay.latency_ms}
        random = replay.space.decode(replay.space.sample(66, np.random.default_rng(0)))
    for device, share in shares.items():
        assert share > max(0.9, replay.share(device, random))


@pytest.mark.skipif(not HWGPT.is_dir(), reason=f"no HW-GPT-Bench tables in {HWGPT}")
def test_a_table_whose_heads_do_not_split_its_widths_is_refused():
    with pytest.raises(InvalidSpec, match="width 256 cannot be split into 12 heads"):
        load_replay(HWGPT / "gpt_m.csv.gz", ["a100"])
