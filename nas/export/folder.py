"""The folder that `extract` hands over: a model that runs, and a manifest that says what it is."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import ModelRejected
from nas.evaluation import Conversion
from nas.export.attention import CONTRIB, STANDARD_FORM, Form, form_of
from nas.export.cached import IN_PLACE, appends_in_place, attends_in_place
from nas.export.library import OPSET, BlockLibrary
from nas.export.shipped import EXTEND, decoding_difference, target_files
from nas.export.timed import attention_of
from nas.files import write_folder_whole
from searchspaces.architecture import Architecture
from workers.target import Phase, Target

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.submodel import Submodel

__all__ = [
    "CHECKED",
    "FORMAT",
    "LARGEST_DIFFERENCE",
    "changed_files",
    "largest_difference",
    "layer_table",
    "load_model_folder",
    "onnx_difference",
    "onnx_logits",
    "read_manifest",
    "sha256",
    "write_json",
    "write_model_folder",
]

LARGEST_DIFFERENCE = 1e-3
"""Between the logits of torch and of onnxruntime, on the shapes of `CHECKED`."""

CHECKED = ((1, 1), (2, 50), (1, 300))
"""(batch, length) of the random tokens on which outputs are compared: short, odd and long. Inputs of a fixed
size have that."""

FORMAT = 1


def write_model_folder(
    submodel: Submodel,
    out: Path,
    manifest_facts: Mapping[str, Any],
    library: BlockLibrary | None = None,
    attention: Form | None = None,
    tokenizer: Mapping[str, bytes] | None = None,
    targets: Sequence[Target] = (),
) -> dict[str, Any]:
    """Write `model.onnx`, `model.safetensors`, `config.json` and `manifest.json` into the folder `out`.

    A new folder appears whole or not at all.

    Args:
        submodel: with its weights.
        out: must not exist, or be an empty folder.
        manifest_facts: plain JSON data that the manifest begins with (supernet, seed, quality, latencies).
        library: where exported blocks are kept; a temporary one where None.
        attention: what causal softmax attention is computed by in `model.onnx`, the standard form where None.
            Where it needs operators outside the ONNX standard, `standard.onnx` lies beside, which does not.
        tokenizer: files beside the model, by name; the manifest's `tokenizer` names them.
        targets: whose files are written besides (`nas.export.shipped`), as far as their engines are here.

    Returns:
        The manifest: the facts, and `format`, `digest`, `architecture`, `layers` (one row each), `onnx`
        (opset, inputs, outputs, form of `attention`, `largest_difference` to torch, and each of the
        `targets`' file), `versions` and `files` (SHA-256 of each).

    Raises:
        InvalidSpec: `out` is a file or has something in it.
        ModelRejected: onnxruntime does not load the model, or its logits differ from torch's by more
            than `LARGEST_DIFFERENCE`.
        StoreUnavailable: the disk cannot take the files.
    """
    with write_folder_whole(out) as folder:
        for name, content in (tokenizer or {}).items():
            (folder / name).write_bytes(content)
        facts = dict(manifest_facts)
        if tokenizer:
            facts["tokenizer"] = list(tokenizer)
        return _write_files(submodel, folder, facts, library or BlockLibrary(), attention, targets)


def load_model_folder(path: Path) -> Submodel:
    """The submodel of a folder, its files checked against the manifest.

    Raises:
        ModelRejected: a file is missing, changed since it was written, or not what its name says.
    """
    from safetensors.torch import load_file

    from searchspaces.submodel import Submodel

    try:
        changed = changed_files(path, read_manifest(path))
        if changed:
            raise ModelRejected(f"{path}: {', '.join(changed)} changed since the manifest was written")
        config = json.loads((path / "config.json").read_text())
        submodel = Submodel(Architecture.from_dict(config["architecture"]))
        submodel.load_state_dict(load_file(path / "model.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelRejected(f"{path} is not a model folder: {error}") from error
    return submodel.eval()


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a model folder.

    Raises:
        ModelRejected: there is none.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        if not isinstance(manifest["files"], dict):
            raise TypeError("its list of files is not a table")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelRejected(f"{path} is not a model folder: {error}") from error
    return dict(manifest)


def changed_files(path: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Files of a folder that are not what its manifest says, those that are gone among them."""
    files: Mapping[str, str] = manifest["files"]
    return [
        name for name, digest in files.items() if not (path / name).is_file() or sha256(path / name) != digest
    ]


def _write_files(
    submodel: Submodel,
    folder: Path,
    facts: Mapping[str, Any],
    library: BlockLibrary,
    attention: Form | None,
    targets: Sequence[Target],
) -> dict[str, Any]:
    from safetensors.torch import save_file

    architecture = submodel.architecture
    weights = {name: value.detach().contiguous() for name, value in submodel.state_dict().items()}
    arrays = {name: value.numpy() for name, value in weights.items()}
    standard = form_of((STANDARD_FORM,))
    wanted = attention or standard
    forms = {"model.onnx": wanted} | ({"standard.onnx": standard} if wanted.domains else {})
    written: dict[str, bytes] = {}
    for name, form in forms.items():
        content = library.compose(architecture, arrays, attention=form).SerializeToString()
        written[name] = bytes(content)
    added, of_targets = target_files(library, architecture, arrays, targets, written)
    files = written | added
    for name, content in files.items():
        (folder / name).write_bytes(content)
    difference = onnx_difference(submodel, files, of_targets)
    if not difference <= LARGEST_DIFFERENCE:  # NaN is refused too
        raise ModelRejected(
            f"logits of onnxruntime and torch differ by {difference:.3g}; accepted: {LARGEST_DIFFERENCE:g}"
        )
    save_file(weights, folder / "model.safetensors")
    config = {
        "format": FORMAT,
        "model": "searchspaces.submodel.Submodel",
        "architecture": architecture.to_dict(),
    }
    write_json(folder / "config.json", config)
    manifest = {
        **facts,
        "format": FORMAT,
        "digest": architecture.digest,
        "architecture": architecture.to_dict(),
        "layers": layer_table(architecture, arrays),
        "onnx": {
            "opset": OPSET,
            **_declared(written["model.onnx"]),
            "attention": {"form": wanted.name, "domains": list(wanted.domains)},
            **_decoding(architecture, of_targets),
            "largest_difference": difference,
            "largest_difference_accepted": LARGEST_DIFFERENCE,
            "targets": of_targets,
        },
        "versions": {package: version(package) for package in ("torch", "onnx", "onnxruntime")},
        "files": {file.name: sha256(file) for file in sorted(folder.iterdir())},
    }
    write_json(folder / "manifest.json", manifest)
    return manifest


def onnx_logits(content: bytes) -> Callable[[Tensor], Tensor]:
    """A model file of onnxruntime's as a function of token ids (B, N) → logits (B, N, V), or of whatever else
    the model takes and tells.

    Raises:
        ModelRejected: it does not load.
    """
    import onnxruntime
    import torch

    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelRejected(f"onnxruntime does not load the exported model: {error}") from error

    (given,) = session.get_inputs()

    def run(inputs: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {given.name: inputs.numpy()})[0])

    return run


