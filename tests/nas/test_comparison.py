import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.comparison import paired_difference

SCORES = st.lists(st.floats(-10, 10), min_size=2, max_size=40)


def test_what_makes_a_sequence_hard_for_both_drops_out() -> None:
    hard = np.linspace(1.0, 9.0, 30)
    difference = paired_difference(hard + 0.01, hard)
    assert difference.mean == pytest.approx(0.01)
    assert difference.standard_error < 1e-9
    assert difference.is_significant
    shuffled = paired_difference(hard + 0.01, hard[::-1])
    assert not shuffled.is_significant


def test_chance_is_called_a_difference_as_often_as_two_standard_errors_say() -> None:
    rng = np.random.default_rng(0)
    called = [
        paired_difference(rng.normal(size=50), rng.normal(size=50)).is_significant for _ in range(2_000)
    ]
    assert 0.03 < np.mean(called) < 0.07


@given(SCORES, st.floats(0, 1))
def test_it_is_antisymmetric_and_seeds_add_to_the_error(scores: list[float], deviation: float) -> None:
    other = scores[::-1]
    there, back = paired_difference(scores, other), paired_difference(other, scores)
    assert there.mean == pytest.approx(-back.mean, abs=1e-9)
    assert there.standard_error == pytest.approx(back.standard_error, abs=1e-9)
    wider = paired_difference(scores, other, deviation)
    assert wider.standard_error == pytest.approx(
        math.hypot(there.standard_error, math.sqrt(2) * deviation), abs=1e-9
    )


@pytest.mark.parametrize(("first", "second"), [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([], [])])
def test_what_cannot_be_paired_is_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference(first, second)
