"""Model files on their way to a worker: digests, chunks, and what the worker keeps of them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from workers.errors import TransferFailed
from workers.messages import ModelFile

__all__ = ["CHUNK_BYTES", "MAX_MODEL_BYTES", "ModelCache", "assemble", "chunks", "model_file"]

CHUNK_BYTES = 1 << 18
MAX_MODEL_BYTES = (1 << 31) - 1
"""Largest model that is sent or taken: 2 GiB, which is what a file of ONNX holds."""

CACHE_BYTES = 1 << 28
"""What a worker keeps of models that it may be asked for again: 256 MiB."""


def model_file(data: bytes) -> ModelFile:
    """Digest and size of a file's bytes."""
    return ModelFile(hashlib.sha256(data).hexdigest(), len(data))


def chunks(data: bytes) -> Iterator[bytes]:
    """The file in pieces of at most `CHUNK_BYTES`."""
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


def assemble(file: ModelFile, parts: Iterable[bytes]) -> bytes:
    """Put a file together and check that it is the one announced.

    Raises:
        TransferFailed: it is larger than announced or accepted, or its digest is another.
    """
    if file.size_bytes > MAX_MODEL_BYTES:
        raise TransferFailed(f"a model of {file.size_bytes} bytes; accepted: at most {MAX_MODEL_BYTES}")
    data = bytearray()
    for part in parts:
        data += part
        if len(data) > file.size_bytes:
            raise TransferFailed(f"model {file.sha256[:12]} is longer than its {file.size_bytes} bytes")
    if model_file(bytes(data)) != file:
        raise TransferFailed(
            f"model {file.sha256[:12]} arrived damaged: {len(data)} of {file.size_bytes} bytes, "
            f"SHA-256 {hashlib.sha256(data).hexdigest()[:12]}"
        )
    return bytes(data)


class ModelCache:
    """Models by digest, the least recently used dropped first; one larger than the cache is not kept.

    Args:
        capacity_bytes: most that is kept.
    """

    def __init__(self, capacity_bytes: int = CACHE_BYTES) -> None:
        self._capacity = capacity_bytes
        self._models: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, sha256: str) -> bytes | None:
        """The model, or None where it is not kept."""
        if sha256 not in self._models:
            return None
        self._models.move_to_end(sha256)
        return self._models[sha256]

    def put(self, sha256: str, model: bytes) -> None:
        """Keep a model."""
        if len(model) > self._capacity or sha256 in self._models:
            return
        self._models[sha256] = model
        self._bytes += len(model)
        while self._bytes > self._capacity:
            _, dropped = self._models.popitem(last=False)
            self._bytes -= len(dropped)
