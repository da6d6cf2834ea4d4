"""One self-contained source file out of a module and what it uses of this project.

What is shipped beside a model must run where this project is not installed. So that there is one arithmetic
and not two, such a file is cut out of the sources: the definitions that the module's own reach, no others.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeGuard

__all__ = ["bundle"]

PROJECT = ("searchspaces", "nas", "workers", "predictors")

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def bundle(
    module: str,
    tables: Mapping[str, Mapping[str, type]],
    without: frozenset[str],
    instead: Mapping[str, str],
) -> str:
    """The source of a module, with what it uses of other modules of this project.

    Args:
        module: whose every definition is kept.
        tables: classes of this project by key, each table by the name that the file has it under.
        without: names of methods that are left out of every class, with all that only they use.
        instead: source of functions by name that take the place of the project's.

    Returns:
        Python, without comments; names that two modules share are told apart by the module's.
    """
    found = _Reached(without, frozenset(instead))
    for name in found.module(module).definitions:
        found.reach(module, name)
    for cls in (cls for table in tables.values() for cls in table.values()):
        found.reach(cls.__module__, cls.__name__)
    names = found.names()
    written = []
    for table, classes in tables.items():
        entries = [f"{key!r}: {names[cls.__module__, cls.__name__]}" for key, cls in classes.items()]
        written.append(f"{table} = {{{', '.join(entries)}}}")
    return "\n\n\n".join([*found.source(names, instead, last=module), *written]) + "\n"


@dataclass
class _Module:
    """What one source file defines and imports."""

    name: str
    tree: ast.Module

    @classmethod
    def load(cls, name: str) -> _Module:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        return cls(name, ast.parse(Path(spec.origin).read_text()))

    @cached_property
    def definitions(self) -> dict[str, Definition]:
        """By name, in order."""
        found: dict[str, Definition] = {}
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = node
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = node
            elif isinstance(node, ast.Assign):
                names = [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
                found |= dict.fromkeys((n for n in names if n != "__all__"), node)
        return found

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """Of this project: where a name comes from, wherever in the file it is imported."""
        return {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module)
            for alias in node.names
        }

    @cached_property
    def foreign(self) -> dict[str, str]:
        """Of other packages, at the top of the file: the statement by the name that it brings."""
        found: dict[str, str] = {}
        for node in _top_level(self.tree.body):
            if isinstance(node, ast.Import):
                found |= {a.asname or a.name.partition(".")[0]: f"import {_alias(a)}" for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not _is_ours(node.module):
                found |= {a.asname or a.name: f"from {node.module} import {_alias(a)}" for a in node.names}
        return found


@dataclass
class _Reached:
    """Definitions that are kept, and what they refer to."""

    without: frozenset[str]
    instead: frozenset[str]
    modules: dict[str, _Module] = field(default_factory=dict)
    kept: dict[tuple[str, str], None] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)

    def module(self, name: str) -> _Module:
        if name not in self.modules:
            self.modules[name] = _Module.load(name)
        return self.modules[name]

    def home(self, module: str, name: str) -> tuple[str, str] | None:
        """The module that defines what another calls so, and its name there; None where it is not ours."""
        found = self.module(module)
        while name not in found.definitions:
            if name not in found.imports:
                return None
            origin, name = found.imports[name]
            found = self.module(origin)
        return found.name, name

    def reach(self, module: str, name: str) -> None:
        """Keep a definition and all that it uses."""
        home = self.home(module, name)
        if home is None:
            statement = self.module(module).foreign.get(name)
            self.foreign |= {statement} if statement else set()
            return
        if home in self.kept or home[1] in self.instead:
            return
        self.kept[home] = None
        node = _stripped(self.modules[home[0]].definitions[home[1]], self.without)
        for used in _names(node):
            self.reach(home[0], used)

    def source(
        self, names: Mapping[tuple[str, str], str], instead: Mapping[str, str], last: str
    ) -> list[str]:
        """Everything that is kept, what is used before what uses it."""
        parts = ["from __future__ import annotations", "\n".join(sorted(self.foreign)), *instead.values()]
        for module in self._ordered(last):
            written: set[int] = set()
            for name, node in module.definitions.items():
                if (module.name, name) in self.kept and id(node) not in written:
                    written.add(id(node))
                    renamed = _Renamed(self, module.name, names).visit(_stripped(node, self.without))
                    parts.append(ast.unparse(ast.fix_missing_locations(renamed)))
        return parts

    def names(self) -> dict[tuple[str, str], str]:
        """What each definition is called: its own name, with its module's where another has it too."""
        said: dict[str, list[str]] = {}
        for module, name in self.kept:
            said.setdefault(name, []).append(module)
        return {
            (module, name): name if len(said[name]) == 1 else _apart(name, module.rpartition(".")[2])
            for module, name in self.kept
        }

    def _ordered(self, last: str) -> Iterator[_Module]:
        done: set[str] = set()

        def visit(name: str) -> Iterator[_Module]:
            if name in done:
                return
            done.add(name)
            module = self.module(name)
            for node in module.tree.body:
                if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
                    for alias in node.names:
                        home = self.home(name, alias.asname or alias.name)
                        if home is not None:
                            yield from visit(home[0])
            yield module

        for name in [*{module for module, _ in self.kept} - {last}, last]:
            yield from visit(name)


