"""Python processes that this one starts: they take their modules from where it does, and nowhere else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["ROOT", "module_path", "python_module"]

ROOT = str(Path(__file__).parents[1])
"""The folder that this package lies in: a checkout, or where distributions are installed."""


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module; its environment is to have `module_path` as ``PYTHONPATH``."""
    # By itself `-m` looks into the current folder before any other, whatever lies there.
    return [sys.executable, "-P", "-m", name, *arguments]


def module_path() -> str:
    """``PYTHONPATH`` with the folders that this process takes modules from, in their order. Whatever it took
    from the current folder by an empty entry (``python -c``, a prompt), a child takes from `ROOT`."""
    return os.pathsep.join(dict.fromkeys(folder or ROOT for folder in sys.path))
