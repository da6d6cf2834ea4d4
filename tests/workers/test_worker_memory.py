"""What the worker does about memory, in processes of their own: it is the whole process's."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from workers.memory import ResidentMemory, keep_freed_memory

if {keep}:
    keep_freed_memory()

def call():
    [np.ones(1 << 17) for _ in range(64)]  # 64 MiB, in blocks below the size of huge pages

call()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    call()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
memory = ResidentMemory()
call()
print(memory.growth_bytes())
"""
PAGES = (64 << 20) // 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_calls_find_the_memory_of_those_before_and_are_still_accounted_for() -> None:
    faults = {}
    for keep in (False, True):
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(keep=keep)], capture_output=True, text=True, check=True
        )
        faults[keep], growth = map(int, ran.stdout.split())
        assert growth > 0.9 * (64 << 20), "what was kept is given back before the next measurement"
    if faults[False] < PAGES:
        pytest.skip("this C library keeps freed memory by itself")
    assert faults[True] < PAGES / 10
