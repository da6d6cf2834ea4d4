"""Classes of other distributions, found by real entry points."""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from searchspaces.registry import Registry


class Shape(ABC):
    """What the registry of these tests holds."""

    name: ClassVar[str]

    @abstractmethod
    def corners(self) -> int: ...


class Round(Shape):
    def corners(self) -> int:
        return 0


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution on the path: its entry points of the group `nas.shapes`, and its modules."""
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)

    def install(distribution: str, entries: dict[str, str], **modules: str) -> None:
        info = tmp_path / f"{distribution.replace('-', '_')}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1\n")
        lines = [f"{name} = {value}\n" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("[nas.shapes]\n" + "".join(lines))
        for module, code in modules.items():
            (tmp_path / f"{module}.py").write_text(code)

    yield install
    for name in set(sys.modules) - known:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def shapes() -> Registry[Shape]:
    """With one class of its own, `round`."""
    # A package without modules: what is registered is registered here.
    registry: Registry[Shape] = Registry(Shape, "workers.rpc.v1", "shape", "nas.shapes")
    registry._ours = lambda: registry._classes  # type: ignore[method-assign]
    registry.register("round")(Round)
    return registry


SQUARE = f"""
from dataclasses import dataclass
from {__name__} import Shape

@dataclass(frozen=True)
class Square(Shape):
    size: int = 1
    def corners(self):
        return 4
"""


def test_a_plug_in_is_used_as_our_own(install: Install, shapes: Registry[Shape]) -> None:
    install("square-dist", {"square": "square_module:Square"}, square_module=SQUARE)
    assert shapes.names() == ["round", "square"]
    assert "square_module" not in sys.modules, "known by name without being imported"
    assert shapes.parse("square:3").corners() == 4
    assert shapes.parse("square:3") is shapes.parse("square:3")
    assert shapes.get("square").name == "square"
    assert list(shapes.classes()) == shapes.names() == ["round", "square"]
    assert [str(plugin) for plugin in shapes.plugins()] == ["square_module:Square of square-dist 0.1"]
    assert (shapes.origin("square"), shapes.origin("round")) == ("square-dist 0.1", None)


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ("bad_module:Square", "import no_such_thing", "does not load: ModuleNotFoundError: .*no_such_thing"),
        ("bad_module:Square", "1 / 0", "does not load: ZeroDivisionError"),
        ("bad_module:Square", "", "does not load: AttributeError: .*Square"),
        ("bad_module:Square", "Square = 4", "is 4; accepted: a class derived from .*Shape"),
        ("bad_module", "", "is <module .*; accepted: a class"),
        ("bad_module:Square", f"from {__name__} import Shape as Square", "lacks corners"),
    ],
)
def test_one_that_cannot_be_used_is_named_and_harms_nothing_else(
    install: Install,
    shapes: Registry[Shape],
    caplog: pytest.LogCaptureFixture,
    value: str,
    code: str,
    message: str,
) -> None:
    install("bad-dist", {"bad": value}, bad_module=code)
    with pytest.raises(ValueError, match=f"shape 'bad' \\({value} of bad-dist 0.1\\) {message}"):
        shapes.parse("bad")
    assert shapes.parse("round").corners() == 0
    with caplog.at_level(logging.WARNING):
        assert list(shapes.classes()) == list(shapes.classes()) == ["round"]
    (warning,) = caplog.messages
    assert "bad-dist 0.1" in warning
    with pytest.raises(ValueError, match="no shape 'oval'; accepted: round, bad"):
        shapes.get("oval")


def test_a_name_that_is_taken_is_an_error_that_names_both(install: Install, shapes: Registry[Shape]) -> None:
    install("square-dist", {"round": "square_module:Square"}, square_module=SQUARE)
    with pytest.raises(
        ValueError, match=r"'round' is the name of \S*:Round and of \S*:Square of square-dist"
    ):
        shapes.parse("round")
    with pytest.raises(ValueError, match="square-dist"):
        shapes.get("round")


def test_two_plug_ins_of_one_name_are_an_error_that_names_both(
    install: Install, shapes: Registry[Shape]
) -> None:
    install("square-dist", {"square": "square_module:Square"}, square_module=SQUARE)
    install("other-dist", {"square": "square_module:Square"})
    with pytest.raises(ValueError, match=r"(?s)(?=.*of square-dist 0\.1)(?=.*of other-dist 0\.1)"):
        shapes.get("square")


def test_what_is_registered_in_a_scratch_is_forgotten(shapes: Registry[Shape]) -> None:
    with shapes.scratch():
        shapes.register("circle")(type("Circle", (Round,), {}))
        assert shapes.parse("circle").corners() == 0
    with pytest.raises(ValueError, match="no shape 'circle'"):
        shapes.parse("circle")
