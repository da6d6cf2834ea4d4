"""What must be quick to import stays free of what is slow to import."""

import subprocess
import sys

import pytest

SLOW = ("torch", "ray", "grpc", "sqlalchemy")
CHECK = f"""
import sys
loaded = [name for name in {SLOW!r} if name in sys.modules]
sys.exit(f"loaded {{loaded}}" if loaded else 0)
"""


def run(code: str) -> None:
    result = subprocess.run([sys.executable, "-c", code + CHECK], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("package", ["searchspaces", "predictors", "workers", "nas", "nas.cli.main"])
def test_importing_a_package_loads_nothing_slow(package):
    run(f"import {package}\n")


def test_help_loads_nothing_slow():
    run(
        "import nas.cli.main, sys\n"
        "sys.argv = ['nas', '--help']\n"
        "try:\n    nas.cli.main.main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
    )
