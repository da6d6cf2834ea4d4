"""Google's LiteRT (once TensorFlow Lite), which runs on phones and on this processor."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.children import ROOT
from workers.errors import ModelUnusable
from workers.runtimes.programs import LoadedProgram, packed, traceable, unpacked
from workers.runtimes.runtime import LoadedModel, ModelFormat, Runtime, register_runtime

__all__ = ["CONVERTER", "LiteRt"]

CONVERTER = "NAS_LITERT_PYTHON"
"""Environment variable: the Python of an environment that has the converter, `litert-torch`, which pins other
versions of libraries than this project."""

CONVERT = "import sys; from workers.runtimes.litert import _convert; _convert(*sys.argv[1:])"
SECONDS = 600.0


@register_runtime("litert")
class LiteRt(Runtime):
    """`ai-edge-litert` with its XNNPACK delegate. A model is rebuilt from its architecture and weights and
    converted for its workload's shape alone by `litert-torch`, in a process of its own (`CONVERTER`); that
    takes seconds a model, and is not part of what is timed."""

    package = "ai-edge-litert"
    model_format = ModelFormat.SUBMODEL
    dtypes = ("fp32",)
    any_shape = False

    def obstacle(self) -> str | None:
        """See `Runtime.obstacle`."""
        found = super().obstacle()
        if found is not None:
            return found
        if _converter() is None:
            return (
                "its converter is not here: pip install litert-torch in an environment of its own, "
                f"and say in {CONVERTER} where that has its python"
            )
        return None

    def convert(self, model: bytes, dtype: str) -> bytes:
        """See `Runtime.convert`."""
        python = _converter()
        assert python is not None  # `prepare` asks whether it works
        with tempfile.TemporaryDirectory(prefix="nas-litert-") as folder:
            source, converted = Path(folder) / "submodel", Path(folder) / "program"
            source.write_bytes(model)
            environment = {**os.environ, "PYTHONPATH": ROOT, "CUDA_VISIBLE_DEVICES": ""}
            # Else it would take modules from the current folder before any other.
            command = [python, "-P", "-c", CONVERT, str(source), str(converted)]
            ran = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
            if not converted.is_file():
                last = (ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"])[-1]
                raise ModelUnusable(f"litert-torch does not convert the model: {last}")
            return converted.read_bytes()

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`."""
        from ai_edge_litert.interpreter import Interpreter

        program, content = unpacked(prepared)
        try:
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
            runner = interpreter.get_signature_runner()
        except (RuntimeError, ValueError) as error:
            raise ModelUnusable(f"litert does not load the model: {error}") from error
        inputs, outputs = (
            [details[name] for name in sorted(details, key=_number)]
            for details in (runner.get_input_details(), runner.get_output_details())
        )

        def call(values: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
            try:
                for declared, value in zip(inputs, values, strict=True):
                    interpreter.set_tensor(declared["index"], np.asarray(value, declared["dtype"]))
                interpreter.invoke()
            except (RuntimeError, ValueError) as error:
                raise ModelUnusable(f"litert does not run the model: {error}") from error
            return [interpreter.get_tensor(declared["index"]) for declared in outputs]

        return LoadedProgram(program, call)


def _converter() -> str | None:
    """The Python that converts; this one where it can."""
    named = os.environ.get(CONVERTER)
    if named is not None:
        return named if Path(named).is_file() else None
    return sys.executable if importlib.util.find_spec("litert_torch") else None


def _number(name: str) -> int:
    """Inputs are called ``args_0``, …, outputs ``output_0``, …"""
    return int(name.rpartition("_")[2])


def _convert(source: str, converted: str) -> None:
    """In the converter's process."""
    import litert_torch

    program, module, examples = traceable(Path(source).read_bytes())
    made = Path(converted).with_suffix(".tflite")
    litert_torch.convert(module, examples).export(str(made))
    Path(converted).write_bytes(packed(program, made.read_bytes()))
