"""`docs/howto-deploy.md` does what it says: every engine generates the tokens that torch does."""

import re
from pathlib import Path

import pytest
import torch

from nas.export import BlockLibrary, write_model_folder
from nas.export.convert import convert_model_folder
from searchspaces.architecture import Architecture, Layer
from searchspaces.submodel import Submodel
from workers.runtimes import parse_runtime
from workers.target import Phase, Target, Workload

COMPILED = {"executorch": "executorch", "litert": "ai_edge_litert"}
"""Engines that compile, and what their examples import."""

DECODING = Target("here", workload=Workload(Phase.DECODE, tokens=64))

PAGE = (Path(__file__).parents[3] / "docs" / "howto-deploy.md").read_text()


BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of the model in the folder `model` of the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.manual_seed(0)
    submodel = Submodel(
        Architecture(256, 16, (Layer("window:8", 2, ratio=1), Layer("softmax", 2, ratio=1)))
    ).eval()
    write_model_folder(submodel, tmp_path / "model", {}, BlockLibrary(), targets=[DECODING])
    tokens = torch.tensor([list(b"The ")])
    with torch.inference_mode():
        for _ in range(50):
            tokens = torch.cat([tokens, submodel(tokens)[:, -1:].argmax(-1)], dim=1)
    found: list[int] = tokens[0].tolist()
    return found


def tokens_of(code: str) -> list[int]:
    found: dict[str, list[int]] = {}
    exec(compile(code, "howto-deploy.md", "exec"), found)
    return found["tokens"]


def test_every_engine_generates_the_same_tokens(expected: list[int]) -> None:
    for package in ("transformers", "onnxruntime_genai", "openvino"):
        pytest.importorskip(package)
    convert, *engines = [code for code in BLOCKS if not any(name in code for name in COMPILED.values())]
    exec(compile(convert, "howto-deploy.md", "exec"), {})
    assert [tokens_of(code) for code in engines] == [expected] * 4


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMPILED))
def test_engines_that_compile_generate_the_same_tokens(name: str, expected: list[int]) -> None:
    obstacle = parse_runtime(name).obstacle()
    if obstacle is not None:
        pytest.skip(obstacle)
    convert_model_folder(Path("model"), Path(name), name)
    (code,) = [code for code in BLOCKS if COMPILED[name] in code]
    assert tokens_of(code) == expected
