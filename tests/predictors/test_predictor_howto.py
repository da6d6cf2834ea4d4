"""What the how-to shows runs, and says what it says."""

import re
from pathlib import Path
from typing import Any

HOWTO = Path(__file__).parents[2] / "docs" / "howto-predictors.md"


def test_the_howto_runs() -> None:
    names: dict[str, Any] = {}
    for text in re.findall(r"^```python\n(.*?)^```$", HOWTO.read_text(), re.MULTILINE | re.DOTALL):
        exec(text, names)
    (shift,) = names["drift"].shifts
    assert (shift.start, shift.stop, round(shift.factor, 2)) == (0, 30, 1.22)
