"""A process in which Ray runs handles SIGTERM as it did before."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PROGRAM = """
    import os, signal, sys
    from nas.controller.cluster import RayCluster

    def heard(number, frame):
        print("heard", flush=True)
        cluster.close()
        sys.exit(7)

    signal.signal(signal.SIGTERM, heard)
    cluster = RayCluster(processors=1)
    cluster.start()
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
"""


def test_a_handler_of_sigterm_outlives_the_start_of_ray() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.stdout.splitlines()[-1:] == ["heard"], ended.stderr[-2000:]
    assert ended.returncode == 7, ended.stderr[-2000:]
    assert "SIGTERM" not in ended.stderr