def _decoding(architecture: Architecture, of_targets: Iterable[str]) -> dict[str, Any]:
    """That files for one token append to what is kept, where they do, and the operators that are not ONNX's.

    Args:
        of_targets: as text, those whose files are here.
    """
    decodes = any(attention_of(Target.parse(text)) == IN_PLACE for text in of_targets)
    appending = [layer for layer in architecture.layers if appends_in_place(layer)]
    if not decodes or not appending:
        return {}
    attends = any(attends_in_place(layer, architecture.width) for layer in appending)
    return {"decoding": {"form": IN_PLACE, "domains": [CONTRIB] if attends else []}}


def onnx_difference(submodel: Submodel, files: Mapping[str, bytes], of_targets: Mapping[str, str]) -> float:
    """Between the logits of onnxruntime and torch, the largest over the files in training's number format: of
    prompts and inputs see `largest_difference`, of decoding `decoding_difference`. NaN where one is.

    Args:
        files: by name.
        of_targets: the name of the file that each target runs.

    Raises:
        ModelRejected: one does not load or run.
    """
    exact = {name: Phase.PREFILL for name in ("model.onnx", "standard.onnx") if name in files}
    for text, name in of_targets.items():
        target = Target.parse(text)
        decodes = target.workload.phase is Phase.DECODE
        if Conversion.of(target) is None and (EXTEND in files or not decodes):
            exact[name] = target.workload.phase
    differences = [
        decoding_difference(submodel, files[EXTEND], files[name])
        if phase is Phase.DECODE
        else largest_difference(submodel, onnx_logits(files[name]))
        for name, phase in exact.items()
    ]
    return math.nan if any(map(math.isnan, differences)) else max(differences)


def largest_difference(submodel: Submodel, model: Callable[[Tensor], Tensor]) -> float:
    """Between the logits of a model and of the submodel that it was made of, on random inputs of the sizes of
    `CHECKED`; NaN where one of them is."""
    import torch

    largest = 0.0
    for inputs in _checked_inputs(submodel.architecture):
        with torch.inference_mode():
            largest = max(float((model(inputs) - submodel(inputs)).abs().max()), largest)
            if math.isnan(largest):
                break
    return largest


def _checked_inputs(architecture: Architecture) -> Iterator[Tensor]:
    """Of a fixed size where the model's are."""
    import torch

    form = architecture.form
    rng = np.random.default_rng(0)
    for batch, length in CHECKED:
        if form.causal:
            yield torch.from_numpy(rng.integers(form.vocabulary, size=(batch, length)))
        elif form.vocabulary:
            yield torch.from_numpy(rng.integers(form.vocabulary, size=form.input.shape(batch)))
        else:
            yield torch.from_numpy(rng.standard_normal(form.input.shape(batch), np.float32))


def _declared(content: bytes) -> dict[str, dict[str, list[int | str]]]:
    """The inputs and outputs of a model file: type and sizes by name."""
    import onnx

    graph = onnx.load_model_from_string(content).graph

    def told(value: onnx.ValueInfoProto) -> list[int | str]:
        kind = value.type.tensor_type
        sizes = [each.dim_param or each.dim_value for each in kind.shape.dim]
        return [str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)), *sizes]

    return {
        side: {value.name: told(value) for value in values}
        for side, values in (("inputs", graph.input), ("outputs", graph.output))
    }


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Plain data as a file for people and programs."""
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def layer_table(
    architecture: Architecture, arrays: Mapping[str, np.ndarray[Any, Any]]
) -> list[dict[str, Any]]:
    """One row a layer: its genes and the number of its own weights."""
    return [
        {
            **asdict(layer),
            "parameters": sum(a.size for name, a in arrays.items() if name.startswith(f"layers.{i}.")),
        }
        for i, layer in enumerate(architecture.layers)
    ]
