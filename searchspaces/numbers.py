"""Numbers that people write: a truth value is none, though Python takes it for one."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator

__all__ = ["NO_TRUTH"]


def _refuse_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("true and false are not numbers; accepted: a number")
    return value


NO_TRUTH = BeforeValidator(_refuse_truth)
"""Marks a field as a number: ``Annotated[int, NO_TRUTH]``."""
