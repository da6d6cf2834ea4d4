"""Whether a model folder is what its manifest says, found out anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import InvalidSpec, ModelRejected
from nas.evaluation import Conversion, Split
from nas.export.converted import ConvertedModel, converted_obstacle, prepared_model
from nas.export.folder import (
    FORMAT,
    LARGEST_DIFFERENCE,
    changed_files,
    layer_table,
    load_model_folder,
    onnx_difference,
    onnx_logits,
    read_manifest,
)
from nas.export.formats import get_format
from nas.export.formats.programs import PROMPT, Programs
from nas.export.library import BlockLibrary
from nas.export.timed import TimedModels
from nas.tasks import make_task
from workers.errors import WorkerError
from workers.measuring import describe_device, measure
from workers.request import MeasurementRequest
from workers.target import Phase, Target

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.submodel import Submodel

__all__ = ["LARGEST_CHANGE", "Check", "verify_model_folder"]

LARGEST_CHANGE = 0.08
"""Of a latency between two jobs, as a share of it."""

SAME_QUALITY = 1e-4
"""As a share: sums of float32 in another order."""

SAME_CONVERTED = 2e-3
"""As a share, of other number formats: processors differ in their instructions for whole numbers."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a manifest says.

    Attributes:
        name: of what.
        said: by the manifest; None where it says nothing of it.
        found: now; text where it could not be found.
        agrees: whether these are the same; also where a folder of its form never tells, which `found` says.
    """

    name: str
    said: Any
    found: Any
    agrees: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def verify_model_folder(path: Path, latencies: bool = False) -> list[Check]:
    """Every file's digest, the architecture's, the table of layers, the difference to torch, the quality on
    the test split before and after conversion; and with `latencies` those that were measured.

    Where a file is not what it was, nothing else is looked at.

    Raises:
        ModelRejected: it is no model folder, or of a format that is not known.
    """
    manifest = read_manifest(path)
    if manifest.get("format") != FORMAT:
        raise ModelRejected(f"{path}: a manifest of format {manifest.get('format')!r}; accepted: {FORMAT}")
    checks = list(_files(path, manifest))
    if all(check.agrees for check in checks):
        submodel = load_model_folder(path)
        checks += [*_architecture(submodel, manifest), *_parity(path, submodel, manifest)]
        checks += [*_quality(path, submodel, manifest), *_converted(path, submodel, manifest)]
        if latencies:
            checks += _latencies(submodel, manifest)
    return checks


def _files(path: Path, manifest: Mapping[str, Any]) -> Iterator[Check]:
    changed = changed_files(path, manifest)
    for name, digest in manifest["files"].items():
        found = "changed" if (path / name).is_file() else "missing"
        yield Check(f"file {name}", digest, found if name in changed else digest, name not in changed)
    there = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    for name in sorted(there - set(manifest["files"]) - {"manifest.json"}):
        yield Check(f"file {name}", None, "not in the manifest", False)


def _architecture(submodel: Submodel, manifest: Mapping[str, Any]) -> Iterator[Check]:
    architecture = submodel.architecture
    arrays = {name: value.numpy() for name, value in submodel.state_dict().items()}
    found = {
        "digest": architecture.digest,
        "architecture": architecture.to_dict(),
        "layers": layer_table(architecture, arrays),
    }
    for name, value in found.items():
        yield Check(name, manifest.get(name), value, manifest.get(name) == value)


def _parity(path: Path, submodel: Submodel, manifest: Mapping[str, Any]) -> Iterator[Check]:
    export = manifest.get("export")
    said = (export or manifest.get("onnx", {})).get("largest_difference")

    def found() -> float:
        if export is None:
            files = {n: (path / n).read_bytes() for n in manifest["files"] if n.endswith(".onnx")}
            return onnx_difference(submodel, files, manifest["onnx"].get("targets", {}))
        return get_format(export["format"]).difference(submodel, path)

    name = f"difference to torch, at most {LARGEST_DIFFERENCE:g}"
    yield _checked(name, said, lambda: _engine(export), found, lambda value: value <= LARGEST_DIFFERENCE)


def _quality(path: Path, submodel: Submodel, manifest: Mapping[str, Any]) -> Iterator[Check]:
    """On the test split, where the manifest says of what data."""
    quality, export = manifest.get("quality", {}), manifest.get("export")
    tuned = manifest.get("tuned") or {}
    said = tuned.get(str(Split.TEST), quality.get(str(Split.TEST)))
    if "options" not in (manifest.get("task") or {}) or said is None:
        return

    def score(model: Callable[[Tensor], Tensor]) -> float:
        return _score(manifest["task"], model)

    def converted() -> float:
        if export is None:
            return score(onnx_logits((path / "model.onnx").read_bytes()))
        return score(get_format(export["format"]).load(path))

    def agrees(value: float) -> bool:
        return abs(value - said) <= SAME_QUALITY * abs(said)

    metric = f"test {quality.get('metric')}"
    yield _checked(metric, said, lambda: None, lambda: score(submodel), agrees)
    unscored = _unscored(export, manifest["task"]["options"])
    if unscored is None:
        yield _checked(f"{metric}, converted", said, lambda: _engine(export), converted, agrees)
    else:
        yield Check(f"{metric}, converted", said, unscored, True)


def _unscored(export: Mapping[str, Any] | None, options: Mapping[str, Any]) -> str | None:
    """Why no folder of that format can be scored on sequences of a task; None where it can."""
    tokens = options.get("evaluation_context", 0)
    if export is None or tokens <= PROMPT or not isinstance(get_format(export["format"]), Programs):
        return None
    return f"not scored: prompts have at most {PROMPT} tokens, the task's {tokens}"


def _score(named: Mapping[str, Any], model: Callable[[Tensor], Tensor]) -> float:
    """On the test split of the task that a manifest names.

    Raises:
        InvalidSpec: the data is not what it was.
    """
    task = make_task(named["name"], named["options"])
    if task.digest != named["digest"]:
        raise InvalidSpec([])
    return task.evaluate(model, Split.TEST)


def _converted(path: Path, submodel: Submodel, manifest: Mapping[str, Any]) -> Iterator[Check]:
    """What the files score that targets run, in the number formats of these; where a target's file is none of
    the folder's, one is made."""
    files = manifest.get("onnx", {}).get("targets", {})
    if "options" not in (manifest.get("task") or {}):
        return
    for text, told in manifest.get("quality", {}).get("converted", {}).items():
        target = Target.parse(text)
        said, conversion = told.get("test", {}).get("measured"), Conversion.of(target)
        if said is None or conversion is None:
            continue
        prompts = target.workload.phase is not Phase.DECODE and files.get(text)

        def found(conversion: Conversion = conversion, file: str | None = prompts or None) -> float:
            if file is not None:
                model = prepared_model((path / file).read_bytes(), conversion)
            else:
                weights = submodel.state_dict()
                model = ConvertedModel(submodel.architecture, weights, conversion, BlockLibrary())
            return _score(manifest["task"], model)

        def agrees(value: float, said: float = said) -> bool:
            return abs(value - said) <= SAME_CONVERTED * abs(said)

        def obstacle(conversion: Conversion = conversion) -> str | None:
            return converted_obstacle(conversion)

        yield _checked(f"test {manifest['quality']['metric']} on {text}", said, obstacle, found, agrees)


