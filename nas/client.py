"""The one door for the command line, the page and Python users.

`nas.connect()` runs the service in this process; `nas.connect("host:port")` asks one that `nas serve`
started. Same calls, same answers, same errors.

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
from typing import TYPE_CHECKING

from nas.service.api import Service as Client

if TYPE_CHECKING:
    from workers.tls import ClientTls

__all__ = ["Client", "connect"]


def connect(
    server: str | None = None,
    *,
    token: str | None = None,
    tls: ClientTls | None = None,
    home: str | Path | None = None,
) -> Client:
    """Open the service.

    Args:
        server: ``HOST:PORT`` of a service elsewhere; None for one in this process.
        token: that the service knows; `$NAS_TOKEN` where None.
        tls: whom to believe and what to show; None for plain text.
        home: folder of the embedded service: its database, supernets and exported blocks; `$NAS_HOME`
            where None, else ``./.nas``.
    """
    if server is not None:
        from nas.service.remote import RemoteService

        return RemoteService(server, token or os.environ.get("NAS_TOKEN"), tls)
    from nas.service.local import LocalService

    return LocalService(Path(home or os.environ.get("NAS_HOME") or ".nas"))
