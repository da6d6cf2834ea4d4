"""Scripts in benchmarks/ run now and then: what they import of this project must be there all the time."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))
PACKAGES = {"nas", "searchspaces", "predictors", "workers"}


def imported(script: Path) -> list[tuple[str, str]]:
    """Modules of this project, and the names that a script takes from each."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module is not None
        if node.module.partition(".")[0] in PACKAGES
        for alias in node.names
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_what_it_imports_is_there(script: Path) -> None:
    missing = [
        f"{module}.{name}"
        for module, name in imported(script)
        if not hasattr(import_module(module), name) and find_spec(f"{module}.{name}") is None
    ]
    assert not missing
