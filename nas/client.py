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

from nas.errors import InvalidSpec
from nas.service.api import Service as Client
from searchspaces.errors import Problem

if TYPE_CHECKING:
    from workers.tls import ClientTls

__all__ = ["Client", "connect"]


def connect(
    server: str | None = None,
    *,
    token: str | None = None,
    tls: ClientTls | None = None,
    home: str | Path | None = None,
    ray_address: str | None = None,
) -> Client:
    """Open the service.

    Args:
        server: ``HOST:PORT`` of a service elsewhere; None for one in this process.
        token: that the service knows; `$NAS_TOKEN` where None.
        tls: whom to believe and what to show; None for plain text.
        home: folder of the embedded service: its database, supernets and exported blocks; `$NAS_HOME`
            where None, else ``./.nas``.
        ray_address: of a Ray cluster that trains and evaluates for the embedded service; None for this
            machine.

    Raises:
        InvalidSpec: `ray_address` was given for a service elsewhere, which has its own.
    """
    if server is not None:
        if ray_address is not None:
            message = f"{server} runs the jobs: start it with nas serve --ray-address {ray_address}"
            raise InvalidSpec([Problem("ray_address", message)])
        from nas.service.client.remote import RemoteService

        return RemoteService(server, token or os.environ.get("NAS_TOKEN"), tls)
    from nas.service.running.embedded import EmbeddedService

    home = Path(home or os.environ.get("NAS_HOME") or ".nas")
    return EmbeddedService(home, ray_address=ray_address)
