"""`docs/howto-deploy.md` does what it says: every engine generates the tokens that torch does."""

import re
from pathlib import Path

import pytest
import torch

from nas.export import BlockLibrary, write_model_folder
from searchspaces.architecture import Architecture, Layer
from searchspaces.submodel import Submodel

PAGE = (Path(__file__).parents[3] / "docs" / "howto-deploy.md").read_text()


def test_every_engine_generates_the_same_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("onnxruntime_genai")
    pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.manual_seed(0)
    submodel = Submodel(
        Architecture(256, 16, (Layer("window:8", 2, ratio=1), Layer("softmax", 2, ratio=1)))
    ).eval()
    write_model_folder(submodel, tmp_path / "model", {}, BlockLibrary())
    expected = torch.tensor([list(b"The ")])
    with torch.inference_mode():
        for _ in range(50):
            expected = torch.cat([expected, submodel(expected)[:, -1:].argmax(-1)], dim=1)
    convert, *engines = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(convert, "howto-deploy.md", "exec"), {})
    for code in engines:
        found: dict[str, list[int]] = {}
        exec(compile(code, "howto-deploy.md", "exec"), found)
        assert found["tokens"] == expected[0].tolist()
    assert len(engines) == 3
