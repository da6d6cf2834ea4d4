"""The tasks that docs/howto-task.md writes keep the contract, as it says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.tasks import TASKS
from nas.testing.tasks import TaskContract

NAMES = ("parity", "stripes")
HOWTO = Path(__file__).parents[3] / "docs" / "howto-task.md"


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    codes = re.findall(r"```python\n(.*?)```", HOWTO.read_text(), re.DOTALL)
    with TASKS.scratch():
        for name, code in zip(NAMES, codes, strict=True):
            exec(compile(code, str(HOWTO), "exec"), {"__name__": name})
        yield


class TestTheHowtosTasks(TaskContract):
    subjects = NAMES