class _Renamed(ast.NodeTransformer):
    """Names of the project's definitions as the file calls them."""

    def __init__(self, reached: _Reached, module: str, names: Mapping[tuple[str, str], str]) -> None:
        self._reached = reached
        self._module = module
        self._names = names
        self._local: list[set[str]] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if not self._local:
            node.name = self._said(node.name)
        arguments = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        node.args = self.visit(node.args)
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        if node.returns is not None:
            node.returns = self.visit(node.returns)
        self._local.append(arguments | stored)
        node.body = [self.visit(each) for each in node.body]
        self._local.pop()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if not self._local:
            node.name = self._said(node.name)
        node.bases = [self.visit(each) for each in node.bases]
        # What a class's body assigns are attributes.
        assigned = [each for each in node.body if isinstance(each, ast.Assign | ast.AnnAssign)]
        targets = [t for each in assigned for t in getattr(each, "targets", [getattr(each, "target", None)])]
        self._local.append({target.id for target in targets if isinstance(target, ast.Name)})
        node.body = [self.visit(each) for each in node.body]
        self._local.pop()
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if not any(node.id in names for names in self._local):
            node.id = self._said(node.id)
        return node

    def _said(self, name: str) -> str:
        home = self._reached.home(self._module, name)
        return name if home is None else self._names.get(home, home[1])


_WITH_STATEMENTS = (ast.ClassDef, ast.FunctionDef, ast.If, ast.For, ast.While, ast.With, ast.Try)


def _stripped(node: Definition, without: frozenset[str]) -> Definition:
    """A copy without imports of this project's, and, where it is a class, without some methods; the name
    that a class is registered by becomes an attribute."""
    copy: Definition = _parsed(ast.unparse(node))
    for inner in ast.walk(copy):
        if isinstance(inner, _WITH_STATEMENTS):
            kept = [
                each
                for each in inner.body
                if not (isinstance(each, ast.ImportFrom) and _is_ours(each.module or ""))
            ]
            inner.body = kept or [ast.Pass()]
    if isinstance(copy, ast.ClassDef):
        copy.body = [
            each for each in copy.body if not (isinstance(each, ast.FunctionDef) and each.name in without)
        ] or [ast.Pass()]
        registered = [each for each in copy.decorator_list if _registers(each)]
        copy.decorator_list = [each for each in copy.decorator_list if not _registers(each)]
        if registered:
            option = registered[0].args[0]
            place = 1 if ast.get_docstring(copy) else 0
            copy.body.insert(place, _parsed(f"name = {ast.unparse(option)}"))
    return copy


def _parsed(text: str) -> Definition:
    (node,) = ast.parse(text).body
    assert isinstance(node, Definition)
    return node


def _registers(decorator: ast.expr) -> TypeGuard[ast.Call]:
    return (
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Name)
        and decorator.func.id.startswith("register_")
    )


def _names(node: ast.AST) -> set[str]:
    """All that a definition refers to."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a file, those for type checkers among them."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from node.body


def _alias(alias: ast.alias) -> str:
    return alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in PROJECT


def _apart(name: str, module: str) -> str:
    bare = name.lstrip("_")
    lead = name[: len(name) - len(bare)]
    return lead + (f"{module.upper()}_{bare}" if bare.isupper() else f"{module}_{bare}")
