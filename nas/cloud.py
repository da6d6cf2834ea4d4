"""Every evaluated candidate of a job as columns of numbers: what a chart draws, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.objectives.objective import Key

__all__ = ["Cloud", "digest_numbers", "single_precision"]

DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """n candidates in the order in which they first came: 8 bytes a digest and 4 a value, where a document
    of points takes some 800 a candidate.

    Attributes:
        digests: (n,) of ``uint64``, each the number that a digest's 16 hexadecimal digits write.
        columns: by objective (n,) of ``float32``: measured where it was, else predicted or counted; NaN where
            it is unknown.

    Raises:
        ValueError: the columns are not of one length.
    """

    digests: NDArray[np.uint64]
    columns: Mapping[Key, NDArray[np.float32]]

    def __post_init__(self) -> None:
        lengths = {len(self.digests), *map(len, self.columns.values())}
        if len(lengths) > 1:
            raise ValueError(f"columns of {sorted(lengths)} candidates")

    def __len__(self) -> int:
        return len(self.digests)

    def digest(self, row: int) -> str:
        """Of one candidate, as it is written everywhere else."""
        return f"{int(self.digests[row]):0{DIGEST_DIGITS}x}"

    def part(self, start: int, stop: int) -> Cloud:
        """Rows from `start` up to, and without, `stop`."""
        return Cloud(self.digests[start:stop], {key: c[start:stop] for key, c in self.columns.items()})

    def worst(self, key: Key, others: Sequence[Key], sign: int) -> Cloud:
        """With the worst of other columns, wherever one of them is known, in place of what a column says, and
        without these.

        Args:
            sign: 1 where larger values are worse, −1 where smaller ones are.
        """
        columns = {each: column for each, column in self.columns.items() if each not in others}
        if others:
            worst = sign * np.fmax.reduce([sign * self.columns[each] for each in others])
            columns[key] = np.where(np.isnan(worst), columns[key], worst)
        return Cloud(self.digests, columns)

    @classmethod
    def joined(cls, parts: Sequence[Cloud]) -> Cloud:
        """One behind the other; all have the same columns."""
        keys = list(parts[0].columns)
        digests = np.concatenate([part.digests for part in parts])
        return cls(digests, {key: np.concatenate([part.columns[key] for part in parts]) for key in keys})


def digest_numbers(digests: Iterable[str]) -> NDArray[np.uint64]:
    """(n,) the numbers that the digests write."""
    joined = bytes.fromhex("".join(digests))
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64)


def single_precision(values: Sequence[float | None]) -> NDArray[np.float32]:
    """(n,) of a column; NaN for None, infinite where a value is beyond what 4 bytes hold."""
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(np.float32)
