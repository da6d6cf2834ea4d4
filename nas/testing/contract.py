"""What the suites share: tests that are parameterised by names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings

__all__ = ["Contract", "arbitrary"]


class Contract:
    """A suite of tests, each of which runs once for every subject. Derive a class whose name begins with
    ``Test``.

    Attributes:
        subjects: option texts or names as they are registered, or `pytest.param` of one with marks.
    """

    subjects: ClassVar[Sequence[Any]]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Hand each test its subjects."""
        if "subject" in metafunc.fixturenames:
            metafunc.parametrize("subject", self.subjects, scope="class")


def arbitrary(examples: int) -> settings:
    """Of a property that several suites inherit, on a machine that is shared."""
    # Subjects are the same for every example, and suites are inherited.
    checks = [HealthCheck.differing_executors, HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples, deadline=None, suppress_health_check=checks)
