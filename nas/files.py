"""Files that exist whole or not at all, and that one process at a time rewrites."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nas.errors import Busy, InvalidSpec, StoreUnavailable
from searchspaces.errors import Problem

__all__ = [
    "alone_in",
    "check_new_or_empty",
    "only_one",
    "own_folder",
    "sync_folder",
    "write_folder_whole",
    "write_whole",
]


def sync_folder(folder: Path) -> None:
    """Make renames within a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait for every other block of this kind for the same folder, in whatever process of this host; for who
    reads a file, changes it and writes it whole. The folder is made where there is none.

    Raises:
        StoreUnavailable: there can be no such folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreUnavailable(f"cannot use the folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def only_one(path: Path, said: str) -> Iterator[None]:
    """Hold a lock that one process at a time holds, and that ends with it; not waited for.

    Args:
        path: of the lock's file, in which `said` is written for whoever else comes.

    Raises:
        Busy: another process holds it; what that said is told.
        StoreUnavailable: there can be no such file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(os.pread(descriptor, 4096, 0).decode(errors="replace")) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, said.encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def own_folder(within: Path) -> Iterator[Path]:
    """Give a folder of this block's own in `within`, and remove it at the end. What blocks left there whose
    process was killed is removed at the beginning.

    Raises:
        StoreUnavailable: there can be no such folder.
    """
    with alone_in(within):
        for folder in within.iterdir():
            _remove_unowned(folder)
        try:
            own = Path(tempfile.mkdtemp(dir=within))
            descriptor = os.open(own, os.O_RDONLY)
        except OSError as error:
            raise StoreUnavailable(f"cannot write to {within}: {error.strerror}") from error
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(descriptor)


def _remove_unowned(folder: Path) -> None:
    """Unless a living process holds its lock, which ends with the process."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (NotADirectoryError, FileNotFoundError):  # not one of ours, or just removed by its owner
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


@contextmanager
def write_whole(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there takes `path`'s place at the end, and
    is removed where the block fails. A kill at any point leaves the earlier file or the new one.

    Args:
        mode: of the file, less the user's umask; 0o600 for a secret.

    Raises:
        StoreUnavailable: the disk cannot take it (full, read-only, gone).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.touch(mode, exist_ok=False)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def check_new_or_empty(out: Path) -> None:
    """Check that a folder can be written there whole: that nothing would be overwritten.

    Raises:
        InvalidSpec: `out` is a file, a link that leads nowhere, or a folder with something in it.
    """
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise InvalidSpec([Problem("out", f"{out} is not a folder; accepted: a new or an empty folder")])
    if any(out.iterdir()):
        raise InvalidSpec([Problem("out", f"{out} has something in it; accepted: a new or an empty folder")])


@contextmanager
def write_folder_whole(out: Path) -> Iterator[Path]:
    """Give a temporary folder whose files are in `out` at the end; it is removed where the block fails.

    A new folder appears whole: a kill at any point leaves all of it or none. One that exists, and is empty,
    stays that folder: the files move into it, one after the other, once all of them are written.

    Raises:
        InvalidSpec: `out` is a file or has something in it.
        StoreUnavailable: the disk cannot take it (full, read-only, gone).
    """
    check_new_or_empty(out)
    # A shell may stand in a folder that exists, or a disk be mounted there: it cannot be replaced, and what
    # is beside it may be on another disk, or somebody else's.
    exists = out.is_dir()
    temporary: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".nas-", dir=out if exists else out.parent))
        yield temporary
        for file in temporary.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        sync_folder(temporary)
        if exists:
            for file in list(temporary.iterdir()):
                file.rename(out / file.name)
            sync_folder(out)
        else:
            temporary.chmod(0o755)  # mkdtemp keeps it to its owner
            temporary.rename(out)
            sync_folder(out.parent)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary)
