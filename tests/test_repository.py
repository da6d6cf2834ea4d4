"""Rules that no linter knows."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNSAFE = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--", pattern], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).exists()]


@cache
def names_in(path: Path) -> tuple[set[str], set[str]]:
    """Packages that a file imports, and attributes of names that it calls, ``torch.load``."""
    imported: set[str] = set()
    called: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                imported.add(module.partition(".")[0])
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attribute)):
                called.add(f"{name}.{attribute}")
    return imported, called


def test_nothing_imports_a_format_that_runs_code_when_it_is_read():
    for path in tracked("*.py"):
        assert not names_in(path)[0] & UNSAFE, path


def test_weights_and_documents_are_read_by_safe_readers_only():
    for path in tracked("*.py"):
        assert not names_in(path)[1] & {"torch.load", "torch.save", "yaml.load", "yaml.unsafe_load"}, path


def test_the_folder_of_proto_sources_is_no_python_package():
    # A package named `proto` would shadow proto-plus, which dependencies of ray import.
    assert not list((ROOT / "proto").rglob("*.py"))


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{path.relative_to(ROOT)} → {link}"
        for path in tracked("*.md")
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
        if not (path.parent / link).exists()
    ]
    assert not broken
