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

PROMPTS, TOKENS = "openvino_model.xml", "openvino_decode.xml"


@register_format("openvino")
class OpenVinoIr(ExportFormat):
    """``openvino_model.xml`` takes prompts, ``openvino_decode.xml`` tokens after them on the same states
    (`BlockLibrary.compose_extend`), each with its ``.bin``, float32; and the weights as everywhere.

    One file for both would have a branch, `If`, of which OpenVINO 2026.4 computes some on memory that it has
    given to something else by then (two layers of kernel mixers with short convolutions, a single token or 64
    of them).
    """

    packages = ("openvino",)

    def write(self, submodel: Submodel, folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See `ExportFormat.write`; here the engine has to be installed."""
        try:
            import openvino
        except ImportError as error:
            said = "its model files are written by openvino itself; accepted: pip install openvino"
            raise InvalidSpec([Problem("--format", f"no openvino: {said}")]) from error
        from safetensors.torch import save_file

        architecture, library = submodel.architecture, BlockLibrary()
        weights = {name: value.detach().contiguous() for name, value in submodel.state_dict().items()}
        arrays = {name: value.numpy() for name, value in weights.items()}
        try:
            prompts = library.compose_extend(architecture, arrays, branches=False)
            tokens = library.compose_extend(architecture, arrays, tokens=1)
        except ValueError as error:
            raise InvalidSpec([Problem("--format", f"no openvino: {error}")]) from error
        for name, model in {PROMPTS: prompts, TOKENS: tokens}.items():
            read = openvino.Core().read_model(model.SerializeToString())
            openvino.save_model(read, folder / name, compress_to_fp16=False)
        save_file(weights, folder / "model.safetensors")
        write_json(folder / "config.json", {"format": 1, "architecture": architecture.to_dict()})
        return {"graph": PROMPTS, "decode": TOKENS}

    def load(self, folder: Path) -> Callable[[Tensor], Tensor]:
        """See `ExportFormat.load`: part of every sequence, then the rest on its states, the last token
        by the file for one."""
        import openvino
        import torch

        wanted, core = {"INFERENCE_PRECISION_HINT": "f32"}, openvino.Core()
        try:
            prompts, one = (core.compile_model(folder / name, "CPU", wanted) for name in (PROMPTS, TOKENS))
        except RuntimeError as error:
            raise ModelRejected(f"openvino does not load the model: {error}") from error
        # A port has the names of everything in the graph that is equal to it.
        ports = [(name, port.partial_shape) for port in prompts.inputs for name in port.names]
        states = {name: shape for name, shape in ports if STATE in name}

        def run(ids: Tensor) -> Tensor:
            feeds: dict[str, Any] = {POSITION: np.array(0)}
            for name, (_, *sizes) in states.items():
                shape = [size.get_length() if size.is_static else 0 for size in sizes]
                feeds[name] = np.zeros([len(ids), *shape], np.float32)
            rows, (first, more) = [], divmod(ids.shape[1], 2)
            for part in ids.split([first, first + more - 1, 1], dim=1):
                if not part.shape[1]:
                    continue
                model = one if part.shape[1] == 1 else prompts
                try:
                    found = model({"tokens": part.numpy(), **feeds})
                except RuntimeError as error:
                    raise ModelRejected(f"openvino does not run the model: {error}") from error
                told = {name: value for port, value in found.items() for name in port.names}
                rows.append(torch.from_numpy(told["logits"].copy()))
                feeds = {name: told[name.replace(STATE, NEXT)] for name in states}
                feeds[POSITION] = told[NEXT + POSITION]
            return torch.cat(rows, dim=1)

        return run
