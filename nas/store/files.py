"""Files that the store refers to: what is in them is checked before it is used."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from nas.errors import JobFailed, ModelRejected
from nas.store.store import Store

__all__ = ["keep_checksum", "verified"]

BLOCK = 1 << 22

_CHECKED: dict[Path, tuple[tuple[int, int, int], str]] = {}
"""What this process has read: files of gigabytes are read once, unless they change."""
_LOCK = threading.Lock()


def keep_checksum(store: Store, home: Path, path: Path) -> None:
    """Note what is in a file that was just written.

    Args:
        home: folder beside the store, which the path lies in.
    """
    store.put_checksum(_name(home, path), _sha256(path))


def verified(store: Store, home: Path, path: Path) -> Path:
    """The path, whose content is what it was when it was written. A file of an earlier version, of which
    nothing is known, is noted as it is found.

    Raises:
        JobFailed: there is no such file any more.
        ModelRejected: its content has changed.
    """
    try:
        found = _sha256(path)
    except OSError as error:
        raise JobFailed(
            f"cannot read {path}, which the store refers to: {error.strerror}; restore it, or submit the job "
            "anew to train it"
        ) from error
    name = _name(home, path)
    known = store.checksum(name)
    if known is None:
        store.put_checksum(name, found)
    elif known != found:
        raise ModelRejected(
            f"{path} is not the file that was written: its SHA-256 is {found[:16]}…, the store has "
            f"{known[:16]}…; restore it, or delete it and submit the job anew"
        )
    return path


def _name(home: Path, path: Path) -> str:
    return path.relative_to(home).as_posix()


def _sha256(path: Path) -> str:
    status = os.stat(path)
    stamp = status.st_ino, status.st_size, status.st_mtime_ns
    with _LOCK:
        known = _CHECKED.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    with _LOCK:
        _CHECKED[path] = stamp, digest.hexdigest()
    return digest.hexdigest()
