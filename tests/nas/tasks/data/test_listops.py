"""Nested lists of digits: what they are worth, how long they are, and that they follow from the seed."""

import numpy as np
import pytest

from nas.tasks.data.listops import PADDING, VOCABULARY, ListOps

WORDS = ["", *map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]"]


def value_of(tokens: list[int]) -> int:
    """By Python's own evaluation of the expression that people write."""
    text = " ".join(WORDS[token] for token in tokens if token != PADDING)
    for name in ("MIN", "MAX", "MED", "SM"):
        text = text.replace(f"[{name}", f"{name}((")
    text = text.replace("]", "))")
    calls = {"MIN": min, "MAX": max, "MED": lambda xs: int(np.median(xs)), "SM": lambda xs: sum(xs) % 10}
    return int(eval(", ".join(text.split()).replace("((,", "((").replace(", ))", ",))"), calls))


def depth_of(tokens: list[int]) -> int:
    steps = [
        1 if token > 10 and token != VOCABULARY - 1 else -1 if token == VOCABULARY - 1 else 0
        for token in tokens
    ]
    return int(np.cumsum(steps).max())


@pytest.mark.parametrize("drawn", [ListOps(), ListOps(5, 3, 10, 60), ListOps(2, 2, 4, 9)])
def test_expressions_are_worth_what_python_says(drawn: ListOps) -> None:
    tokens, values = drawn.drawn((3, 1), 30)
    assert tokens.shape == (30, drawn.longest)
    assert 0 <= tokens.min() <= tokens.max() == VOCABULARY - 1
    assert [value_of(row) for row in tokens.tolist()] == values.tolist()
    lengths = (tokens != PADDING).sum(1)
    assert drawn.shortest <= lengths.min() <= lengths.max() <= drawn.longest
    assert max(depth_of(row) for row in tokens.tolist()) <= drawn.depth
    assert len(set(values.tolist())) > 3


def test_they_follow_from_the_seed() -> None:
    drawn = ListOps(5, 3, 10, 60)
    (first, values), (again, _), (other, _) = (drawn.drawn(seed, 5) for seed in ((1, 2), (1, 2), (1, 3)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert values.tolist() == [value_of(row) for row in first.tolist()]


def test_lengths_that_lists_do_not_have_are_an_error() -> None:
    with pytest.raises(ValueError, match="no list of at most 2 arguments, 1 deep, was 9 to 20 tokens long"):
        ListOps(2, 1, 9, 20).drawn((0,), 1)
