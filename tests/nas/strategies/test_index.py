"""The table of known candidates, against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.strategies.index import ABSENT, KeyIndex

# Few values of the bits that choose a slot, so that keys contend for them.
KEYS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3).map(lambda low: low << 24 | low)


@given(st.lists(st.lists(KEYS, max_size=60), max_size=6), st.lists(KEYS, max_size=40))
@settings(max_examples=100, deadline=None)
def test_numbers_keys_as_a_dictionary_would(batches, others):
    index, numbers = KeyIndex(), {}
    for batch in batches:
        new = [key for key in dict.fromkeys(batch) if key not in numbers]
        index.add(np.array(new, np.int64))
        numbers |= {key: len(numbers) + i for i, key in enumerate(new)}
        asked = np.array(list(numbers) + others, np.int64)
        assert index.find(asked).tolist() == [numbers.get(key, ABSENT) for key in asked.tolist()]
        assert len(index) == len(numbers)


def test_grows_to_many_keys():
    keys = np.unique(np.random.default_rng(0).integers(2**62, size=50_000)) * 2
    index = KeyIndex()
    for batch in np.array_split(keys, 7):
        index.add(batch)
    assert np.array_equal(index.find(keys), np.arange(len(keys)))
    assert (index.find(keys + 1) == ABSENT).all()
