"""Problems by name, the simulated cluster, and the comparison of strategies."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import moocore
import numpy as np
import pytest

from nas.bench import Simulation, load_benchmark, run_search_bench
from nas.errors import InvalidSpec
from nas.strategies import get_strategy

SHARED = Path(__file__).resolve().parents[4] / "shared"
HWGPT = SHARED / "data" / "hwgpt" / "gpt_s.csv.gz"

MODULE = """
import numpy as np
CARD = np.array([3, 2, 2, 2, 2])
NAMES = ["depth", "mixer_0", "ratio_0", "mixer_1", "ratio_1"]
IDEAL, NADIR = np.array([0.0, 0.0]), np.array([10.0, 10.0])
def canonical(X):
    X = np.array(X, copy=True)
    X[:, 3:] *= X[:, :1] > 0
    return X
def evaluate(X):
    cost = X.sum(1)
    return np.stack([8.0 - cost + 0.1 * X[:, 1], 1.0 + cost], 1)
"""

TABLE = """embed_dim,n_layer,n_head,mlp_ratio,bias,perplexity,toy:latency_ms
64,2,2-4,1-2,0,30.0,1.0
64,3,2-4-4,1-2-2,0,20.0,2.0
128,3,4-4-4,2-2-2,1,10.0,4.0
128,2,4-4,2-2,1,25.0,3.0
128,2,4-4,1-2,1,,3.5
"""


@pytest.fixture
def module(tmp_path) -> str:
    path = tmp_path / "toy.py"
    path.write_text(MODULE)
    return str(path)


@pytest.fixture
def table(tmp_path) -> str:
    path = tmp_path / "toy.csv.gz"
    path.write_bytes(gzip.compress(TABLE.encode()))
    return f"{path}:toy"


class TestProblems:
    def test_a_module(self, module):
        bench = load_benchmark(module)
        assert bench.problem.encoding.layer_genes.tolist() == [[1, 2], [3, 4]]
        rows = bench.problem.encoding.sample(20, np.random.default_rng(0))
        assert np.array_equal(bench.problem.known(rows), bench.evaluate(rows)[:, 1:])
        assert load_benchmark(module, known=False).problem.expensive == [0, 1]

    def test_a_table_holds_its_measured_rows_only(self, table):
        bench = load_benchmark(table)
        encoding = bench.problem.encoding
        pool = encoding.enumerate(100)
        assert len(pool) == 4
        assert np.array_equal(encoding.canonical(pool), pool)
        values = bench.evaluate(pool)
        assert sorted(values[:, 0]) == [10.0, 20.0, 25.0, 30.0]
        anything = (np.random.default_rng(0).random((50, encoding.genes)) * encoding.cardinalities).astype(
            int
        )
        assert (
            encoding.canonical(anything).tolist() == encoding.canonical(encoding.canonical(anything)).tolist()
        )
        assert {tuple(row) for row in encoding.canonical(anything)} <= {tuple(row) for row in pool}
        assert bench.best == pytest.approx(((30 - 20) * (4 - 2)) / (20 * 3))

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("nowhere.py", "no Python file"),
            ("nothing.at.all", "accepted"),
            ("json", "lacks CARD"),
            ("x.csv", "x.csv"),
        ],
    )
    def test_unknown_names_say_what_is_accepted(self, name, says):
        with pytest.raises(InvalidSpec, match=says):
            load_benchmark(name)

    def test_an_unknown_device_names_those_there_are(self, table):
        with pytest.raises(InvalidSpec, match="devices: toy"):
            load_benchmark(table.replace(":toy", ":phone"))

    @pytest.mark.skipif(not HWGPT.is_file(), reason="no ../shared/data here")
    def test_a_shipped_table(self):
        bench = load_benchmark(f"{HWGPT}:a100")
        assert len(bench.problem.encoding.enumerate(20_000)) == 10_000
        assert 0.6 < bench.best < 0.7


ODD = """
import numpy as np
CARD = np.array([1, 6, 1, 5, 4, 2])
NAMES = ["fixed", "b", "also fixed", "c", "d", "e"]
IDEAL, NADIR = np.zeros(3), np.array([9.0, 30.0, 8.0])
def canonical(X):
    return np.array(X, copy=True)
def evaluate(X):
    X = np.asarray(X)
    size = X.sum(1)
    loss = 8.0 / (1.0 + X[:, 1] * X[:, 3]) + 0.2 * X[:, 4]
    loss = np.where(size == 7, np.nan, loss)
    return np.stack([loss, 1.0 + size + X[:, 1] ** 2, 4.0 - X[:, 4] + X[:, 5]], 1)
