"""Examples of a user's own, each with a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from nas.tasks.classification import ClassificationTask
from nas.tasks.data.examples import Dataset
from nas.tasks.data.shifts import shifted
from nas.tasks.data.users import examples_of_users
from nas.tasks.task import DataFiles, TaskOptions, register_task
from searchspaces.numbers import NO_TRUTH

__all__ = ["Classify", "ClassifyOptions"]

Fraction = Annotated[float, NO_TRUTH, Field(gt=0, le=0.5)]
Size = Annotated[int, NO_TRUTH, Field(gt=0, lt=2**20)]


class ClassifyOptions(TaskOptions):
    """Options of the task `classify`.

    Attributes:
        path: a folder with a folder of PNG images for each class; an .npz file with x, (n, C, H, W) images,
            (n, C, N) or (n, N) series, and y, (n,) whole numbers from 0 or texts; or a .csv file of numbers
            with a column of classes.
        label: that column, by its header; the last one where absent.
        shape: [channels, length] or [channels, height, width] that each example's numbers are.
        validation_fraction, test_fraction: of each class: what is tested on, and of the rest what the search
            sees.
        shift: pixels by which training images are moved at most, at random, along each side.
    """

    path: Annotated[str, DataFiles()]
    label: str | None = None
    shape: tuple[Size, Size] | tuple[Size, Size, Size] | None = None
    validation_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.2
    shift: Annotated[int, NO_TRUTH, Field(ge=0, le=64)] = 0

    @field_validator("path", mode="before")
    @classmethod
    def _a_list_of_one(cls, value: Any) -> Any:
        """Services that others share hand paths on as lists."""
        one = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1
        return value[0] if one else value


@register_task("classify")
class Classify(ClassificationTask):
    """Images, series or rows of numbers that a user brings. Nothing in a file is unpickled.

    Numbers are read as they are and standardised channel by channel, as training does.
    """

    description = "Your own examples (path): a folder of PNG images a class, an .npz file, or a .csv file."
    options_model = ClassifyOptions
    options: ClassifyOptions

    def read(self) -> Dataset:
        """See the class."""
        options = self.options
        classes, examples = examples_of_users(Path(options.path).expanduser(), options.label, options.shape)
        return Dataset.divided(classes, examples, options.validation_fraction, options.test_fraction)

    def identity(self) -> dict[str, Any]:
        """The examples' own digests in place of where they lie."""
        return {name: value for name, value in super().identity().items() if name != "path"}

    def varied(self, inputs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Images moved by up to `shift` pixels."""
        return shifted(inputs, self.options.shift, rng) if inputs.ndim == 4 else inputs
