"""What nested lists of digits are worth (ListOps; Nangia & Bowman, 2018)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from nas.errors import InvalidSpec
from nas.tasks.classification import ClassificationTask
from nas.tasks.data.examples import Dataset, Examples
from nas.tasks.data.listops import VOCABULARY, ListOps
from nas.tasks.task import Batch, TaskOptions, register_task
from searchspaces.errors import Problem
from searchspaces.form import Classes, Form, Tokens
from searchspaces.numbers import NO_TRUTH

__all__ = ["ListOpsOptions", "ListOpsTask"]

Depth = Annotated[int, NO_TRUTH, Field(ge=1, le=64)]
Length = Annotated[int, NO_TRUTH, Field(ge=4, le=16_384)]
Count = Annotated[int, NO_TRUTH, Field(ge=8, le=100_000)]


class ListOpsOptions(TaskOptions):
    """Options of the task `listops`; the defaults are those of Long Range Arena (Tay et al., 2021).

    Attributes:
        arguments: most of a list; it has two at least.
        depth: lists in lists, the outermost counted.
        shortest, longest: tokens of an expression; inputs are `longest` tokens with nothing after its end.
        examples: that each split is scored on. Those that are learned from are drawn afresh in every step.
    """

    arguments: Annotated[int, NO_TRUTH, Field(ge=2, le=64)] = 10
    depth: Depth = 10
    shortest: Length = 500
    longest: Length = 2000
    examples: Count = 1000

    @model_validator(mode="after")
    def _some_length_is_left(self) -> ListOpsOptions:
        if self.shortest > self.longest:
            raise ValueError(f"shortest {self.shortest}; accepted: at most longest, {self.longest}")
        return self


@register_task("listops")
class ListOpsTask(ClassificationTask):
    """MIN, MAX, MED and SM (the sum modulo 10) of nested lists of digits: which digit the whole is worth."""

    description = (
        "Nested lists such as [MAX 2 9 [MIN 4 7 ] 0 ]: the digit that they are worth, of 500 to 2,000 tokens."
    )
    baseline = "always the commonest digit 0.18"
    options_model = ListOpsOptions
    options: ListOpsOptions

    @property
    def form(self) -> Form:
        """Of every token, whether it was drawn or not."""
        return Form(Tokens(VOCABULARY, self.options.longest), Classes(10))

    def read(self) -> Dataset:
        """What is scored. To learn from, `batch` draws; here are a few of the same."""
        parts = [self._drawn((number,), self.options.examples) for number in range(3)]
        return Dataset(tuple(map(str, range(10))), *parts)

    def batch(self, step: int, seed: int, batch: int, context: int) -> Batch:
        """B fresh expressions."""
        import torch

        # A number more than those of what is scored keeps them apart.
        drawn = self._drawn((3, seed, step), batch)
        return Batch(torch.from_numpy(drawn.inputs), torch.from_numpy(drawn.labels))

    def _drawn(self, seed: tuple[int, ...], count: int) -> Examples:
        options = self.options
        lists = ListOps(options.arguments, options.depth, options.shortest, options.longest)
        try:
            return Examples(*lists.drawn(seed, count))
        except ValueError as error:
            accepted = "a shorter shortest, a larger longest, more arguments or more depth"
            raise InvalidSpec([Problem("task.shortest", f"{error}; accepted: {accepted}")]) from error
