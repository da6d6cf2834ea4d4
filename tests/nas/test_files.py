"""Folders of one process each, with real processes that are killed."""

import subprocess
import sys
from pathlib import Path

from nas.files import own_folder

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
