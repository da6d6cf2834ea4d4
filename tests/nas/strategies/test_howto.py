"""The strategy that docs/howto-strategy.md writes works as it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "howto-strategy.md"


def test_the_document_s_code_runs():
    code = "\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    share = re.fullmatch(r"(\d+)% of the last batch are within the bound\n", ran.stdout)
    assert share
    assert int(share[1]) >= 75


def test_the_document_names_every_strategy():
    from nas.strategies import strategies

    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])}
    assert named == set(strategies())
