"""The engine that browsers measure with: files of onnxruntime-web, which `make web-assets` fetches."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from workers.errors import EngineMissing

__all__ = ["ENGINE", "FILES", "check_engine", "engine_version"]

ENGINE = Path(str(files("workers.gateway") / "engine"))
"""In the wheel, not in git."""

LOCK = Path(str(files("workers.gateway") / "npm" / "package-lock.json"))

FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)


def engine_version() -> str:
    """The version of onnxruntime-web that is locked."""
    packages = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    return str(packages["node_modules/onnxruntime-web"]["version"])


def check_engine() -> None:
    """See that browsers can be served.

    Raises:
        EngineMissing: they cannot.
    """
    missing = [name for name in FILES if not (ENGINE / name).is_file()]
    if missing:
        raise EngineMissing(
            f"onnxruntime-web is not here ({missing[0]} and {len(missing) - 1} other files are missing); "
            "in a checkout, with npm: make web-assets"
        )
