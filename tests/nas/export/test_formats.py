"""Folders in other formats: each engine loads what is written for it and computes what torch does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.cli.fronts import _extract
from nas.errors import InvalidSpec, ModelRejected
from nas.export import BlockLibrary, load_model_folder, write_model_folder
from nas.export.convert import convert_model_folder
from nas.export.formats import FORMATS, get_format
from nas.export.formats.huggingface import modelling_source
from searchspaces.architecture import Architecture, Layer
from searchspaces.mixers import mixers
from searchspaces.part import Sight
from searchspaces.submodel import Submodel

FACTS = {"quality": {"metric": "bits_per_byte", "validation": 2.25, "test": 2.5}, "task": {"name": "text"}}

ALONE = """
import sys

class NotHere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"nas", "searchspaces", "workers", "predictors"}:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, NotHere())
folder, tokens, again = sys.argv[1:]
"""
"""Begins a script that cannot import this project."""

TRANSFORMERS = """
import json
import shutil
import torch
from transformers import AutoModelForCausalLM

ids = torch.tensor(json.loads(tokens))
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    whole = model(ids).logits
    given, parts = None, []
    for part in ids.split([9, 1, 1, 13], dim=1):
        given = model(part, cache=None if given is None else given.cache, use_cache=True)
        parts.append(given.logits)
    cached = torch.cat(parts, dim=1)
    prompt = greedy = ids[:, :5]
    for _ in range(8):
        greedy = torch.cat([greedy, model(greedy).logits[:, -1:].argmax(-1)], dim=1)
    said = {"max_new_tokens": 8, "do_sample": False}
    beams = [model.generate(prompt, num_beams=3, use_cache=use, **said).tolist() for use in (True, False)]
    generated = model.generate(prompt, **said)
    loss = model(ids, labels=ids).loss.item()
    short, left = ids[:1, :9], torch.zeros(1, 15, dtype=torch.long)
    batch = torch.cat([torch.cat([left, short], dim=1), ids[1:]])
    mask = torch.ones_like(batch)
    mask[0, :15] = 0
    pair = model.generate(batch, attention_mask=mask, pad_token_id=0, **said)
    alone = [model.generate(each, **said)[0, -8:].tolist() for each in (short, ids[1:])]
    beamed = model.generate(batch, attention_mask=mask, pad_token_id=0, num_beams=3, **said)
    beams.append(beamed[0, -8:].tolist() == model.generate(short, num_beams=3, **said)[0, -8:].tolist())
    right = model(torch.cat([short, left], dim=1), attention_mask=mask[:1].flip(1)).logits
    padded = [pair[:, -8:].tolist() == alone, (right[:, :9] - model(short).logits).abs().max().item() < 1e-5]
    padded.append(right[:, 9:].abs().max().item() == 0)
    model.save_pretrained(again)
    twice = type(model).from_pretrained(again)
    print(json.dumps({
        "logits": whole.tolist(), "cached": (cached - whole).abs().max().item(),
        "beams": beams[0] == beams[1] and beams[2],
        "greedy": greedy.tolist(), "generated": generated.tolist(),
        "again": torch.equal(twice(ids).logits, whole), "loss": loss, "padded": padded,
    }))
