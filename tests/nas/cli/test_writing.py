"""`--out`: what is there keeps what it is."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from nas.cli.output import check_file, write_or_print
from nas.errors import InvalidSpec, StoreUnavailable


def test_a_regular_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    out = tmp_path / "front.csv"
    write_or_print("old\n", out)
    out.chmod(0o600)
    write_or_print("new ★\n", out)
    assert out.read_text() == "new ★\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [out]


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link, dangling = tmp_path / "there" / "a.json", tmp_path / "link", tmp_path / "dangling"
    target.write_text("old")
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "there" / "b.json")
    write_or_print({"new": 1}, link)
    write_or_print({"new": 2}, dangling)
    assert link.is_symlink()
    assert dangling.is_symlink()
    assert "1" in target.read_text()
    assert "2" in (tmp_path / "there" / "b.json").read_text()


def test_a_fifo_is_written_through(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(fifo.read_text()))
    reader.start()
    write_or_print("answer", fifo)
    reader.join(10)
    assert heard == ["answer"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_device_is_written_through() -> None:
    before = os.stat("/dev/null")
    write_or_print("answer", Path("/dev/null"))
    after = os.stat("/dev/null")
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)


def test_what_can_be_written_is_told_without_writing(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    for out in ("there", "link", "deep/er/out.json"):
        check_file(tmp_path / out)
    check_file(Path("/dev/null"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreUnavailable, match="may not be written"):
        check_file(tmp_path / "deep" / "out.json")


def test_what_can_be_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InvalidSpec, match="--out"):
        write_or_print("answer", tmp_path / "a")
    with pytest.raises(InvalidSpec, match="is a folder"):
        write_or_print("answer", tmp_path)
    if os.path.exists("/dev/full"):
        with pytest.raises(StoreUnavailable, match="/dev/full"):
            write_or_print("answer", Path("/dev/full"))
