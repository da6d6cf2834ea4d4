"""What lies in a Hugging Face folder besides its `config.json`: weights, tokenizer, and how it generates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = [
    "all_safetensors",
    "generation_config",
    "invalid_model",
    "tokenizer_files",
    "weight_files",
]

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "chat_template.jinja",
)


def invalid_model(path: str, message: str) -> InvalidSpec:
    """The error for what a job may not start from; `path` is below ``start.model``."""
    return InvalidSpec([Problem(".".join(filter(None, ("start.model", path))), message)])


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that `transformers` reads of a folder, by name: one file, or those that an index lists;
    else all of them. Others may lie beside them, such as the same weights under other names.

    Raises:
        InvalidSpec: it has none, or not those of its index; pickles are refused.
    """
    every, index = all_safetensors(folder), folder / INDEX
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not index.is_file():
        return every
    try:
        listed = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        accepted = "accepted: a weight_map of file names by tensor"
        raise invalid_model("", f"{INDEX} cannot be read ({error!r:.80}); {accepted}") from error
    missing = listed - {file.name for file in every}
    if missing:
        said = ", ".join(sorted(map(str, missing))[:3])
        raise invalid_model("", f"{INDEX} lists {said:.120}; accepted: safetensors that lie beside it")
    return [file for file in every if file.name in listed]


def all_safetensors(folder: Path) -> list[Path]:
    """All of a folder, by name.

    Raises:
        InvalidSpec: it has none; pickles are refused.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = [file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern)]
        found = f"only {', '.join(sorted(pickles)[:3])}, which may run code" if pickles else "no weights"
        raise invalid_model("", f"{str(folder)!r:.120} has {found}; accepted: safetensors, or a .gguf file")
    return files


def generation_config(folder: Path) -> dict[str, Any]:
    """What `transformers` generates by, before the model's own config; empty where the folder has none.

    Raises:
        InvalidSpec: it is no JSON object.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        said = f"{str(path)!r:.120} cannot be read ({error}); accepted: a JSON object, or no such file"
        raise invalid_model("", said) from error
    return told


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Whatever of a folder belongs to its tokenizer, by name, ``tokenizer.json`` among it."""
    return {name: (folder / name).read_bytes() for name in TOKENIZER_FILES if (folder / name).is_file()}
