"""What every part of a spec is made of: its base class, and the numbers that stand in it."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from searchspaces.numbers import NO_TRUTH

__all__ = ["Bound", "Count", "PositiveFloat", "PositiveInt", "Seed", "Share", "Size", "Space", "Spec"]

Seed = Annotated[int, NO_TRUTH, Field(ge=0, lt=2**63)]
"""What a database keeps and every generator takes."""

Count = Annotated[int, NO_TRUTH, Field(ge=0, lt=2**31)]
PositiveInt = Annotated[int, NO_TRUTH, Field(gt=0, lt=2**31)]
Size = Annotated[int, NO_TRUTH, Field(gt=0, le=2**20)]
"""Of a workload. What is counted over it is a product of several such, kept as 64 bits."""

Share = Annotated[float, NO_TRUTH, Field(ge=0.001, le=1)]
PositiveFloat = Annotated[float, NO_TRUTH, Field(gt=0, allow_inf_nan=False)]

_PERCENTAGE, _NUMBER = re.compile(r"\d+(\.\d+)?%"), TypeAdapter(PositiveFloat)


def _number_or_share(value: Any) -> float | str:
    """By itself: of a union's members pydantic tells every mistake, each under a path that nobody wrote."""
    if isinstance(value, str) and _PERCENTAGE.fullmatch(value):
        if not float(value[:-1]):
            raise PydanticCustomError("bound", "a share should be above 0%")
        return value
    try:
        return _NUMBER.validate_python(value)
    except ValidationError as error:
        raise PydanticCustomError("bound", "{why}", {"why": error.errors()[0]["msg"]}) from error


Bound = Annotated[float | str, PlainValidator(_number_or_share)]
"""A number above 0, or a share of what the parent has, e.g. ``"70%"``."""


def _name_or_declaration(value: Any) -> str | dict[str, Any]:
    """By itself, as a bound."""
    if isinstance(value, str) or (isinstance(value, dict) and all(isinstance(name, str) for name in value)):
        return value
    accepted = "a name, a path to a YAML file, or a mapping that declares a space"
    raise PydanticCustomError("space", "accepted: {accepted}", {"accepted": accepted})


Space = Annotated[str | dict[str, Any], PlainValidator(_name_or_declaration)]


class Spec(BaseModel):
    """Frozen; a name that it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")
