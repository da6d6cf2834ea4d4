"""What the how-to shows runs, and says what it says."""

import re
from pathlib import Path
from typing import Any

HOWTO = Path(__file__).parents[2] / "docs" / "predictors.md"


def test_the_howto_runs() -> None:
    names: dict[str, Any] = {}
    for text in re.findall(r"^```python\n(.*?)^```$", HOWTO.read_text(), re.MULTILINE | re.DOTALL):
        exec(text, names)
    (shift,) = names["drift"].shifts
    assert (shift.start, shift.stop, round(shift.factor, 2)) == (0, 30, 1.22)
    beside, taught = names["beside"], names["taught"]
    assert 0 < (~beside.is_member(taught)).sum() < len(taught)
    assert names["report"].mape < 0.03
