"""What a page does that joined the gateway, without a browser."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

__all__ = ["CAPABILITIES", "MEASUREMENT", "Page"]

CAPABILITIES = {
    "device": "pocket",
    "runtimes": [
        {"name": "onnxruntime-web", "version": "1", "dtypes": ["fp32"], "phases": ["prefill", "decode"]}
    ],
    "threads": 2,
    "cpu_model": "Pocket 3",
    "machine": "arm",
    "system": "Android 16",
    "memory_bytes": 1 << 32,
    "versions": {"browser": "Chromium 156"},
    "accelerators": [],
}
MEASUREMENT = {
    "latency_ms": 2.0,
    "spread_ms": 0.1,
    "error_ms": 0.01,
    "wall_ms": 2.0,
    "reference_ms": 0.5,
    "drift": 1.0,
    "repeats": 10,
    "rejected": 1,
    "calls": 4,
    "noisy": False,
    "conditions": "clock ticks of 5 µs",
}


class Page:
    """Asks as a page of the gateway asks."""

    def __init__(self, link: str) -> None:
        self.url, _, self.secret = link.partition("/#")
        self.host = self.url.removeprefix("http://")
        self.cookie = ""
        self.stream: http.client.HTTPResponse | None = None
        self._line: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, headers, and the body: read as JSON where it is that."""
        line = http.client.HTTPConnection(self.host, timeout=30)
        sent = {"origin": self.url, "cookie": self.cookie, **headers}
        try:
            line.request(method, path, None if body is None else json.dumps(body), sent)
            answer = line.getresponse()
            data = answer.read()
            kind = answer.headers.get("content-type", "")
            return answer.status, answer.headers, json.loads(data) if "json" in kind else data
        finally:
            line.close()

    def join(self, **changes: Any) -> tuple[int, Any]:
        status, headers, body = self.ask("POST", "/join", {**CAPABILITIES, "link": self.secret, **changes})
        if status == 201:
            self.cookie = headers["set-cookie"].partition(";")[0]
        return status, body

    def open_stream(self) -> Iterator[tuple[str, Any]]:
        """The gateway's messages: name and document."""
        self._line = http.client.HTTPConnection(self.host, timeout=30)
        self._line.request("GET", "/leases", headers={"cookie": self.cookie})
        self.stream = self._line.getresponse()
        assert self.stream.status == 200
        return self._messages(self.stream)

    def _messages(self, stream: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
        name = ""
        while line := stream.readline():
            field, _, value = line.decode().strip().partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)

    def close(self) -> None:
        """As a tab that is closed."""
        if self.stream is not None:
            self.stream.close()
        if self._line is not None:
            self._line.close()
