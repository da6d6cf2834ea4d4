"""The errors of this layer. All are ValueErrors: what was handed over cannot be learned from."""

from __future__ import annotations

__all__ = ["PredictorError"]


class PredictorError(ValueError):
    """Measurements, a stored state or a table cannot be used; the message says what is accepted."""
