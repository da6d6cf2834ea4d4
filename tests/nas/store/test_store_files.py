"""Files that the store refers to are what they were when they were written."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from nas.errors import JobFailed, ModelRejected
from nas.store import files, open_store
from nas.store.files import keep_checksum, verified


def test_a_file_whose_content_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "supernets" / "a" / "supernet.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"floats")
    with closing(open_store(tmp_path)) as store:
        keep_checksum(store, tmp_path, path)
        assert verified(store, tmp_path, path) == path
        path.write_bytes(b"flotas")
        with pytest.raises(ModelRejected, match="is not the file that was written: its SHA-256 is"):
            verified(store, tmp_path, path)
        path.write_bytes(b"floats")
        assert verified(store, tmp_path, path) == path
        path.unlink()
        with pytest.raises(JobFailed, match="No such file"):
            verified(store, tmp_path, path)


def test_a_file_of_an_earlier_version_is_noted_as_it_is_found(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    path.write_bytes(b"old")
    with closing(open_store(tmp_path)) as store:
        verified(store, tmp_path, path)
        path.write_bytes(b"new")
        with pytest.raises(ModelRejected):
            verified(store, tmp_path, path)


def test_a_large_file_is_read_once_a_process_unless_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.safetensors"
    path.write_bytes(b"large")
    opened = []
    whole = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: opened.append(self) or whole(self, *a, **k))
    with closing(open_store(tmp_path)) as store:
        for _ in range(3):
            verified(store, tmp_path, path)
        assert opened.count(path) == 1
        os.utime(path, ns=(1, 1))
        verified(store, tmp_path, path)
        assert opened.count(path) == 2
    assert files._CHECKED[path][1] == files._sha256(path)
