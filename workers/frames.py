"""What processes of one worker say to each other over pipes: a length, then JSON or the bytes of a model.
Nothing is pickled."""

from __future__ import annotations

import json
import os
import struct
from typing import IO, Any

__all__ = ["packed", "read_frame", "unpacked", "write_frames"]

_LENGTH = struct.Struct(">Q")


def packed(data: dict[str, Any]) -> bytes:
    """A frame of JSON."""
    return json.dumps(data).encode()


def unpacked(frame: bytes) -> dict[str, Any]:
    """What `packed` was given."""
    return dict(json.loads(frame))


def write_frames(pipe: IO[bytes], *frames: bytes) -> None:
    """Write and flush.

    Raises:
        BrokenPipeError: the other process has gone.
    """
    for frame in frames:
        pipe.write(_LENGTH.pack(len(frame)) + frame)
    pipe.flush()


def read_frame(pipe: int) -> bytes:
    """What the other process wrote, from a file descriptor of which nothing else reads.

    Raises:
        EOFError: it has gone.
    """
    (size,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    return _read(pipe, size)


def _read(pipe: int, size: int) -> bytes:
    """Into one block, in whatever pieces it comes: those would be left all over the heap."""
    frame = memoryview(bytearray(size))
    at = 0
    while at < size:
        got = os.readv(pipe, [frame[at:]])
        if not got:
            raise EOFError
        at += got
    return bytes(frame)
