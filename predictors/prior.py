"""What is believed of a device's coefficients before it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from predictors.design import Design, Matrix
from predictors.errors import PredictorError
from searchspaces.costs import WORK

__all__ = ["Prior", "counted_prior"]

# Time of one unit of each column of WORK, in nanoseconds, of a single core of 2020: only the ratios matter
# (the scale is the device's own) and each may be wrong by the factor that RATE_DOUBT allows.
_RATES = {
    "matmul_macs": 0.02,
    "attention_macs": 0.03,
    "matmul_elements": 0.3,
    "attention_elements": 0.3,
    "elementwise_elements": 0.3,
    "gather_elements": 0.3,
    "weight_elements": 0.3,
    "calls": 2000.0,
}
RATE_DOUBT = 0.7
FAMILY_DOUBT = 0.25
TERM_DOUBT = 0.15
SCALE_DOUBT = 1.0
FAMILY_APART, TERM_APART = 2.0, 0.5
"""Relative standard deviations of a family, and of a term within it, on a device on which families deviate
for their own reasons."""


@dataclass(frozen=True)
class Prior:
    """A Gaussian over additive coefficients, up to the device's own scale.

    Coefficients are ``scale × (mean + N(0, covariance))`` with an unknown scale > 0 for each device.

    Attributes:
        names: (terms,) of the design that it belongs to.
        mean: (terms,) ≥ 0.
        covariance: (terms, terms), positive definite.
        noise: relative standard deviation of one measurement, a first guess.
        spread: factor by which ±1.645 standard deviations must grow to cover 90% of what is not yet
            measured, as devices known before showed; a first guess, soon outvoted by measurements.
        odds: beforehand, that it tells a new device better than counted work alone does, whose are 1: each
            known device is one vote.
    """

    names: tuple[str, ...]
    mean: NDArray[np.float64]
    covariance: Matrix
    noise: float = 0.02
    spread: float = 1.0
    odds: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "names": list(self.names),
            "mean": self.mean.tolist(),
            "covariance": self.covariance.tolist(),
            "noise": self.noise,
            "spread": self.spread,
            "odds": self.odds,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(
            tuple(data["names"]),
            np.asarray(data["mean"], float),
            np.asarray(data["covariance"], float),
            float(data["noise"]),
            float(data["spread"]),
            float(data["odds"]),
        )

    def toward(self, other: Self, share: float) -> Self:
        """Geometrically between two priors over the same terms: a share of the other's is believed."""
        mean = self.mean ** (1 - share) * other.mean**share
        own, others = (prior.covariance / np.outer(prior.mean, prior.mean) for prior in (self, other))
        return replace(
            other,
            mean=mean,
            covariance=np.outer(mean, mean) * ((1 - share) * own + share * others),
            odds=self.odds ** (1 - share) * other.odds**share,
        )

    def by_families(self, design: Design) -> Self:
        """With the same mean, of which each family of terms deviates far and for its own reasons, and
        each term somewhat by itself: a device whose engine does well at other blocks than is believed."""
        together = FAMILY_APART**2 * _same_family(design) + TERM_APART**2 * np.eye(len(self.mean))
        covariance = np.outer(self.mean, self.mean) * (SCALE_DOUBT**2 + together)
        return replace(self, covariance=covariance, odds=1.0)

    def check(self, design: Design) -> Self:
        """Itself, if it belongs to a design.

        Raises:
            PredictorError: its terms are not the design's.
        """
        if self.names != design.names:
            strange = sorted(set(self.names) ^ set(design.names))
            raise PredictorError(
                f"a prior over {len(self.names)} terms for a design of {len(design.names)}; "
                f"accepted: the design's own, in its order; in one of both only: {strange[:5]}"
            )
        return self


def counted_prior(design: Design) -> Prior:
    """The prior that needs no other device: coefficients follow counted work.

    Devices differ in what each kind of work costs (`RATE_DOUBT`), families of blocks in how well an
    implementation does (`FAMILY_DOUBT`), and single blocks in what nobody counted (`TERM_DOUBT`).
    """
    by_kind = design.work * np.array([_RATES[name] for name in WORK])
    mean = by_kind.sum(1)
    if not (mean > 0).all():
        idle = [name for name, value in zip(design.names, mean, strict=True) if not value > 0]
        raise PredictorError(f"terms without any counted work cannot have a prior: {idle[:5]}")
    outer = np.outer(mean, mean)
    covariance = (
        SCALE_DOUBT**2 * outer
        + RATE_DOUBT**2 * by_kind @ by_kind.T
        + FAMILY_DOUBT**2 * _same_family(design) * outer
        + TERM_DOUBT**2 * np.diag(mean**2)
    )
    return Prior(design.names, mean, covariance)


def _same_family(design: Design) -> Matrix:
    """(terms, terms) 1 where both are of one family, else 0."""
    family = np.array(design.families)
    same: Matrix = (family[:, None] == family[None, :]).astype(float)
    return same
