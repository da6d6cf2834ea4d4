"""Tensors and facts in one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import JobFailed
from nas.files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load_checkpoint", "save_checkpoint"]

FACTS = "facts"
"""The safetensors metadata entry that holds the facts, as JSON."""


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and plain JSON facts.

    Raises:
        StoreUnavailable: the disk cannot take them; an earlier file of that name is left as it was.
    """
    from safetensors.torch import save

    content = save(dict(tensors), metadata={FACTS: json.dumps(dict(facts))})
    with write_whole(path) as temporary:
        temporary.write_bytes(content)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Inverse of `save_checkpoint`.

    Raises:
        JobFailed: the file cannot be read, or was written by something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()[FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise JobFailed(f"{path} is not a checkpoint ({error}); delete it to train from the start") from error
