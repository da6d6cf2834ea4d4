"""`benchmarks/kernels.py` in its short form."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "kernels.py"


@pytest.mark.slow
def test_the_short_form_times_every_row_and_exits_by_its_goals() -> None:
    """Outputs are compared before they are timed; how fast this machine is right now proves nothing."""
    ended = subprocess.run(
        [sys.executable, str(BENCHMARK), "--quick"], capture_output=True, text=True, timeout=600
    )
    for what in (
        "softmax, onnxruntime",
        "keys of 2 heads",
        "softmax, one token",
        "window:64",
        "sparse",
        "decay",
    ):
        assert ended.stdout.count(what) >= 2, ended.stderr
    assert ended.returncode == (1 if "missed" in ended.stdout else 0), ended.stderr
