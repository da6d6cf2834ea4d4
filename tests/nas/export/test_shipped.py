"""Folders hold the files that their targets are timed with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import nas.export.shipped
from nas.errors import ModelRejected
from nas.export import BlockLibrary, TimedModels, write_model_folder
from nas.export.verify import verify_model_folder
from nas.export.weights import random_weights
from searchspaces.architecture import Architecture, Layer
from searchspaces.submodel import Submodel
from workers.runtimes.onnx_states import APPENDED, WORKLOAD
from workers.target import Phase, Target, Workload

LIBRARY = BlockLibrary()
PROMPTS, DECODING = Workload(tokens=256), Workload(Phase.DECODE, batch=2, tokens=64)


@pytest.fixture(scope="module")
def submodel() -> Submodel:
    architecture = Architecture(256, 16, (Layer("window:8", 2, ratio=2), Layer("softmax", 2, ratio=1)))
    made = Submodel(architecture)
    made.load_state_dict(random_weights(architecture))
    return made.eval()


def test_each_target_has_the_file_that_it_was_timed_with(submodel: Submodel, tmp_path: Path) -> None:
    targets = [
        Target("here", "onnxruntime", "fp32", workload=PROMPTS),
        Target("here", "onnxruntime", "int8", workload=PROMPTS),
        Target("here", "onnxruntime", "fp32", workload=DECODING),
        Target("there", "onnxruntime", "fp32", workload=DECODING),
        Target("here", "torch", "fp32", workload=PROMPTS),
    ]
    out = tmp_path / "model"
    manifest = write_model_folder(submodel, out, {}, LIBRARY, targets=targets)
    names = ["model.onnx", "model.int8.onnx", "decode.onnx", "decode.onnx"]
    assert manifest["onnx"]["targets"] == dict(zip(map(str, targets), names, strict=False))
    assert manifest["onnx"]["decoding"] == {"form": "in place", "domains": ["com.microsoft"]}
    assert (out / "extend.onnx").is_file()
    assert all(check.agrees for check in verify_model_folder(out))
    timed = TimedModels()
    for target, name in zip(targets, names, strict=False):
        shipped = onnx.load_model_from_string((out / name).read_bytes())
        known = onnx.load_model_from_string(timed.model(submodel.architecture, target))
        if target.dtype == "fp32":  # the same weights, since they are as random; but for the workload's note
            kept = [told for told in known.metadata_props if told.key != WORKLOAD]
            known.ClearField("metadata_props")
            known.metadata_props.extend(kept)
            assert shipped == known
    (appended,) = onnx.load_model_from_string((out / "decode.onnx").read_bytes()).metadata_props
    assert (appended.key, appended.value) == (APPENDED, "layers.1.state_k layers.1.state_v")


def test_what_decodes_is_compared_with_torch(
    submodel: Submodel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target("here", "onnxruntime", "fp32", workload=DECODING)
    manifest = write_model_folder(submodel, tmp_path / "model", {}, LIBRARY, targets=[target])
    assert 0 < manifest["onnx"]["largest_difference"] < 1e-5
    forward = Submodel.forward

    def wrong_after_the_prompt(self: Submodel, tokens: torch.Tensor) -> torch.Tensor:
        logits = forward(self, tokens)
        if tokens.shape[1] == sum(nas.export.shipped.PIECES):
            logits[:, -1] += np.float32(0.1)
        return logits

    monkeypatch.setattr(Submodel, "forward", wrong_after_the_prompt)
    with pytest.raises(ModelRejected, match=r"differ by 0\.1"):
        write_model_folder(submodel, tmp_path / "wrong", {}, LIBRARY, targets=[target])
    assert not (tmp_path / "wrong").exists()
