"""Spaces and published designs as plain data: what is installed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from searchspaces.presets import presets
from searchspaces.space import load_space, space_names

__all__ = ["preset_descriptions", "space_descriptions"]


def space_descriptions() -> list[dict[str, Any]]:
    """Every space that ships: its declaration, size and digest."""
    return [
        {**space.spec.model_dump(mode="json"), "size": space.size(), "digest": space.digest}
        for space in map(load_space, space_names())
    ]


def preset_descriptions(space: str | Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every published design that a space contains: name, source, digest and architecture.

    Raises:
        SpaceError: there is no such space.
    """
    return [
        {
            "name": preset.name,
            "source": preset.source,
            "digest": preset.architecture.digest,
            "architecture": preset.architecture.to_dict(),
        }
        for preset in presets(load_space(space)).values()
    ]
