"""The files that targets are timed with, with a model's own weights: what a latency was promised of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import ModelRejected
from nas.evaluation import Conversion
from nas.export.library import BlockLibrary
from nas.export.timed import composed_for
from searchspaces.architecture import Architecture
from workers.runtimes import ModelFormat, parse_runtime
from workers.runtimes.onnx_states import NEXT, POSITION, STATE
from workers.runtimes.runtime import INPUT
from workers.target import Phase, Target

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.submodel import Submodel

__all__ = ["EXTEND", "decoding_difference", "target_files"]

EXTEND = "extend.onnx"
"""What takes a prompt of any length, and leaves the states that files which decode go on from."""

PIECES = 24, 8
"""Tokens of a prompt, and of those decoded after it, on which decoding is compared."""


def target_files(
    library: BlockLibrary,
    architecture: Architecture,
    arrays: Mapping[str, NDArray[Any]],
    targets: Iterable[Target],
    written: Mapping[str, bytes],
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Of targets that take ONNX, and whose engine and number format are here, the files by name, and the name
    of each target's.

    Args:
        written: files that there are already: a target that runs one of them has no other.

    Returns:
        ``model.DTYPE.onnx`` of prompts and ``decode.DTYPE.onnx`` of decoding, without the number format where
        it is that of training, with the runtime where two differ; and `EXTEND` where one decodes.
    """
    files, names = dict(written), dict[str, str]()
    for target in targets:
        content = _file(library, architecture, arrays, target)
        if content is None:
            continue
        decodes, conversion = target.workload.phase is Phase.DECODE, Conversion.of(target)
        base = "decode" if decodes else "model"
        dtype = "" if conversion is None else f".{target.dtype}"
        tokens = target.workload.batch if decodes else target.workload.tokens
        parts = ("", f".{target.runtime}", f".{target.runtime}-{tokens}")
        free = (name for part in parts if (name := f"{base}{part}{dtype}.onnx") not in files)
        same = (name for name, known in files.items() if known == content)
        names[str(target)] = name = next(same, None) or next(free)
        files[name] = content
        if decodes and EXTEND not in files:
            with suppress(ValueError):  # a mixer that says only how one more token is mixed
                files[EXTEND] = bytes(library.compose_extend(architecture, arrays).SerializeToString())
    return {name: content for name, content in files.items() if name not in written}, names


def _file(
    library: BlockLibrary, architecture: Architecture, arrays: Mapping[str, NDArray[Any]], target: Target
) -> bytes | None:
    """What a target's engine loads; None where it takes no ONNX, or is not here."""
    runtime = parse_runtime(target.runtime)
    capability = runtime.capability()
    if runtime.model_format is not ModelFormat.ONNX or capability is None:
        return None
    if target.dtype not in capability.dtypes:
        return None
    model = composed_for(target, library, architecture, arrays)
    return runtime.prepare(bytes(model.SerializeToString()), target.dtype)


def decoding_difference(submodel: Submodel, extend: bytes, decode: bytes) -> float:
    """Between the logits of torch and of onnxruntime, the largest in a prompt and after each token that is
    decoded on its states.

    Raises:
        ModelRejected: a file does not load or run.
    """
    import torch

    prompt, step = _session(extend), _session(decode)
    batch = step.get_inputs()[0].shape[0]
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(submodel.architecture.vocabulary, size=(batch, sum(PIECES))))
    feeds: dict[str, Any] = {POSITION: np.array(0)}
    for value in prompt.get_inputs():
        if STATE in value.name:
            feeds[value.name] = np.zeros(
                [batch, *(n if isinstance(n, int) else 0 for n in value.shape[1:])], np.float32
            )
    rows = []
    for run, part in ((prompt, ids[:, : PIECES[0]]), *((step, ids[:, [at]]) for at in range(*_after(ids)))):
        told = _run(run, {INPUT: part.numpy(), **feeds})
        rows.append(torch.from_numpy(told["logits"]))
        feeds = {name: told[_following(name)] for name in feeds}
    with torch.inference_mode():
        return float((torch.cat(rows, dim=1) - submodel(ids)).abs().max())


def _after(ids: Tensor) -> tuple[int, int]:
    return PIECES[0], ids.shape[1]


def _following(name: str) -> str:
    return NEXT + POSITION if name == POSITION else name.replace(STATE, NEXT)


def _session(content: bytes) -> Any:
    import onnxruntime

    return _usable(lambda: onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]))


def _run(session: Any, feeds: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, _usable(lambda: session.run(names, dict(feeds))), strict=True))


def _usable(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        raise ModelRejected(f"onnxruntime does not decode with the model: {error}") from error
