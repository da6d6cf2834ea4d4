"""Whole job files, broken in thousands of ways: each is accepted, or refused with a message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).with_name("job_file_fuzzer.py")


def fuzz(first: int, cases: int) -> None:
    """In a process of its own, whose memory is limited."""
    command = [sys.executable, str(FUZZER), str(first), str(cases)]
    here = {**os.environ, "PYTHONPATH": str(FUZZER.parents[2])}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=here)
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-8000:]


def test_two_thousand_job_files() -> None:
    fuzz(0, 2000)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("first", range(2000, 50_000, 8000))
def test_fifty_thousand_job_files(first: int) -> None:
    fuzz(first, 8000)
