"""docs/howto-exact.md: its code runs, and its table has the answers that it states."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "howto-exact.md"


def test_the_document_s_code_runs():
    code = "\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    choice, totals, *front, conflict = ran.stdout.splitlines()
    assert "linear attention" in choice
    latency, cache = re.search(r"([\d.]+) ms, (\d+) MiB", totals).groups()
    assert float(latency) <= 16.0
    assert int(cache) <= 80
    losses = [float(line.split("+")[1]) for line in front]
    assert losses == sorted(losses)
    assert len(set(losses)) == 4
    assert conflict.startswith("bound 0 is 9, but every choice uses at least 10.8")
