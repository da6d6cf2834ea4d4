"""Everything that can be added by another distribution, and what has been."""

from __future__ import annotations

from typing import Any

from nas.strategies import STRATEGIES
from nas.tasks import TASKS
from predictors import PREDICTORS
from searchspaces.channels import CHANNELS
from searchspaces.mixers import MIXERS
from searchspaces.registry import Plugin, Registry
from workers.runtimes import RUNTIMES

__all__ = ["REGISTRIES", "plugin_descriptions"]

REGISTRIES: tuple[Registry[Any], ...] = (MIXERS, CHANNELS, TASKS, RUNTIMES, PREDICTORS, STRATEGIES)


def plugin_descriptions() -> list[dict[str, Any]]:
    """What other distributions add, as plain data: what it is, its name, its distribution with its version,
    where it stands there, and why it cannot be used (None where it can)."""
    return [
        {
            "adds": registry.noun,
            "name": plugin.name,
            "distribution": plugin.distribution,
            "value": plugin.entry.value,
            "problem": _problem(registry, plugin),
        }
        for registry in REGISTRIES
        for plugin in registry.plugins()
    ]


def _problem(registry: Registry[Any], plugin: Plugin) -> str | None:
    try:
        registry.get(plugin.name)
    except ValueError as error:
        return str(error)
    return None
