"""What strategies are built of: ranking, variation, the history, the archive."""

from __future__ import annotations

import json

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.objectives import Direction, Objective, Source
from nas.problem import SearchProblem
from nas.strategies.archive import Archive
from nas.strategies.dominance import best_first, constrained_rank, crowding
from nas.strategies.history import History
from nas.strategies.plain import generator_from, generator_state, pack, unpack
from nas.strategies.variation import Variation, mates
from searchspaces.encoding import Encoding, Population

DEPTHS = np.array([1, 2, 4])


def layered() -> Encoding:
    """Width, depth of 1, 2 or 4, and four layers of three genes."""

    def canonical(rows: Population) -> Population:
        layers = rows[:, 2:].reshape(len(rows), 4, 3)
        layers[np.arange(4) >= DEPTHS[rows[:, 1], None]] = 0
        rows[:, 2:] = layers.reshape(len(rows), 12)
        return rows

    names = ["width", "depth", *(f"{gene}_{i}" for i in range(4) for gene in "abc")]
    return Encoding([2, 3] + [5, 1, 4] * 4, names, 2 + np.arange(12).reshape(4, 3), canonical)


def two(bound: float | None = None, direction: Direction = Direction.MIN) -> SearchProblem:
    objectives = (
        Objective("quality", "nats", direction, Source.EVALUATED),
        Objective("latency_ms", "ms", source=Source.PREDICTED, bound=bound),
    )
    return SearchProblem(layered(), objectives)


tables = arrays(
    float, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 6).map(float)
)


class TestRanking:
    @given(tables, st.data())
    def test_constraint_domination(self, values, data):
        """Deb's definition, pair by pair: a better rank is never held by the dominated one."""
        violation = data.draw(
            arrays(float, len(values), elements=st.sampled_from([0.0, 0.0, 1.0, 2.0, np.inf]))
        )
        rank = constrained_rank(values, violation)
        for i in range(len(values)):
            for j in range(len(values)):
                both = violation[i] == violation[j] == 0
                dominates = (
                    (values[i] <= values[j]).all() and (values[i] < values[j]).any()
                    if both
                    else violation[i] < violation[j]
                )
                if dominates:
                    assert rank[i] < rank[j]

    @given(tables)
    def test_best_first_is_a_prefix_of_the_whole_order_by_rank(self, values):
        rank = constrained_rank(values, np.zeros(len(values)))
        whole = best_first(values, np.zeros(len(values)))
        assert sorted(whole) == list(range(len(values)))
        assert (np.diff(rank[whole]) >= 0).all()
        few = best_first(values, np.zeros(len(values)), 3)
        assert sorted(rank[few]) == sorted(rank[whole[:3]])

    def test_crowding_prefers_extremes_then_the_lonely(self):
        values = np.array([[0.0, 10.0], [1.0, 9.0], [1.5, 8.5], [6.0, 3.0], [10.0, 0.0]])
        distance = crowding(values, np.zeros(5, np.int64))
        assert np.isinf(distance[[0, 4]]).all()
        assert distance[3] > distance[2]
        assert distance[3] == pytest.approx(1.7, rel=1e-5)