def _latencies(submodel: Submodel, manifest: Mapping[str, Any]) -> Iterator[Check]:
    models, architecture = TimedModels(), submodel.architecture
    for text, told in manifest.get("latency_ms", {}).items():
        said = told.get("measured")
        if said is None:
            continue
        target = Target.parse(text)

        def found(target: Target = target) -> float:
            model, reference = models.model(architecture, target), models.reference(target)
            request = MeasurementRequest(
                architecture.digest, target, model, reference, max(1, architecture.vocabulary)
            )
            return measure(request, describe_device(target.device)).latency_ms

        def agrees(value: float, said: float = said) -> bool:
            return abs(value - said) <= LARGEST_CHANGE * said

        yield _checked(f"ms on {text}", said, lambda: None, found, agrees)


def _engine(export: Mapping[str, Any] | None) -> str | None:
    """Why an engine cannot be asked; None where it can."""
    versions = {} if export is None else get_format(export["format"]).versions()
    lacking = [package for package, version in versions.items() if version is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


def _checked(
    name: str,
    said: Any,
    obstacle: Callable[[], str | None],
    find: Callable[[], float],
    agrees: Callable[[float], bool],
) -> Check:
    """What is found, or why nothing can be."""
    try:
        lacking = obstacle()
        if lacking is not None:
            return Check(name, said, lacking, False)
        found = find()
    except (InvalidSpec, ModelRejected, WorkerError) as error:
        return Check(name, said, str(error) or "the data is not what it was", False)
    return Check(name, said, found, agrees(found))
