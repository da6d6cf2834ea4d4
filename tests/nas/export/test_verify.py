"""`nas verify`: a folder that is what it says, and every way in which it is not."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

import nas.export.verify
from nas.cli.main import app
from nas.errors import ModelRejected
from nas.evaluation import Conversion, Split
from nas.export import BlockLibrary, write_model_folder
from nas.export.convert import convert_model_folder
from nas.export.converted import ConvertedModel
from nas.export.formats.huggingface import HuggingFace
from nas.export.formats.programs import PROMPT, ExecuTorchFolder
from nas.export.verify import verify_model_folder
from nas.tasks import make_task
from searchspaces.architecture import Architecture, Layer
from searchspaces.submodel import Submodel
from workers.target import Target

OPTIONS = {"evaluation_tokens": 512, "evaluation_context": 64}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    submodel = Submodel(Architecture(256, 16, (Layer("window:8", 2, ratio=1),))).eval()
    task = make_task("text", OPTIONS)
    options = task.options.model_dump(mode="json")
    quality = {"metric": task.metric, "test": task.evaluate(submodel, Split.TEST)}
    facts = {
        "task": {"name": "text", "digest": task.digest, "options": options},
        "quality": quality,
        "latency_ms": {"here/onnxruntime/fp32/1t/prefill/b1/n16": {"measured": 1.0}},
    }
    folder = tmp_path_factory.mktemp("verify") / "model"
    write_model_folder(submodel, folder, facts, BlockLibrary())
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "model"))


def edit(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_folder_that_is_what_it_says(written: Path) -> None:
    checks = {check.name: check for check in verify_model_folder(written)}
    assert all(check.agrees for check in checks.values())
    parts = {"digest", "architecture", "layers", "difference to torch, at most 0.001"}
    parts |= {"test bits_per_byte", "test bits_per_byte, converted"}
    assert set(checks) == parts | {f"file {n}" for n in ("config.json", "model.onnx", "model.safetensors")}


def test_what_targets_run_in_other_number_formats_is_scored_as_it_lies_there(tmp_path: Path) -> None:
    """A model that differs from what it was in four bits, and says so; trained alone, besides."""
    torch.manual_seed(0)
    submodel = Submodel(Architecture(256, 32, (Layer("window:8", 2, ratio=1),))).eval()
    task, int4 = make_task("text", OPTIONS), Conversion("onnxruntime", "int4")
    target = "here/onnxruntime/int4/1t/prefill/b1/n16"
    test = task.evaluate(submodel, Split.TEST)
    model = ConvertedModel(submodel.architecture, submodel.state_dict(), int4, BlockLibrary())
    score = task.evaluate(model, Split.TEST)
    assert abs(score - test) > 1e-3
    converted = {target: {"test": {"predicted": test, "measured": score}}}
    options = task.options.model_dump(mode="json")
    facts = {
        "task": {"name": "text", "digest": task.digest, "options": options},
        "quality": {"metric": task.metric, "test": test + 1.0, "converted": converted},
        "tuned": {"test": test},
    }
    folder = tmp_path / "model"
    manifest = write_model_folder(submodel, folder, facts, BlockLibrary(), targets=[Target.parse(target)])
    assert manifest["onnx"]["targets"] == {target: "model.int4.onnx"}
    checks = {check.name: check for check in verify_model_folder(folder)}
    assert all(check.agrees for check in checks.values()), checks
    assert checks[f"test bits_per_byte on {target}"].found == pytest.approx(score, rel=1e-4)
    edit(folder, lambda m: m["quality"]["converted"][target]["test"].update(measured=score + 0.1))
    wrong = [check.name for check in verify_model_folder(folder) if not check.agrees]
    assert wrong == [f"test bits_per_byte on {target}"]


def test_latencies_are_measured_again_where_it_is_asked(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nas.export.verify, "LARGEST_CHANGE", 1e9)
    last = verify_model_folder(written, latencies=True)[-1]
    assert last.name == "ms on here/onnxruntime/fp32/1t/prefill/b1/n16"
    assert last.agrees
    assert 0 < last.found < 100
    monkeypatch.setattr(nas.export.verify, "LARGEST_CHANGE", 0.0)
    assert not verify_model_folder(written, latencies=True)[-1].agrees


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: (f / "model.onnx").unlink(), r"file model\.onnx: the manifest says \w+, found missing"),
        (lambda f: (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes()[:-9]), "found changed"),
        (write("extra.py", ""), r"file extra\.py: the manifest says None, found not in the manifest"),
        (write("manifest.json", "{"), "is not a model folder"),
        (lambda f: edit(f, lambda m: m.update(format=7)), "a manifest of format 7; accepted: 1"),
        (
            lambda f: edit(f, lambda m: m.update(digest="0" * 16)),
            "digest: the manifest says 0{16}, found",
        ),
        (lambda f: edit(f, lambda m: m.update(layers=[])), "layers: the manifest says"),
        (
            lambda f: edit(f, lambda m: m["quality"].update(test=1.0)),
            r"bits_per_byte: the manifest says 1\.0",
        ),
        (lambda f: edit(f, lambda m: m["task"].update(digest="0")), "the data is not what it was"),
        (lambda f: edit(f, lambda m: m["task"].update(name="chess")), "'chess'"),
        (shutil.rmtree, "is not a model folder"),
    ],
)
def test_what_differs_is_named_and_ends_with_code_9(
    harm: Callable[[Path], object], said: str, folder: Path
) -> None:
    harm(folder)
    raised = CliRunner().invoke(app, ["verify", str(folder)]).exception
    assert isinstance(raised, ModelRejected)
    assert re.search(said, str(raised))
    assert raised.exit_code == 9


def test_a_converted_folder_is_verified_in_its_engine(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    convert_model_folder(written, tmp_path / "hf", "hf")
    names = [check.name for check in verify_model_folder(tmp_path / "hf") if check.agrees]
    assert "test bits_per_byte, converted" in names
    assert "difference to torch, at most 0.001" in names
    monkeypatch.setattr(HuggingFace, "packages", ("transformers", "no-such-package"))
    checks = {check.name: check for check in verify_model_folder(tmp_path / "hf")}
    lacking = checks["difference to torch, at most 0.001"]
    assert (lacking.agrees, lacking.found) == (False, "not installed: no-such-package")


@pytest.mark.parametrize(("context", "scored"), [(512, True), (600, False)])
def test_programs_are_scored_on_sequences_that_they_take(
    context: int, scored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    submodel = Submodel(Architecture(256, 16, (Layer("window:8", 2, ratio=1),))).eval()
    task = make_task("text", {"evaluation_tokens": 1200, "evaluation_context": context})
    options = task.options.model_dump(mode="json")
    facts = {
        "task": {"name": "text", "digest": task.digest, "options": options},
        "quality": {"metric": task.metric, "test": task.evaluate(submodel, Split.TEST)},
    }
    folder = tmp_path / "model"
    write_model_folder(submodel, folder, facts, BlockLibrary())
    edit(folder, lambda m: m.update(export={"format": "executorch", "largest_difference": 0.0}))

    def engine(inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """In place of a compiled program, which takes long to make."""
        (ids,) = inputs
        assert ids.shape == (1, PROMPT)
        with torch.inference_mode():
            return [submodel(torch.from_numpy(ids)).numpy()]

    monkeypatch.setattr(ExecuTorchFolder, "versions", lambda self: {"executorch": "1"})
    monkeypatch.setattr(ExecuTorchFolder, "loaded", lambda self, folder, name: engine)
    checks = {check.name: check for check in verify_model_folder(folder)}
    assert all(check.agrees for check in checks.values()), checks
    assert checks["test bits_per_byte"].found == facts["quality"]["test"]
    found = checks["test bits_per_byte, converted"].found
    if scored:
        assert found == pytest.approx(facts["quality"]["test"], rel=1e-4)
    else:
        assert found == "not scored: prompts have at most 512 tokens, the task's 600"
    run = ExecuTorchFolder().load(folder)
    with pytest.raises(ModelRejected, match="takes prompts of at most 512 tokens, got 513"):
        run(torch.zeros(1, 513, dtype=torch.int64))


def test_the_command_prints_what_was_found(written: Path) -> None:
    found = CliRunner().invoke(app, ["verify", str(written), "--json"])
    assert found.exit_code == 0
    assert {check["agrees"] for check in json.loads(found.output)} == {True}
    assert "bits_per_byte" in CliRunner().invoke(app, ["verify", str(written)]).output
