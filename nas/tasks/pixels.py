"""Digits as one long sequence (Long Range Arena's way with images; Tay et al., 2021)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nas.tasks.classification import ClassificationTask
from nas.tasks.data.digits import mnist
from nas.tasks.data.examples import Dataset, Examples
from nas.tasks.task import register_task
from searchspaces.form import Classes, Form, Tokens

__all__ = ["Pixels"]


@register_task("pixels")
class Pixels(ClassificationTask):
    """The images of `mnist`, a token of 256 grey values for each of 784 pixels, row by row."""

    description = "The digits of mnist as sequences of 784 grey values, one token a pixel."
    baseline = "as of mnist, which knows that pixels lie on a grid: support vectors 0.951"

    @property
    def form(self) -> Form:
        """Every grey value, whether it occurs or not."""
        return Form(Tokens(256, self.dataset.train.inputs.shape[1]), Classes(10))

    def read(self) -> Dataset:
        """See the class."""
        images = mnist()
        parts = (images.train, images.validation, images.test)
        return Dataset(images.classes, *map(_tokens, parts))


def _tokens(images: Examples) -> Examples:
    grey = np.rint(images.inputs * 255).astype(np.int64)
    return replace(images, inputs=grey.reshape(len(images), -1))
