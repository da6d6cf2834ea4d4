"""Every path and every dotted name in backticks, in documents and docstrings, exists."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.plugins import REGISTRIES

ROOT = Path(__file__).parents[1]
PACKAGES = ("nas", "searchspaces", "predictors", "workers")
FOLDERS = (*PACKAGES, "tests", "benchmarks", "docs", "deploy", "proto", ".ci")
QUOTED = re.compile(r"`+([^`\n]+)`+")
PLACE = re.compile(rf"^(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./{{}},*-]*$")
NAME = re.compile(rf"^(?:{'|'.join(PACKAGES)})(?:\.\w+)+$")
OTHERS = {"nas.db", "predictors.md", *(registry.group for registry in REGISTRIES)}
"""What looks like a name of ours and is none: files, and groups of entry points."""
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def alternatives(text: str) -> list[str]:
    """``a/{b,c}.py`` as two."""
    found = re.search(r"\{([^{}]*)\}", text)
    if found is None:
        return [text]
    start, end = found.span()
    parts = (text[:start] + part.strip() + text[end:] for part in found.group(1).split(","))
    return [whole for part in parts for whole in alternatives(part)]


def is_there(place: str) -> bool:
    if place.rpartition("/")[2].endswith(("_pb2.py", ".installed")):
        return True
    return any(ROOT.glob(place.rstrip("/"))) if "*" in place else (ROOT / place).exists()


def is_known(name: str) -> bool:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            known = getattr(found, "__annotations__", {}) | getattr(found, "__dataclass_fields__", {})
            if not hasattr(found, part):
                return part in known
            found = getattr(found, part)
        return True
    return False


def wrong(text: str) -> list[str]:
    quoted = {match.strip() for match in QUOTED.findall(text)} - OTHERS
    places = [whole for each in quoted if PLACE.match(each) for whole in alternatives(each)]
    names = [each for each in quoted if NAME.match(each)]
    return sorted([p for p in places if not is_there(p)] + [n for n in names if not is_known(n)])


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value.value


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_exists(document: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert wrong(prose) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_docstring_names_exists(package: str) -> None:
    found = {
        str(path.relative_to(ROOT)): missing
        for path in sorted((ROOT / package).rglob("*.py"))
        if "_pb2" not in path.name and (missing := [w for text in docstrings(path) for w in wrong(text)])
    }
    assert found == {}


def test_a_name_that_is_not_there_is_found() -> None:
    assert wrong("`nas/nowhere.py`, `nas.front.Frond`, `nas/front.py` and ``nas.front.Front``") == [
        "nas.front.Frond",
        "nas/nowhere.py",
    ]
