"""The task that docs/howto-task.md writes keeps the contract, as it says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.tasks import TASKS
from nas.testing.tasks import TaskContract

HOWTO = Path(__file__).parents[3] / "docs" / "howto-task.md"


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    (code,) = re.findall(r"```python\n(.*?)```", HOWTO.read_text(), re.DOTALL)
    with TASKS.scratch():
        exec(compile(code, str(HOWTO), "exec"), {"__name__": "parity"})
        yield


class TestTheHowtosTask(TaskContract):
    subjects = ("parity",)
