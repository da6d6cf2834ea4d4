"""What processes of one worker say to each other over pipes: a length, then JSON or the bytes of a model.
Nothing is pickled."""

from __future__ import annotations

import fcntl
import json
import struct
from contextlib import suppress
from io import BufferedReader, FileIO
from typing import IO, Any

__all__ = ["packed", "read_frame", "unpacked", "widen", "write_frames"]

_LENGTH = struct.Struct(">Q")

WIDE = 1 << 20
"""Bytes on their way in a pipe, the most that Linux lets any user ask for by default. A model of 500 MB goes
through in half the time that it takes in the usual 64 KiB."""


def widen(pipe: int) -> None:
    """Have a pipe hold `WIDE` bytes, where the system can and this user's share allows it."""
    option = getattr(fcntl, "F_SETPIPE_SZ", None)
    if option is not None:
        with suppress(OSError):
            fcntl.fcntl(pipe, option, WIDE)


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
        pipe.write(_LENGTH.pack(len(frame)))
        pipe.write(frame)
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
    # A buffer of one byte reads nothing ahead, and what is larger goes right to its place.
    with FileIO(pipe, closefd=False) as raw:
        frame = BufferedReader(raw, 1).read(size)
    if len(frame) < size:
        raise EOFError
    return frame
