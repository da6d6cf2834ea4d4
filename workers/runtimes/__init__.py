"""Engines that run a model: one file each, registered by `@register_runtime`. Importing this package imports
no engine."""

from workers.runtimes.runtime import (
    RUNTIMES,
    LoadedModel,
    ModelFormat,
    Runtime,
    Tokens,
    parse_runtime,
    register_runtime,
    runtimes,
    workload_tokens,
)

__all__ = [
    "RUNTIMES",
    "LoadedModel",
    "ModelFormat",
    "Runtime",
    "Tokens",
    "parse_runtime",
    "register_runtime",
    "runtimes",
    "workload_tokens",
]
