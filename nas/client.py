"""The one door for the command line, the page and Python users.

with nas.connect() as client:                  # the service in this process, at $NAS_HOME or ./.nas
    job = client.submit("job.yaml")
    for event in client.watch(client.resume(job.id).id):
        print(event.message)
    best = client.best(job.id, {"latency_ms": 8.0})
    client.extract(job.id, best.digest, "out")
"""

from __future__ import annotations

import os
from pathlib import Path

from nas.service.api import Service as Client

__all__ = ["Client", "connect"]


def connect(*, home: str | Path | None = None) -> Client:
    """Open the service.

    Args:
        home: folder of the embedded service: its database, supernets and exported blocks; `$NAS_HOME`
            where None, else ``./.nas``.
    """
    from nas.service.local import LocalService

    return LocalService(Path(home or os.environ.get("NAS_HOME") or ".nas"))
