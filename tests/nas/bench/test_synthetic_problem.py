"""The search problem that ships: its formulas by a slow form of them, and what is known of its best front."""

from __future__ import annotations

import numpy as np
import pytest

from nas.bench import load_benchmark, synthetic
from nas.bench.synthetic import CARD, DEPTHS, LAYERS, NONE, SPARSE, WIDTHS, WINDOW, canonical, evaluate
from nas.strategies.archive import Archive
from nas.strategies.evolution import EvolutionStrategy

RNG = np.random.default_rng(0)
ROWS = (RNG.random((500, len(CARD))) * CARD).astype(np.int64)


def slowly(row: np.ndarray) -> tuple[float, float]:
    """(loss, ms) of one model, layer by layer."""
    width, depth = int(row[-2]), DEPTHS[row[-1]]
    layers = row[:-2].reshape(LAYERS, 4)[:depth]
    us, capacity, recall, reach, pairs = float(synthetic.ENDS_US[width]), 0.0, 0.0, 0.0, 0.0
    for number, (mixer, window, heads, ratio) in enumerate(layers):
        window = window if mixer in (WINDOW, SPARSE) else 0
        heads = 0 if mixer == NONE else heads
        block = ((mixer * 5 + window) * 3 + heads) * 4 + ratio
        where = (number + 0.5) / depth
        us += synthetic.BLOCK_US[width, block]
        capacity += synthetic.BLOCK_CAPACITY[width, block] * (0.75 + 0.5 * np.sin(np.pi * where))
        recall += synthetic.BLOCK_RECALL[block] * np.exp(-(((where - 0.7) / 0.2) ** 2))
        reach += synthetic.BLOCK_REACH[block]
        if number:
            below = layers[number - 1]
            us += synthetic.LAYOUTS[below[0], mixer] * synthetic.PASS_US[width]
            pairs += synthetic.SYNERGY[below[0], mixer]
            pairs += synthetic.GUESS[number - 1, below[0] * 4 + below[3], mixer * 4 + ratio]
    kinds = {int(mixer) for mixer in layers[:, 0]} - {NONE}
    loss = 1.95 + 2.2 / np.sqrt(1 + capacity) - 0.25 * (1 - np.exp(-1.1 * recall))
    loss += 0.14 * np.exp(-1.6 * reach) - 0.02 * min(max(len(kinds) - 1, 0), 2)
    loss += 0.015 * np.log(WIDTHS[width] / (32 * depth)) ** 2 + 0.05 * (layers[0, 0] == NONE)
    return loss + pairs, us / 1000


def test_values_are_those_of_the_slow_form() -> None:
    assert evaluate(ROWS) == pytest.approx(np.array([slowly(row) for row in ROWS]), rel=1e-12)


def test_every_code_of_one_model_is_one_row_with_one_value() -> None:
    folded = canonical(ROWS)
    assert np.array_equal(canonical(folded), folded)
    assert np.array_equal(evaluate(folded), evaluate(ROWS))
    # Whatever stands in inactive genes: a row in which all of them are drawn anew is the same model.
    inactive = (folded == 0) & (canonical(np.where(folded == 0, 1, folded) * (CARD > 1)) == 0)
    other = np.where(inactive, (RNG.random(ROWS.shape) * CARD).astype(np.int64), folded)
    assert (other != folded).any(1).all()
    assert np.array_equal(canonical(other), folded)


def test_values_do_not_move_between_versions() -> None:
    """Results of different versions are comparable only while they search the same problem."""
    rows = np.stack([np.zeros(50, np.int64), CARD - 1, np.arange(50) % CARD])
    assert evaluate(rows) == pytest.approx(np.array(VALUES), rel=1e-9)


VALUES = [
    [2.9644074714494524, 0.7404291413333334],
    [2.9166323112370383, 7.747771562666667],
    [2.3338763687887742, 5.5895649792],
]


def test_the_best_known_front_is_far_and_nothing_is_beyond_it() -> None:
    bench = load_benchmark("synthetic", known=False)
    assert bench.best is not None
    archive, strategy = Archive(bench.problem), EvolutionStrategy(bench.problem, 0, population=500)
    reached = []
    for _ in range(40):
        rows = strategy.ask(500)
        values = bench.evaluate(rows)
        strategy.tell(rows, values)
        archive.add(rows, values)
        reached.append(archive.hypervolume(bench.reference) / bench.volume / bench.best)
    assert reached[0] < 0.85
    assert 0.88 < reached[-1] <= 1.0
