from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import TransferFailed
from workers.messages import ModelFile
from workers.models import CHUNK_BYTES, MAX_MODEL_BYTES, ModelCache, assemble, chunks, model_file


@given(size=st.sampled_from([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]))
def test_what_is_cut_is_put_together_again(size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    parts = list(chunks(data))
    assert all(0 < len(part) <= CHUNK_BYTES for part in parts)
    assert assemble(model_file(data), parts) == data


@given(data=st.binary(min_size=1, max_size=50), place=st.integers(0, 49), bit=st.integers(0, 7))
def test_one_wrong_bit_is_noticed(data: bytes, place: int, bit: int) -> None:
    damaged = bytearray(data)
    damaged[place % len(data)] ^= 1 << bit
    with pytest.raises(TransferFailed, match="damaged"):
        assemble(model_file(data), [bytes(damaged)])


def test_a_missing_piece_is_noticed() -> None:
    with pytest.raises(TransferFailed, match="3 of 6 bytes"):
        assemble(model_file(b"abcdef"), [b"abc"])


def test_more_than_announced_is_not_collected() -> None:
    taken = []

    def endless():  # type: ignore[no-untyped-def]
        while True:
            taken.append(1)
            yield b"abc"

    with pytest.raises(TransferFailed, match="longer than its 6 bytes"):
        assemble(model_file(b"abcdef"), endless())
    assert len(taken) == 3


def test_a_model_too_large_is_refused_before_it_is_fetched() -> None:
    with pytest.raises(TransferFailed, match="at most"):
        assemble(ModelFile("0" * 64, MAX_MODEL_BYTES + 1), iter(()))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=6, max_size=60))
def test_the_cache_keeps_the_most_recently_used_within_its_size(steps: list[tuple[int, bool]]) -> None:
    cache, recent = ModelCache(capacity_bytes=10), []  # room for three of 3 bytes
    for key, put in steps:
        name, data = str(key), bytes([key] * 3)
        if put:
            cache.put(name, data)
            if name not in recent:
                recent.append(name)
            del recent[:-3]
        else:
            found = cache.get(name)
            assert (found == data) == (name in recent)
            if found is not None:
                recent.remove(name)
                recent.append(name)
    assert [name for name in map(str, range(5)) if cache.get(name) is not None] == sorted(recent)


def test_a_model_larger_than_the_cache_displaces_nothing() -> None:
    cache = ModelCache(capacity_bytes=10)
    cache.put("small", b"12345")
    cache.put("large", bytes(11))
    assert cache.get("small") == b"12345"
    assert cache.get("large") is None
