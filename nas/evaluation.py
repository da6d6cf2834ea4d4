"""Quality of one architecture with the weights of one supernet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from workers.target import Target

__all__ = ["SPLITS", "Conversion", "Evaluation", "Split"]

TRAINED_IN = "fp32"
"""The number format of weights as they are trained and stored."""


class Split(StrEnum):
    """Parts of a task's data that architectures are scored on."""

    VALIDATION = "validation"
    """What the search sees."""
    TEST = "test"
    """What only `verify` sees."""
    CALIBRATION = "calibration"
    """Training data on which replacements in a pretrained model are compared with it: the value is the
    divergence of their predictions in nats, whatever the task's metric."""


SPLITS = (Split.VALIDATION, Split.TEST)
"""Those by which a task scores."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What an engine makes of weights for a number format other than that of training.

    Attributes:
        runtime: name of the engine (`workers.runtimes`).
        dtype: the number format.
    """

    runtime: str
    dtype: str

    @classmethod
    def of(cls, target: Target) -> Conversion | None:
        """What a target runs; None where it computes in the number format of training."""
        return None if target.dtype == TRAINED_IN else cls(target.runtime, target.dtype)

    def __str__(self) -> str:
        return f"{self.runtime}/{self.dtype}"

    def weights(self, digest: str) -> str:
        """Digest that names converted weights, as `digest` names those that were converted."""
        return hashlib.sha256(f"{digest} {self}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One score.

    Attributes:
        supernet: digest of the supernet whose weights were used, or that names weights of another origin
            (trained alone; converted, see `Conversion.weights`).
        digest: of the architecture.
        split: validation or test.
        value: the task's metric on the whole split (or its stated, fixed part); NaN where it failed.
        seconds: wall time that it took.
        share: of the split's sequences that it was scored on: 1 for a whole evaluation, less for a cheaper
            one.
        sequences: the metric on each sequence of the split, in order; empty where it was not kept, or no
            number. With those of another model on the same split the difference of two models has a
            standard error (`nas.comparison`).
    """

    supernet: str
    digest: str
    split: Split
    value: float
    seconds: float
    share: float = 1.0
    sequences: tuple[float, ...] = ()
