"""A served page, asked as a browser asks it."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.service.running.embedded import EmbeddedService

__all__ = ["Site"]


@dataclass
class Site:
    """A served page.

    Attributes:
        ids: of jobs, by what they are for.
    """

    url: str
    service: EmbeddedService
    ids: dict[str, str]
    home: Path

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").rstrip("/")

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; a body is sent as JSON, from the page's own origin unless told."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "POST":
            sent = {"origin": self.url.rstrip("/"), "content-type": "application/json", **sent}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            kept = {name.lower(): value for name, value in response.getheaders()}
            return response.status, kept, response.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)
