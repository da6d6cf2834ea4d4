"""The objectives that docs/howto-objective.md writes work as it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from nas.objectives.kind import counted_kinds, measured_kinds

DOCUMENT = Path(__file__).parents[3] / "docs" / "howto-objective.md"


def test_the_document_s_code_runs() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    launches, *names = ran.stdout.splitlines()
    assert re.fullmatch(r"\[ *\d+ +\d+ +\d+\]", launches)
    assert names == ["['wall_ms@phone', 'wall_ms@laptop']"] * 2 + ["['wall_ms@phone']"]


def test_the_document_names_every_kind() -> None:
    text = DOCUMENT.read_text()
    assert all(f"`{kind.name}`" in text for kind in [*counted_kinds(), *measured_kinds()])
