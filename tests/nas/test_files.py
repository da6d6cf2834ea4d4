"""Folders of one process each, with real processes that are killed; folders that are written whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from nas.errors import InvalidSpec, StoreUnavailable
from nas.files import own_folder, write_folder_whole

HOLD = """
import sys, time
from pathlib import Path
from nas.files import own_folder
with own_folder(Path(sys.argv[1])) as folder:
    (folder / "model").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_only_what_the_dead_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    run = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as holder:
        held = Path(holder.stdout.readline().strip())
        with own_folder(tmp_path) as own:
            assert own != held
            assert (held / "model").exists(), "its owner lives"
        assert not own.exists()
        holder.kill()
        holder.wait()
    assert held.exists()
    with own_folder(tmp_path) as own:
        assert sorted(tmp_path.iterdir()) == sorted([own, tmp_path / "a file"])


def test_the_empty_folder_that_a_shell_stands_in_is_written_and_stays(tmp_path: Path, monkeypatch) -> None:
    here = tmp_path / "here"
    here.mkdir(mode=0o700)
    monkeypatch.chdir(here)
    with write_folder_whole(Path(".")) as folder:
        (folder / "model").write_text("whole")
        assert not (here / "model").exists()
    assert Path("model").read_text() == "whole", "seen from within: it is the same folder"
    assert list(here.iterdir()) == [here / "model"]
    assert list(tmp_path.iterdir()) == [here]
    assert here.stat().st_mode & 0o777 == 0o700, "its owner's mode"


@pytest.mark.parametrize("exists", [True, False], ids=["an empty folder", "a new folder"])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    with pytest.raises(StoreUnavailable), write_folder_whole(out) as folder:
        (folder / "nowhere" / "model").write_text("half")
    assert list(tmp_path.rglob("*")) == ([out] if exists else [])


def test_what_is_no_new_or_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path, tmp_path / "file", tmp_path / "link"):
        with pytest.raises(InvalidSpec, match="accepted: a new or an empty folder"), write_folder_whole(path):
            pytest.fail("begun")
