"""The errors of this layer. All are ValueErrors: what was handed over cannot be learned from."""

from __future__ import annotations

__all__ = ["ArgumentError", "PredictorError"]


class PredictorError(ValueError):
    """Measurements, a stored state or a table cannot be used; the message says what is accepted."""


class ArgumentError(PredictorError):
    """One argument is at fault, whatever the measurements are.

    Args:
        argument: its name.
    """

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument
