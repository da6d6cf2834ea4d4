"""What sessions of measuring differ by, from models that were measured in two."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.analysis.sessions import FARTHEST, SESSION_ERROR, SessionError, session_error
from nas.store.store import Repeat
from tests.nas.store.memory_store import MemoryStore
from workers.measurement import Reading
from workers.target import Target

PHONE, BOARD = Target("phone"), Target("board")


class Repeats(MemoryStore):
    """A store of these pairs alone."""

    def __init__(self, pairs: Iterable[Repeat]) -> None:
        super().__init__()
        self._pairs = list(pairs)

    def repeats(self) -> list[Repeat]:
        return self._pairs


def pairs(target: Target, number: int, apart: float, within: float, seed: int = 0) -> list[Repeat]:
    """Of models that take 0.1 to 100 ms, in sessions that differ by so much."""
    rng = np.random.default_rng(seed)

    def taken(exact: float) -> Reading:
        latency = exact * math.exp(math.hypot(apart, within) * rng.standard_normal())
        return Reading(latency, within * latency)

    return [
        Repeat(target, str(n), taken(exact), taken(exact))
        for n, exact in enumerate(np.geomspace(0.1, 100, number).tolist())
    ]


def test_without_pairs_a_little_is_assumed() -> None:
    assert session_error(Repeats([]), PHONE) == SessionError(pytest.approx(SESSION_ERROR), 0)


@pytest.mark.parametrize("apart", [0.002, 0.03, 0.08])
@pytest.mark.parametrize("within", [0.001, 0.02])
def test_many_pairs_tell_what_sessions_differ_by_beyond_the_readings_own_errors(
    apart: float, within: float
) -> None:
    found = session_error(Repeats(pairs(PHONE, 2000, apart, within)), PHONE)
    assert found.pairs == 2000
    assert found.relative == pytest.approx(apart, rel=0.1, abs=0.003)


def test_few_pairs_are_drawn_to_what_is_known_of_other_targets() -> None:
    one = pairs(PHONE, 1, 0.0, 0.001)
    alone = session_error(Repeats(one), PHONE)
    beside = session_error(Repeats([*one, *pairs(BOARD, 200, 0.08, 0.001)]), PHONE)
    assert (alone.pairs, beside.pairs) == (1, 1)
    assert 0.008 < alone.relative < SESSION_ERROR
    assert 0.02 < beside.relative < 0.04
    unknown = session_error(Repeats(pairs(BOARD, 200, 0.08, 0.001)), PHONE)
    assert (unknown.pairs, unknown.relative) == (0, pytest.approx(math.sqrt(SESSION_ERROR * 0.08), rel=0.1))


def test_one_pair_that_contradicts_itself_is_no_more_than_far_apart() -> None:
    sane = pairs(PHONE, 20, 0.01, 0.001)
    wrong = Repeat(PHONE, "x", Reading(1e-300, 0.0), Reading(1e300, 1e300))
    likely = Repeat(PHONE, "x", Reading(1.0, 0.0), Reading(3.0, 0.0))
    found = session_error(Repeats([*sane, likely]), PHONE)
    assert found.relative < FARTHEST / math.sqrt(2 * (20 + 4)) + SESSION_ERROR
    assert session_error(Repeats([*sane, wrong]), PHONE).relative < 0.02  # by its own error it says nothing


@given(
    st.lists(
        st.tuples(*[st.floats(1e-300, 1e300), st.floats(0, 1e300)] * 2, st.sampled_from([PHONE, BOARD])),
        max_size=8,
    )
)
def test_it_is_finite_and_above_0_whatever_was_measured(
    found: list[tuple[float, float, float, float, Target]],
) -> None:
    repeats = [Repeat(t, "a", Reading(a, b), Reading(c, d)) for a, b, c, d, t in found]
    error = session_error(Repeats(repeats), PHONE)
    assert 0 < error.relative <= FARTHEST
