"""A hash table that looks up whole populations at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ABSENT", "KeyIndex"]

Keys = NDArray[np.int64]
Indices = NDArray[np.int64]

ABSENT = -1
"""The number of a key that was not added."""


class KeyIndex:
    """Numbers distinct 64-bit keys 0, 1, … in the order in which they are added.

    Open addressing with linear probing (Knuth, 1973), vectorised over all keys: a Python dictionary takes
    longer for a thousand keys than evolution takes to make the thousand candidates.
    """

    def __init__(self) -> None:
        self._keys = np.empty(64, np.int64)
        self._count = 0
        self._slots = np.full(256, ABSENT, np.int32)

    def __len__(self) -> int:
        return self._count

    def find(self, keys: Keys) -> Indices:
        """(n,) the number of each key; `ABSENT` if it was not added."""
        slot = self._first_slots(keys)
        found = self._slots.take(slot)
        # Probing continues for keys whose slot is taken by another key.
        other = np.flatnonzero((found != ABSENT) & (self._keys.take(found) != keys))
        while len(other):
            slot[other] = step = (slot[other] + 1) & (len(self._slots) - 1)
            found[other] = number = self._slots.take(step)
            other = other[(number != ABSENT) & (self._keys.take(number) != keys[other])]
        return found.astype(np.int64)

    def add(self, keys: Keys) -> None:
        """Number new keys, all distinct."""
        start, self._count = self._count, self._count + len(keys)
        if self._count > len(self._keys):
            more = np.empty(max(self._count, 2 * len(self._keys)) - len(self._keys), np.int64)
            self._keys = np.concatenate([self._keys, more])
        self._keys[start : self._count] = keys
        if 4 * self._count > len(self._slots):
            self._slots = np.full(1 << (4 * self._count).bit_length(), ABSENT, np.int32)
            start = 0
        self._place(np.arange(start, self._count))

    def _place(self, numbers: Indices) -> None:
        slot = self._first_slots(self._keys[numbers])
        while len(numbers):
            free = np.flatnonzero(self._slots.take(slot) == ABSENT)
            self._slots[slot.take(free)] = numbers.take(free)
            # Of several keys that wrote to one slot, the last one is in it.
            left = np.flatnonzero(self._slots.take(slot) != numbers)
            numbers, slot = numbers.take(left), (slot.take(left) + 1) & (len(self._slots) - 1)

    def _first_slots(self, keys: Keys) -> NDArray[np.int64]:
        """The middle bits: those of a product that depend on most bits of its factors."""
        return (keys >> 24) & (len(self._slots) - 1)