"""
# Three objectives, genes without a choice, no layers, a space of 240 models, and a seventh of them fail.


@pytest.mark.parametrize("name", ["default", "evolution", "local", "optuna-nsga2"])
def test_a_problem_never_seen(tmp_path, monkeypatch, name):
    (tmp_path / "odd_problem.py").write_text(ODD)
    monkeypatch.syspath_prepend(tmp_path)
    bench = load_benchmark("odd_problem")
    everything = bench.problem.encoding.enumerate(1000)
    values = bench.evaluate(everything)
    front = moocore.filter_dominated(values[np.isfinite(values).all(1)])
    best = moocore.hypervolume(front, ref=bench.reference) / bench.volume
    result = run_search_bench("odd_problem", [name], budgets=[60, 300], seeds=1, batch=7)
    (run,) = result["strategies"][name]["runs"]
    assert run["evaluations"] == len(everything) == 240
    assert run["hypervolume"][-1] == pytest.approx(best)


def test_a_problem_named_as_an_attribute_of_a_module(tmp_path, monkeypatch):
    (tmp_path / "toy_problem.py").write_text(MODULE)
    (tmp_path / "named_problem.py").write_text(
        "from nas.bench import load_benchmark\nHERE = load_benchmark('toy_problem')\nOTHER = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load_benchmark("named_problem:HERE").name == "toy_problem"
    with pytest.raises(InvalidSpec, match="is a int; accepted"):
        load_benchmark("named_problem:OTHER")


def test_a_module_that_contradicts_itself_is_refused(tmp_path):
    (tmp_path / "bad.py").write_text(MODULE.replace("[0.0, 0.0]", "[0.0, 0.0, 0.0]"))
    with pytest.raises(InvalidSpec, match=r"evaluate gives \(2, 2\).*IDEAL has 3"):
        load_benchmark(str(tmp_path / "bad.py"))


class TestSimulation:
    def test_stragglers_hold_nobody_up(self, module):
        """One evaluation in five takes 20 times as long; asked one by one, no process waits for it."""
        bench = load_benchmark(module, known=False)
        durations = {"seconds": lambda rng: 20.0 if rng.random() < 0.2 else 1.0}
        loose = Simulation(bench, processes=4, batch=1, **durations).run(
            get_strategy("random")(bench.problem), 20
        )
        tied = Simulation(bench, processes=4, batch=4, **durations).run(
            get_strategy("random")(bench.problem), 20
        )
        assert len(loose.population) == len(tied.population) == 20
        assert loose.finished[-1] < tied.finished[-1]
        assert (np.diff(loose.finished) >= 0).all()
        assert loose.idle < tied.idle

    def test_ends_where_the_space_does(self, module):
        bench = load_benchmark(module)
        models = len(bench.problem.encoding.enumerate(1000))
        trace = Simulation(bench, processes=3).run(get_strategy("evolution")(bench.problem), 1000)
        assert len(trace.population) == len(np.unique(trace.population, axis=0)) == models

    def test_failures_are_told_as_nan(self, module):
        bench = load_benchmark(module)
        trace = Simulation(bench, failures=0.5).run(get_strategy("default")(bench.problem), 25)
        assert 3 < np.isnan(trace.values).all(1).sum() < 22

    def test_same_seed_same_trace(self, module):
        bench = load_benchmark(module)
        runs = [
            Simulation(bench, processes=3, noise=0.1, failures=0.2).run(
                get_strategy("default")(bench.problem), 22, 5
            )
            for _ in range(2)
        ]
        assert np.array_equal(runs[0].population, runs[1].population)
        assert np.array_equal(runs[0].values, runs[1].values, equal_nan=True)


class TestBench:
    def test_answers_with_plain_data(self, module):
        result = run_search_bench(module, ["random", "evolution"], budgets=[20, 5], seeds=2)
        assert json.loads(json.dumps(result)) == result
        assert result["budgets"] == [5, 20]
        for name in ("random", "evolution"):
            runs = result["strategies"][name]["runs"]
            assert [run["evaluations"] for run in runs] == [20, 20]
            assert all(low <= high for low, high in (run["hypervolume"] for run in runs))

    def test_names_every_mistake_at_once(self):
        with pytest.raises(InvalidSpec) as caught:
            run_search_bench("nowhere.py", ["hope"], budgets=[], seeds=0)
        assert [p.path for p in caught.value.problems] == ["strategies", "budgets", "seeds", "problem"]

    def test_the_default_is_ahead_of_evolution_and_evolution_of_chance(self):
        """A short form of `benchmarks/search.py`; the margins are several times their spread."""
        result = run_search_bench(
            "synthetic", ["default", "evolution", "random"], budgets=[60], seeds=1, batch=10
        )
        volume = {name: found["median"][0] for name, found in result["strategies"].items()}
        assert volume["default"] > volume["random"] + 0.06
        assert volume["default"] > volume["evolution"] + 0.04


def test_an_objective_that_raises_is_a_failed_evaluation(tmp_path):
    path = tmp_path / "raising.py"
    raising = MODULE + '    if (cost % 4 == 1).any():\n        raise RuntimeError("no such thing")\n'
    path.write_text(
        raising.replace("    return np.stack([8.0", "    values = np.stack([8.0") + "    return values\n"
    )
    result = run_search_bench(str(path), ["random", "default", "evolution"], budgets=(20,), seeds=1)
    (run,) = result["strategies"]["random"]["runs"]
    assert 0 < run["failed"] < run["evaluations"] == 20
    assert run["hypervolume"][0] > 0
    assert result["error"] == "RuntimeError('no such thing')"