"""


def folder_of(submodel: Submodel, path: Path) -> Path:
    write_model_folder(submodel, path, FACTS, BlockLibrary())
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Submodel, Path]:
    torch.manual_seed(0)
    layers = (Layer("window:8", 2, ratio=1), Layer("none", 0, ratio=1))
    submodel = Submodel(Architecture(50, 16, layers)).eval()
    return submodel, folder_of(submodel, tmp_path_factory.mktemp("small") / "model")


def test_transformers_runs_every_mixer_where_this_project_is_not_installed(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    layers = [
        Layer(cls.example, 2, ratio=1, conv=3 * (i % 2), kv_heads=1)
        for i, cls in enumerate(mixers(Sight.CAUSAL).values())
    ]
    submodel = Submodel(Architecture(50, 16, (*layers, Layer("softmax", 4, "swiglu", 1)))).eval()
    out, hf = tmp_path / "hf", get_format("hf")
    out.mkdir()
    assert hf.write(submodel, out, FACTS) == {"module": "modeling_nas.py", "trust_remote_code": True}
    assert "bits_per_byte: 2.5000" in (out / "README.md").read_text()

    tokens = torch.randint(50, (2, 24))
    arguments = [str(out), json.dumps(tokens.tolist()), str(tmp_path / "again")]
    found = subprocess.run(
        [sys.executable, "-c", ALONE + TRANSFORMERS, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "PATH": ""},
    )
    assert found.returncode == 0, found.stderr
    said: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    with torch.inference_mode():
        expected = submodel(tokens)
    torch.testing.assert_close(torch.tensor(said["logits"]), expected, rtol=0, atol=1e-6)
    assert said["cached"] < 1e-5
    assert said["generated"] == said["greedy"]
    assert said["beams"]
    assert said["again"]
    wanted = torch.nn.functional.cross_entropy(expected[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    assert said["loss"] == pytest.approx(wanted.item(), rel=1e-5)
    assert said["padded"] == [True, True, True]


NAMES = [
    pytest.param(name, marks=pytest.mark.slow if name in {"executorch", "litert"} else ())
    for name in FORMATS.names()
]
"""Those that compile take long."""


@pytest.mark.parametrize("name", NAMES)
def test_a_converted_folder_says_what_it_is(name: str, small: tuple[Submodel, Path], tmp_path: Path) -> None:
    if None in (versions := get_format(name).versions()).values():
        pytest.skip(f"{name} is not installed: {versions}")
    out = tmp_path / "converted"
    manifest = convert_model_folder(small[1], out, name)
    assert manifest == json.loads((out / "manifest.json").read_text())
    assert manifest["export"]["format"] == name
    assert manifest["export"]["largest_difference"] < 1e-5
    assert manifest["quality"] == FACTS["quality"]
    files = {file.name for file in out.iterdir()} - {"manifest.json"}
    assert files == set(manifest["files"]) > {"config.json", "model.safetensors"}
    assert torch.equal(load_model_folder(out).embedding, small[0].embedding)


def test_onnxruntime_genai_generates_what_torch_does(tmp_path: Path) -> None:
    """Caches that grow beside states that do not; and none that grow."""
    genai = pytest.importorskip("onnxruntime_genai")
    written = get_format("genai")
    kept = [Layer(mixer, 2, ratio=1, conv=2) for mixer in ("decay", "window:8", "sparse:8,4")]
    caches = [Layer("softmax", 4, ratio=1, kv_heads=1), Layer("softmax", 2, ratio=1, conv=2)]
    for layers in ([*kept, *caches], kept):
        torch.manual_seed(0)
        submodel = Submodel(Architecture(50, 16, tuple(layers))).eval()
        folder = tmp_path / f"genai-{len(layers)}"
        folder.mkdir()
        assert written.write(submodel, folder, {})["state_slots"] == len(layers) - len(kept) + 1
        tokens = torch.randint(50, (1, 21))
        model = genai.Model(str(folder))
        parameters = genai.GeneratorParams(model)
        parameters.set_search_options(max_length=51, do_sample=False)
        generator = genai.Generator(model, parameters)
        generator.append_tokens(tokens[0].tolist())
        for _ in range(30):
            generator.generate_next_token()
            with torch.inference_mode():
                tokens = torch.cat([tokens, submodel(tokens)[:, -1:].argmax(-1)], dim=1)
        assert list(generator.get_sequence(0)) == tokens[0].tolist()


def test_openvino_runs_layers_whose_branches_it_runs_wrongly(tmp_path: Path) -> None:
    """Of one graph for prompts and tokens it computed a single token, and 64, of two such layers on memory
    that was in use: off by 1, or no number."""
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    submodel = Submodel(Architecture(50, 128, (Layer("decay", 4, ratio=4, conv=4),) * 2)).eval()
    out = tmp_path / "converted"
    convert_model_folder(folder_of(submodel, tmp_path / "model"), out, "openvino")
    run = get_format("openvino").load(out)
    for tokens in (1, 2, 64, 129):
        ids = torch.randint(50, (2, tokens), generator=torch.Generator().manual_seed(tokens))
        with torch.inference_mode():
            torch.testing.assert_close(run(ids), submodel(ids), rtol=0, atol=1e-4)


def test_a_modelling_file_has_the_mixers_that_are_used_and_no_others() -> None:
    text = modelling_source(Architecture(50, 16, (Layer("decay", 2, ratio=1), Layer("softmax", 2, ratio=1))))
    compile(text, "modeling_nas.py", "exec")
    for name in ("class Decay(", "class Softmax(", "class Mlp("):
        assert name in text
    for name in (
        "class Window",
        "class Sparse",
        "class Delta",
        "class SwiGlu",
        "OperationKind",
        "nas.",
        "import numpy",
    ):
        assert name not in text


@pytest.mark.parametrize(
    ("name", "said"), [("gguf", "llama.cpp runs only"), ("tflite", "'tflite'"), ("", "''")]
)
def test_no_such_format(name: str, said: str, small: tuple[Submodel, Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=rf"--format: no .*{said}.*accepted: onnx, .*hf"):
        convert_model_folder(small[1], tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_appears_whole_or_not_at_all(
    name: str, small: tuple[Submodel, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = get_format(name)
    if None in written.versions().values():
        pytest.skip(f"{name} is not installed: {written.versions()}")
    monkeypatch.setattr(type(written), "difference", lambda *_: float("nan"))
    with pytest.raises(ModelRejected, match=f"logits of {name} and torch differ by nan"):
        convert_model_folder(small[1], tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_changed_is_not_converted(small: tuple[Submodel, Path], tmp_path: Path) -> None:
    folder = folder_of(small[0], tmp_path / "model")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelRejected, match=r"config\.json changed"):
        convert_model_folder(folder, tmp_path / "out", "hf")
    assert not (tmp_path / "out").exists()


def test_extract_converts_what_the_service_cut_out(small: tuple[Submodel, Path], tmp_path: Path) -> None:
    pytest.importorskip("transformers")

    class Service:
        def extract(self, job: str, digest: str, out: Path) -> dict[str, Any]:
            shutil.copytree(small[1], out)
            return {"job": job, "digest": digest}

    client: Any = Service()
    manifest = _extract(client, "latest", "3b1f", tmp_path / "hf", "hf")
    assert manifest["export"]["format"] == "hf"
    assert (tmp_path / "hf" / "modeling_nas.py").is_file()
    with pytest.raises(InvalidSpec, match="gguf"):
        _extract(client, "latest", "3b1f", tmp_path / "gguf", "gguf")
    assert _extract(client, "latest", "3b1f", tmp_path / "onnx", "onnx") == {
        "job": "latest",
        "digest": "3b1f",
    }
