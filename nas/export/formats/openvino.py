"""Folders of OpenVINO's intermediate representation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import InvalidSpec, ModelRejected
from nas.export.folder import write_json
from nas.export.formats.format import ExportFormat, register_format
from nas.export.library import BlockLibrary
from searchspaces.errors import Problem
from workers.runtimes.onnx_states import NEXT, POSITION, STATE

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.submodel import Submodel

__all__ = ["OpenVinoIr"]

MODEL = "openvino_model.xml"


@register_format("openvino")
class OpenVinoIr(ExportFormat):
    """``openvino_model.xml`` and ``.bin``: the graph that takes prompts and single tokens
    (`BlockLibrary.compose_extend`), float32, and the weights as everywhere."""

    packages = ("openvino",)

    def write(self, submodel: Submodel, folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See `ExportFormat.write`; here the engine has to be installed."""
        try:
            import openvino
        except ImportError as error:
            said = "its model files are written by openvino itself; accepted: pip install openvino"
            raise InvalidSpec([Problem("--format", f"no openvino: {said}")]) from error
        from safetensors.torch import save_file

        architecture = submodel.architecture
        weights = {name: value.detach().contiguous() for name, value in submodel.state_dict().items()}
        try:
            model = BlockLibrary().compose_extend(architecture, {n: v.numpy() for n, v in weights.items()})
        except ValueError as error:
            raise InvalidSpec([Problem("--format", f"no openvino: {error}")]) from error
        read = openvino.Core().read_model(model.SerializeToString())
        openvino.save_model(read, folder / MODEL, compress_to_fp16=False)
        save_file(weights, folder / "model.safetensors")
        write_json(folder / "config.json", {"format": 1, "architecture": architecture.to_dict()})
        return {"graph": MODEL}

    def load(self, folder: Path) -> Callable[[Tensor], Tensor]:
        """See `ExportFormat.load`: a first part of every sequence, then the rest on its states."""
        import openvino
        import torch

        try:
            wanted = {"INFERENCE_PRECISION_HINT": "f32"}
            compiled = openvino.Core().compile_model(folder / MODEL, "CPU", wanted)
        except RuntimeError as error:
            raise ModelRejected(f"openvino does not load the model: {error}") from error
        outputs = {port.any_name: port for port in compiled.outputs}
        states = {port.any_name: port.partial_shape for port in compiled.inputs if STATE in port.any_name}

        def run(ids: Tensor) -> Tensor:
            feeds: dict[str, Any] = {POSITION: np.array(0)}
            for name, (_, *sizes) in states.items():
                shape = [size.get_length() if size.is_static else 0 for size in sizes]
                feeds[name] = np.zeros([len(ids), *shape], np.float32)
            rows = []
            for part in ids.split([(ids.shape[1] + 1) // 2, ids.shape[1] // 2], dim=1):
                if not part.shape[1]:
                    continue
                try:
                    told = compiled({"tokens": part.numpy(), **feeds})
                except RuntimeError as error:
                    raise ModelRejected(f"openvino does not run the model: {error}") from error
                rows.append(torch.from_numpy(told[outputs["logits"]].copy()))
                feeds = {name: told[outputs[name.replace(STATE, NEXT)]] for name in states}
                feeds[POSITION] = told[outputs[NEXT + POSITION]]
            return torch.cat(rows, dim=1)

        return run
