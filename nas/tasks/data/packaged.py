"""Data files of installed distributions, read without importing these."""

from __future__ import annotations

import gzip
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["packaged"]


def packaged(distribution: str, name: str) -> bytes:
    """The content of a distribution's file, decompressed where it is compressed.

    Args:
        distribution: as pip knows it.
        name: the file's own, without folders.

    Raises:
        InvalidSpec: it is not installed; the command that brings it is named.
    """
    try:
        listed = files(distribution) or []
    except PackageNotFoundError:
        listed = []
    path = next((Path(str(file.locate())) for file in listed if file.name == name), None)
    if path is None or not path.is_file():
        # Its data is all that is wanted, none of what it depends on.
        message = f"its data is the file {name} of {distribution}, which is not installed"
        accepted = f"after `pip install --no-deps {distribution}`, where the service runs"
        raise InvalidSpec([Problem("task.name", f"{message}; accepted: {accepted}")])
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content
