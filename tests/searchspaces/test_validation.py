"""What pydantic finds wrong is told with what is accepted there."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from searchspaces.validation import problems_of


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(_Closed):
    size: Annotated[int, Field(gt=0)]
    kind: str = Field(default="", alias="kind_of")


class Outer(_Closed):
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}
    even: list[int] = []

    @field_validator("even")
    @classmethod
    def _even(cls, value: list[int]) -> list[int]:
        if any(number % 2 for number in value):
            raise ValueError("an odd number; accepted: even ones")
        return value


def told(data: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(data)
    return list(map(str, problems_of(caught.value, Outer, "outer")))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"iner": {}}, "outer.iner: no such name; accepted: inner, several, named, even"),
        ({"inner": {"size": 1, "of": 2}}, "outer.inner.of: no such name; accepted: size, kind_of"),
        ({"several": [{"size": 1, "of": 2}]}, "outer.several.0.of: no such name; accepted: size, kind_of"),
        ({"named": {"a": {"size": 1, "of": 2}}}, "outer.named.a.of: no such name; accepted: size, kind_of"),
        ({"inner": {}}, "outer.inner.size: required"),
        ({"inner": {"size": 0}}, "outer.inner.size: Input should be greater than 0 (got 0)"),
        ({"even": [3]}, "outer.even: an odd number; accepted: even ones (got [3])"),
    ],
)
def test_a_problem_says_what_is_accepted(data: dict[str, Any], message: str) -> None:
    assert told(data) == [message]
