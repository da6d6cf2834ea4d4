"""A folder of files as a stream of messages, and back; each file with its SHA-256."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nas.errors import ModelRejected
from nas.files import write_folder_whole
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire.convert import document, text

__all__ = ["receive_folder", "send_folder"]

CHUNK_BYTES = 256 * 1024

FILE_LIMIT = 8 << 30
"""Bytes of one file that a client accepts."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,127}")


def send_folder(manifest: dict[str, Any], folder: Path) -> Iterator[pb.ExtractModelResponse]:
    """The manifest, then every file of the folder."""
    yield pb.ExtractModelResponse(manifest_json=text(manifest))
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            header = pb.FileHeader(name=path.name, size_bytes=path.stat().st_size, sha256=digest)
            yield pb.ExtractModelResponse(file=header)
            file.seek(0)
            while chunk := file.read(CHUNK_BYTES):
                yield pb.ExtractModelResponse(chunk=chunk)


def receive_folder(parts: Iterable[pb.ExtractModelResponse], out: Path) -> dict[str, Any]:
    """Write what `send_folder` sent; a new folder appears whole or not at all.

    Returns:
        The manifest.

    Raises:
        ModelRejected: a file's name leads elsewhere, or its content is not what was announced.
        InvalidSpec: `out` is a file or has something in it.
        StoreUnavailable: the disk cannot take the files.
    """
    manifest: dict[str, Any] | None = None
    incoming: _Incoming | None = None
    with write_folder_whole(out) as folder, ExitStack() as opened:
        for part in parts:
            kind = part.WhichOneof("part")
            if kind == "manifest_json":
                manifest = document(part.manifest_json, "the manifest")
            elif kind == "file":
                if incoming is not None:
                    incoming.finish()
                incoming = _Incoming(folder, part.file)
                opened.callback(incoming.close)
            elif kind == "chunk" and incoming is not None:
                incoming.add(part.chunk)
            else:
                raise ModelRejected("the service sent a part that belongs to no file")
        if incoming is not None:
            incoming.finish()
        if manifest is None:
            raise ModelRejected("the service sent no manifest")
    return manifest


class _Incoming:
    """One file on its way in."""

    def __init__(self, folder: Path, header: pb.FileHeader) -> None:
        if not _PLAIN_NAME.fullmatch(header.name) or (folder / header.name).exists():
            raise ModelRejected(
                f"the service sent a file called {header.name!r}; accepted: a new, plain name"
            )
        if header.size_bytes > FILE_LIMIT:
            raise ModelRejected(
                f"{header.name} has {header.size_bytes} bytes; accepted: at most {FILE_LIMIT}"
            )
        self._header = header
        self._file = (folder / header.name).open("wb")
        self._digest = hashlib.sha256()
        self._bytes = 0

    def add(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._bytes > self._header.size_bytes:
            raise ModelRejected(f"{self._header.name} is longer than its {self._header.size_bytes} bytes")
        self._digest.update(chunk)
        self._file.write(chunk)

    def finish(self) -> None:
        self.close()
        if self._bytes != self._header.size_bytes or self._digest.hexdigest() != self._header.sha256:
            raise ModelRejected(f"{self._header.name} did not arrive as it was sent; ask again")

    def close(self) -> None:
        self._file.close()
