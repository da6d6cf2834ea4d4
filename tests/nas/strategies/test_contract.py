"""Every registered strategy keeps the contract: registering one enrols it here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from nas.strategies import get_strategy, strategies
from nas.testing.strategies import StrategyContract

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:optuna", "ignore:NSGAIIISampler is experimental")

SLOW = {"optuna-gp"}
"""Takes seconds a candidate: its form of the suite runs nightly."""


def marks(name: str) -> list[pytest.MarkDecorator]:
    package = strategies()[name].package
    missing = package is not None and find_spec(package) is None
    return [
        *([pytest.mark.slow] if name in SLOW else []),
        pytest.mark.skipif(missing, reason=f"{package} is not installed: pip install nas-service[peers]"),
    ]


class TestEveryStrategy(StrategyContract):
    subjects = tuple(pytest.param(name, marks=marks(name)) for name in sorted(strategies()))
    blind = frozenset({"random"})


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(strategies()["random"], "package", "no_such_package")
    with pytest.raises(ValueError, match=r"needs no_such_package; .*pip install"):
        get_strategy("random")


def test_an_unknown_name_says_which_are_accepted():
    with pytest.raises(ValueError, match=r"accepted: .*evolution"):
        get_strategy("hope")
