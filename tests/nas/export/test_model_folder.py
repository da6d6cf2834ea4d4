"""The folder that `extract` hands over."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

import nas.export.folder
from nas.errors import InvalidSpec, ModelRejected, StoreUnavailable
from nas.export import BlockLibrary, attention_for, load_model_folder, write_model_folder
from nas.export.attention import Form
from searchspaces.architecture import Architecture, Layer
from searchspaces.submodel import Submodel
from workers.target import Target, Workload

LIBRARY = BlockLibrary()
FACTS = {"supernet": {"digest": "abc", "seed": 3}, "quality": {"test": 2.5}}


@pytest.fixture
def submodel() -> Submodel:
    layers = (Layer("window:8", 2, ratio=2), Layer("none", 0, ratio=1), Layer("softmax", 4, ratio=1))
    return Submodel(Architecture(256, 16, layers))


def write(submodel: Submodel, out: Path) -> dict[str, Any]:
    return write_model_folder(submodel, out, FACTS, LIBRARY)


def test_the_folder_holds_a_model_that_runs_and_says_what_it_is(submodel: Submodel, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    manifest = write(submodel, out)
    assert manifest == json.loads((out / "manifest.json").read_text())
    files = {"model.onnx", "model.safetensors", "config.json"}
    assert {file.name for file in out.iterdir()} == files | {"manifest.json"}
    assert [file.name for file in out.parent.iterdir()] == ["model"]
    assert manifest["files"] == {n: hashlib.sha256((out / n).read_bytes()).hexdigest() for n in files}
    assert manifest["supernet"] == FACTS["supernet"]
    assert manifest["digest"] == submodel.architecture.digest
    assert manifest["onnx"]["attention"] == {"form": "blocks", "domains": []}
    assert 0 <= manifest["onnx"]["largest_difference"] <= 1e-3
    rows = manifest["layers"]
    assert [row["mixer"] for row in rows] == ["window:8", "none", "softmax"]
    outside = submodel.embedding.numel() + submodel.norm.numel()
    assert sum(row["parameters"] for row in rows) + outside == sum(p.numel() for p in submodel.parameters())

    tokens = np.random.default_rng(0).integers(256, size=(2, 21))
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"tokens": tokens})
    loaded = load_model_folder(out)
    with torch.inference_mode():
        expected = loaded(torch.from_numpy(tokens))
        assert torch.equal(expected, submodel(torch.from_numpy(tokens)))
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)


def test_an_operator_outside_the_standard_is_said_and_a_standard_file_lies_beside(
    submodel: Submodel, tmp_path: Path
) -> None:
    """A target of long prompts in onnxruntime has the form that is fastest there."""
    attention = attention_for([Target("laptop", "torch"), Target("laptop", workload=Workload(tokens=4096))])
    manifest = write_model_folder(submodel, tmp_path / "out", FACTS, LIBRARY, attention)
    assert manifest["onnx"]["attention"] == {"form": "flash", "domains": ["com.microsoft"]}
    assert {"model.onnx", "standard.onnx"} < set(manifest["files"])
    imports = {
        name: {opset.domain for opset in onnx.load_model(tmp_path / "out" / name).opset_import}
        for name in ("model.onnx", "standard.onnx")
    }
    assert "com.microsoft" in imports["model.onnx"] - imports["standard.onnx"]


def test_an_empty_folder_is_filled_and_any_other_refused(submodel: Submodel, tmp_path: Path) -> None:
    empty, full, file = tmp_path / "empty", tmp_path / "full", tmp_path / "file"
    empty.mkdir()
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    file.touch()
    write(submodel, empty)
    for out in (full, file, empty):
        with pytest.raises(InvalidSpec, match=r"out: .* accepted: a new or an empty folder"):
            write(submodel, out)
    assert [f.name for f in full.iterdir()] == ["mine.txt"]


class Wrong(BlockLibrary):
    """Composes files whose weights are off by a given amount."""

    def __init__(self, error: float) -> None:
        super().__init__()
        self.error = error

    def compose(
        self, architecture: Architecture, weights: Any = None, seed: int = 0, attention: Form | None = None
    ) -> Any:
        off: dict[str, NDArray[np.float32]] = {name: value + self.error for name, value in weights.items()}
        return LIBRARY.compose(architecture, off, seed, attention)


@pytest.mark.parametrize("error", [0.05, float("nan")])
def test_a_file_whose_outputs_differ_is_rejected_and_nothing_stays(
    submodel: Submodel, tmp_path: Path, error: float
) -> None:
    with pytest.raises(ModelRejected, match=r"logits of onnxruntime and torch differ by .*accepted: 0.001"):
        write_model_folder(submodel, tmp_path / "out", FACTS, Wrong(np.float32(error)))
    assert not list(tmp_path.iterdir())


def test_a_file_that_does_not_load_is_rejected(
    submodel: Submodel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def SerializeToString(self) -> bytes:  # noqa: N802
            return b"not a model"

    monkeypatch.setattr(BlockLibrary, "compose", lambda *_, **__: Broken())
    with pytest.raises(ModelRejected, match="onnxruntime does not load"):
        write(submodel, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_nothing_is_said_so(submodel: Submodel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot write"):
        write(submodel, tmp_path / "file" / "out")


def test_a_failure_half_way_leaves_nothing(
    submodel: Submodel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nas.export.folder, "write_json", full_disk)
    with pytest.raises(StoreUnavailable, match="No space left on device"):
        write(submodel, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_changed_or_missing_file_is_noticed(submodel: Submodel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(submodel, out)
    (out / "config.json").write_text("{}")
    with pytest.raises(ModelRejected, match=r"config\.json changed since"):
        load_model_folder(out)
    (out / "model.safetensors").unlink()
    with pytest.raises(ModelRejected, match=r"model\.safetensors changed since"):
        load_model_folder(out)
    (out / "manifest.json").unlink()
    with pytest.raises(ModelRejected, match="is not a model folder"):
        load_model_folder(out)
