"""The task that docs/howto-task.md writes passes the contract suite, as it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HOWTO = ROOT / "docs" / "howto-task.md"
SUITE = Path(__file__).with_name("test_tasks.py")


def test_the_howtos_task_passes_the_contract_suite(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", HOWTO.read_text(), re.DOTALL)
    (tmp_path / "parity.py").write_text(code)
    # A process of its own: a registered task stays registered.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "parity", "-p", "no:cacheprovider", str(SUITE)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    ran = subprocess.run(
        [*command, "-k", "parity"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"\b[1-9]\d* passed", ran.stdout), ran.stdout
