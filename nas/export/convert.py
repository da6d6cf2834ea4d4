"""Model folders in other formats."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from nas.errors import InvalidSpec, ModelRejected
from nas.export.folder import LARGEST_DIFFERENCE, load_model_folder, read_manifest, sha256, write_json
from nas.export.formats import get_format
from nas.files import write_folder_whole
from searchspaces.errors import Problem

__all__ = ["convert_model_folder"]


def convert_model_folder(folder: Path, out: Path, format: str) -> dict[str, Any]:
    """Write the model of a folder that `write_model_folder` wrote in another format.

    A new `out` appears whole or not at all. Where the format's engine is installed, what it computes is
    compared with torch.

    Args:
        folder: checked against its manifest.
        out: must not exist, or be an empty folder.
        format: a name of `nas.export.formats`.

    Returns:
        The new manifest: the old one with `files` and `versions` of the new files, and `export`: the name of
        the format, what it says of itself, and the `largest_difference` to torch, None where the engine is
        not here.

    Raises:
        InvalidSpec: no such format, or the model cannot be had in it; `out` has something in it.
        ModelRejected: the folder is not as its manifest says, or what the engine computes differs by more
            than `LARGEST_DIFFERENCE`.
    """
    written = get_format(format)
    submodel, manifest = load_model_folder(folder), read_manifest(folder)
    if not submodel.architecture.form.causal:
        form = submodel.architecture.form
        message = f"{format} is a format of language models, the model is {form}; accepted: onnx"
        raise InvalidSpec([Problem("--format", message)])
    with write_folder_whole(out) as fresh:
        for name in manifest.get("tokenizer", ()):
            shutil.copyfile(folder / name, fresh / name)
        said = written.write(submodel, fresh, manifest)
        versions = written.versions()
        difference = written.difference(submodel, fresh) if None not in versions.values() else None
        if difference is not None and not difference <= LARGEST_DIFFERENCE:  # NaN is refused too
            raise ModelRejected(
                f"logits of {format} and torch differ by {difference:.3g}; accepted: {LARGEST_DIFFERENCE:g}"
            )
        manifest.pop("onnx", None)
        manifest |= {
            "export": {
                "format": format,
                **said,
                "largest_difference": difference,
                "largest_difference_accepted": LARGEST_DIFFERENCE,
            },
            "versions": {"torch": manifest["versions"]["torch"], **versions},
            "files": {
                str(file.relative_to(fresh)): sha256(file)
                for file in sorted(fresh.rglob("*"))
                if file.is_file()
            },
        }
        write_json(fresh / "manifest.json", json.loads(json.dumps(manifest)))
    return manifest
