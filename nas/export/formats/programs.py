"""Folders of compiled programs, for engines whose files take one shape: ExecuTorch's and LiteRT's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidSpec, ModelRejected
from nas.export.folder import write_json
from nas.export.formats.format import ExportFormat, register_format
from nas.export.timed import submodel_file
from searchspaces.errors import Problem
from workers.errors import WorkerError
from workers.runtimes import parse_runtime
from workers.runtimes.programs import LoadedProgram, Program, packed, unpacked
from workers.target import Phase, Workload

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.submodel import Submodel

__all__ = ["PROMPT", "ExecuTorchFolder", "LiteRtFolder", "Programs"]

PROMPT = 512
"""Tokens that the program for prompts takes; shorter ones are padded behind."""


class Programs(ExportFormat):
    """``model`` takes a prompt of `PROMPT` tokens; shorter ones are padded behind, since what follows a token
    changes nothing of what it gives. ``step`` takes a token, the position and the states, where no layer
    keeps every token: a cache that grows has no one shape. `config.json` says the shapes of both.

    Attributes:
        runtime: name of the engine.
        suffix: of its files.
    """

    runtime: ClassVar[str]
    suffix: ClassVar[str]

    def write(self, submodel: Submodel, folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See `ExportFormat.write`; here the engine, and what compiles for it, have to be installed."""
        from safetensors.torch import save_file

        from searchspaces.submodel import has_bounded_state

        obstacle = parse_runtime(self.runtime).obstacle()
        if obstacle is not None:
            raise InvalidSpec([Problem("--format", f"no {self.name}: {obstacle}")])
        architecture = submodel.architecture
        weights = {name: value.detach().contiguous() for name, value in submodel.state_dict().items()}
        workloads = {"model": Workload(tokens=PROMPT)}
        if has_bounded_state(architecture):
            workloads["step"] = Workload(Phase.DECODE, tokens=1)
        programs = {}
        for name, workload in workloads.items():
            file = submodel_file(architecture, weights, workload)
            try:
                program, content = unpacked(parse_runtime(self.runtime).prepare(file, "fp32"))
            except WorkerError as error:
                raise InvalidSpec([Problem("--format", f"no {self.name}: {error}")]) from error
            (folder / (name + self.suffix)).write_bytes(content)
            programs[name] = asdict(program)
        save_file(weights, folder / "model.safetensors")
        config = {"format": 1, "architecture": architecture.to_dict(), **programs}
        write_json(folder / "config.json", config)
        return {"programs": [name + self.suffix for name in programs]}

    def load(self, folder: Path) -> Callable[[Tensor], Tensor]:
        """See `ExportFormat.load`: by the program for prompts. The function raises `ModelRejected` also where
        sequences have more than `PROMPT` tokens."""
        import torch

        loaded = self.loaded(folder, "model")

        def run(ids: Tensor) -> Tensor:
            if ids.shape[1] > PROMPT:
                taken = f"the program takes prompts of at most {PROMPT} tokens"
                raise ModelRejected(f"{taken}, got {ids.shape[1]}")
            rows = []
            for row in ids.numpy():
                padded = np.zeros((1, PROMPT), np.int64)
                padded[0, : len(row)] = row
                rows.append(loaded([padded])[0][0, : len(row)])
            return torch.from_numpy(np.stack(rows))

        return run

    def difference(self, submodel: Submodel, folder: Path) -> float:
        """See `ExportFormat.difference`; by single tokens too, where there is a program for that."""
        import torch

        difference = super().difference(submodel, folder)
        if (folder / f"step{self.suffix}").is_file():
            ids = torch.from_numpy(
                np.random.default_rng(0).integers(submodel.architecture.vocabulary, size=32)
            )
            with torch.inference_mode():
                expected = submodel(ids[None])[0].numpy()
            found = np.stack(self.stepped(folder, ids.tolist()))
            difference = max(difference, float(np.abs(found - expected).max()))
        return difference

    def stepped(self, folder: Path, tokens: Sequence[int]) -> list[NDArray[np.float32]]:
        """Logits (V,) after each token of a sequence, one at a time.

        Raises:
            ModelRejected: the engine does not load or run it.
        """
        loaded, states = self.loaded(folder, "step"), [np.zeros(s, np.float32) for s in _shapes(folder)]
        logits = []
        for position, token in enumerate(tokens):
            told, *states = loaded([np.array([[token]]), np.array(position), *states])
            logits.append(np.array(told[0, -1]))
        return logits

    def loaded(self, folder: Path, name: str) -> Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[Any]]]:
        """A program in its engine: inputs → outputs.

        Raises:
            ModelRejected: it does not load; the function raises it where it does not run.
        """
        try:
            program, content = _program(folder, name), (folder / (name + self.suffix)).read_bytes()
            loaded = parse_runtime(self.runtime).load(packed(program, content), "fp32", 1)
        except (WorkerError, OSError) as error:
            raise ModelRejected(f"{self.runtime} does not load the model: {error}") from error
        assert isinstance(loaded, LoadedProgram)

        def call(inputs: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
            try:
                return loaded.call(inputs)
            except WorkerError as error:
                raise ModelRejected(str(error)) from error

        return call


@register_format("executorch")
class ExecuTorchFolder(Programs):
    """``model.pte`` and ``step.pte``."""

    packages = ("executorch",)
    runtime, suffix = "executorch", ".pte"


@register_format("litert")
class LiteRtFolder(Programs):
    """``model.tflite`` and ``step.tflite``."""

    packages = ("ai-edge-litert",)
    runtime, suffix = "litert", ".tflite"

    def versions(self) -> dict[str, str | None]:
        """See `ExportFormat.versions`; none where the converter is not here."""
        found = super().versions()
        return found if parse_runtime(self.runtime).obstacle() is None else dict.fromkeys(found)


def _program(folder: Path, name: str) -> Program:
    try:
        return Program.from_dict(json.loads((folder / "config.json").read_text())[name])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelRejected(f"{folder} does not say what its program {name!r} takes: {error}") from error


def _shapes(folder: Path) -> tuple[tuple[int, ...], ...]:
    return _program(folder, "step").states
