from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from memory_service import MemoryService

from nas.service.client.remote import RemoteService
from nas.service.server.grpc_server import GrpcServer


@dataclass
class Served:
    """A service, and a client that reaches it over a real socket."""

    service: MemoryService
    client: RemoteService
    address: str
    data: Path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    service = MemoryService()
    data = tmp_path / "data"
    data.mkdir()
    server = GrpcServer(service, "127.0.0.1:0", tmp_path / "scratch", data_root=data)
    address = server.start()
    with RemoteService(address) as client:
        yield Served(service, client, address, data)
    server.stop()