class TestVariation:
    @given(st.integers(0, 2**32 - 1))
    @settings(max_examples=30)
    def test_children_are_canonical_and_made_of_their_parents_and_mutations(self, seed):
        encoding, rng = layered(), np.random.default_rng(seed)
        first, second = encoding.sample(50, rng), encoding.sample(50, rng)
        pairs = np.arange(100).reshape(2, 50)
        children = Variation(encoding).children(np.concatenate([first, second]), pairs, rng)
        assert (children < encoding.cardinalities).all()
        assert (children >= 0).all()
        assert np.array_equal(encoding.canonical(children), children)
        crossed = Variation(encoding, crossover=1.0).cross(first, second, rng)
        units = [[0], [1], *encoding.layer_genes.tolist()]
        for unit in units:
            a, b, child = (x[:, unit] for x in (first, second, crossed))
            assert ((child == a).all(1) | (child == b).all(1)).all()

    def test_moving_layers_keeps_the_layers_that_there_are(self):
        encoding, rng = layered(), np.random.default_rng(0)
        rows = encoding.sample(400, rng)
        moved = encoding.canonical(Variation(encoding).move_layers(rows, rng))
        assert not np.array_equal(rows, moved)
        for before, after in zip(rows, moved, strict=True):
            had = {tuple(layer) for layer in before[2:].reshape(4, 3)}
            has = {tuple(layer) for layer in after[2:].reshape(4, 3)}
            assert has - {(0, 0, 0)} <= had

    def test_inserting_and_deleting_change_the_depth(self):
        encoding, rng = layered(), np.random.default_rng(0)
        rows = encoding.canonical(np.tile([0, 1, *[1, 0, 1] * 4], (400, 1)))
        moved = Variation(encoding).move_layers(rows, rng)
        assert set(moved[:, 1]) == {0, 1}  # 2 layers: one fewer exists, three do not

    def test_mutation_changes_present_genes_only(self):
        encoding, rng = layered(), np.random.default_rng(0)
        rows = encoding.canonical(np.tile([0, 0, *[0] * 12], (500, 1)))  # a single layer
        mutated = Variation(encoding, mutations=3.0).mutate(rows, rng)
        assert (mutated[:, 5:] == 0).all()
        assert (mutated < encoding.cardinalities).all()
        assert (mutated != rows).any(1).mean() > 0.8

    def test_mates_are_near_in_an_objective(self):
        rng = np.random.default_rng(0)
        values = np.stack([np.arange(1000.0), -np.arange(1000.0)], 1)
        first, second = mates(values, 5000, rng)
        assert np.median(abs(values[first, 0] - values[second, 0])) < 40
        assert np.median(first) < 400


class TestHistory:
    def test_finds_rows_exactly_however_many(self):
        encoding, rng = Encoding([300] * 6, list("abcdef")), np.random.default_rng(0)
        rows = np.unique(encoding.sample(5000, rng), axis=0)
        history = History(encoding, 1)
        assert len(history.claim(np.concatenate([rows, rows]), 10**6)) == len(rows)
        assert len(history.fresh(rows)) == 0
        positions = history.tell(rows[::-1], np.arange(len(rows))[:, None])
        assert np.array_equal(history.rows(positions), rows[::-1])
        assert np.array_equal(history.values_at(positions)[:, 0], np.arange(len(rows)))
        assert len(history.pending) == 0

    def test_telling_again_replaces(self):
        history = History(Encoding([3], ["a"]), 1)
        history.tell(np.array([[1], [2]]), np.array([[1.0], [2.0]]))
        history.tell(np.array([[1]]), np.array([[5.0]]))
        assert history.population.tolist() == [[1], [2]]
        assert history.values.tolist() == [[5.0], [2.0]]
        assert len(history) == 2

    def test_a_row_is_open_until_it_is_asked_or_told_at_that_fidelity(self):
        history = History(Encoding([9], ["a"]), 1, (0.25, 0.5, 1.0))
        rows = np.array([[1], [2], [3]])
        assert len(history.claim(rows, 3, levels=np.array([0, 0, 1]))) == 3
        history.tell(rows, np.array([[1.0], [2.0], [3.0]]), np.array([0, 0, 1]))
        assert history.claim(rows, 3, levels=np.array([0, 1, 1])).tolist() == [[2]]
        assert history.pending.tolist() == [[2]]
        assert history.asked(rows).tolist() == [0, 1, 1]
        assert history.claim(rows, 3).tolist() == [[1], [2], [3]]
        history.tell(rows[:1], np.array([[9.0]]))
        assert history.population.tolist() == [[1]]
        assert history.values_at(np.array([0, 0]), np.array([0, 2])).tolist() == [[1.0], [9.0]]
        assert [part.tolist() for part in history.highest] == [[0, 1, 2], [2, 0, 1]]

    def test_claims_as_much_as_can_be_paid(self):
        history = History(Encoding([9], ["a"]), 1, (0.3, 1.0))
        rows = np.arange(6)[:, None]
        assert len(history.claim(rows, 6, left=0.9, levels=np.zeros(6, np.int64))) == 3
        assert history.claim(rows, 6, left=1.0).tolist() == [[0]]

    def test_folds_told_rows_to_their_model(self):
        encoding = layered()
        history = History(encoding, 1)
        history.tell(np.array([[0, 0, *[3, 0, 3] * 4]]), np.zeros((1, 1)))
        assert len(history.fresh(encoding.canonical([[0, 0, *[3, 0, 3] * 4]]))) == 0


class TestArchive:
    @given(tables.filter(lambda x: x.shape[1] == 2), st.integers(1, 7))
    def test_equals_the_front_of_everything(self, values, step):
        problem = two()
        population = np.zeros((len(values), 14), np.int64)
        archive = Archive(problem)
        for start in range(0, len(values), step):
            archive.add(population[start : start + step], values[start : start + step])
        expected = moocore.filter_dominated(values)
        assert {tuple(v) for v in archive.values} == {tuple(v) for v in expected}
        assert archive.hypervolume([9, 9]) == pytest.approx(moocore.hypervolume(values, ref=[9, 9]))

    def test_keeps_the_nearest_while_a_bound_is_not_met(self):
        archive = Archive(two(bound=1.0))
        population = np.zeros((3, 14), np.int64)
        archive.add(population, np.array([[1.0, 4.0], [2.0, 3.0], [np.nan, 0.5]]))
        assert not archive.feasible
        assert archive.values.tolist() == [[2.0, 3.0]]
        assert archive.hypervolume([9, 9]) == 0.0
        archive.add(population[:1], np.array([[7.0, 1.0]]))
        assert archive.feasible
        assert archive.values.tolist() == [[7.0, 1.0]]

    def test_directions(self):
        archive = Archive(two(direction=Direction.MAX))
        archive.add(np.zeros((2, 14), np.int64), np.array([[0.9, 1.0], [0.8, 2.0]]))
        assert archive.values.tolist() == [[0.9, 1.0]]
        assert archive.hypervolume([0.0, 3.0]) == pytest.approx(1.8)


class TestPlain:
    @given(arrays(float, st.tuples(st.integers(0, 5), st.integers(0, 3))))
    def test_arrays_survive_json_exactly(self, array):
        again = unpack(json.loads(json.dumps(pack(array), allow_nan=False)))
        assert again.dtype == array.dtype
        assert np.array_equal(again, array, equal_nan=True)

    def test_generators_go_on_where_they_stood(self):
        rng = np.random.Generator(np.random.PCG64(3))
        rng.random(7)
        rng.integers(0, 5, 3)  # leaves half a draw buffered
        again = generator_from(json.loads(json.dumps(generator_state(rng))))
        assert np.array_equal(rng.integers(0, 2**20, 9), again.integers(0, 2**20, 9))


class TestEncoding:
    def test_active_layers_are_found_by_asking_canonical(self):
        encoding = layered()
        rows = encoding.sample(200, np.random.default_rng(0))
        assert np.array_equal(encoding.active_layers(rows).sum(1), DEPTHS[rows[:, 1]])
        assert np.array_equal(encoding.count_layers(rows), DEPTHS[rows[:, 1]])

    def test_enumerates_each_model_once(self):
        def canonical(rows: Population) -> Population:
            rows[:, 1] *= rows[:, 0]
            return rows

        encoding = Encoding([2, 3], ["a", "b"], canonical=canonical)
        assert encoding.enumerate(6).tolist() == [[0, 0], [1, 0], [1, 1], [1, 2]]
        assert encoding.enumerate(5) is None
