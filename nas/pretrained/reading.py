"""Reading a pretrained model's weights: safetensors, mapped into memory; GGUF by way of `transformers`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import InvalidSpec
from nas.files import write_folder_whole
from nas.pretrained.folder import weight_files
from nas.pretrained.parent import Parent, read_parent
from nas.pretrained.terms import from_theirs, terms
from searchspaces.errors import Problem

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.submodel import Submodel

__all__ = ["TOKENIZER", "check_tokenizer", "check_weights", "import_gguf", "read_model"]

FLOATING = ("F32", "F16", "BF16", "F64")
IGNORED = ("rotary_emb.inv_freq",)
TOKENIZER = "tokenizer.json"


def check_weights(parent: Parent) -> None:
    """Refuse weights that are not those of such a model; one tensor is held at a time.

    Raises:
        InvalidSpec: a tensor is missing, not expected, of another shape or type, or not finite: every one of
            them at once.
    """
    with ExitStack() as stack:
        place = _opened(parent, stack)
        expected = _expected_shapes(parent)
        _check_finite(name for name in expected if not place[name].get_tensor(name).isfinite().all())


def read_model(parent: Parent) -> Submodel:
    """The model, its logits those of `transformers` to rounding.

    Raises:
        InvalidSpec: as `check_weights`.
    """
    from searchspaces.submodel import Submodel

    architecture = parent.architecture
    with ExitStack() as stack:
        place = _opened(parent, stack)
        weights = from_theirs(architecture, parent.epsilon, lambda name: place[name].get_tensor(name))
        theirs = {term.own: term.theirs for term in terms(architecture, parent.epsilon)}
        _check_finite(theirs[name] for name, value in weights.items() if not value.isfinite().all())
        return _assembled(Submodel, architecture, weights)


def _opened(parent: Parent, stack: ExitStack) -> dict[str, Any]:
    """The file of each tensor, mapped into memory; all are there, of their shapes and types."""
    from safetensors import SafetensorError, safe_open

    place: dict[str, Any] = {}
    for file in weight_files(parent.folder):
        try:
            opened = stack.enter_context(safe_open(file, framework="pt"))
        except (OSError, SafetensorError) as error:
            raise InvalidSpec([Problem("start.model", f"{file.name} cannot be read: {error}")]) from error
        place |= dict.fromkeys(opened.keys(), opened)
    expected = _expected_shapes(parent)
    problems = [Problem(f"start.model.{name}", "is missing") for name in expected if name not in place]
    for name, opened in place.items():
        problems += _problems(name, opened, expected, parent.tied)
    if problems:
        raise InvalidSpec(problems)
    return place


def _check_finite(wrong: Iterable[str]) -> None:
    problems = [Problem(f"start.model.{name}", "has values that are not finite") for name in wrong]
    if problems:
        raise InvalidSpec(problems)


def _assembled(kind: type[Submodel], architecture: Any, weights: dict[str, Tensor]) -> Submodel:
    import torch

    with torch.device("meta"):
        model = kind(architecture)
    model.load_state_dict({name: value.contiguous() for name, value in weights.items()}, assign=True)
    return model.requires_grad_(False).eval()


def _expected_shapes(parent: Parent) -> dict[str, tuple[int, ...]]:
    from searchspaces.submodel import layer_shapes, outer_shapes

    architecture = parent.architecture
    shapes = {
        name: weight.shape
        for name, weight in outer_shapes(architecture.stem, architecture.readout, architecture.sizes).items()
    }
    for number, layer in enumerate(architecture.layers):
        own = layer_shapes(layer, architecture.width)
        shapes |= {f"layers.{number}.{name}": weight.shape for name, weight in own.items()}
    return {term.theirs: shapes[term.own] for term in terms(architecture, parent.epsilon)}


def _problems(name: str, opened: Any, expected: dict[str, tuple[int, ...]], tied: bool) -> list[Problem]:
    """Of one tensor that is there."""
    if name.endswith(IGNORED) or (tied and name == "lm_head.weight"):
        return []
    path, part = f"start.model.{name}", opened.get_slice(name)
    if name not in expected:
        return [Problem(path, "is not a tensor of such a model; does the config belong to another model?")]
    if part.get_dtype() not in FLOATING:
        accepted = ", ".join(FLOATING)
        return [Problem(path, f"is of type {part.get_dtype()}, quantised; accepted: {accepted}")]
    shape = tuple(part.get_shape())
    return [] if shape == expected[name] else [Problem(path, f"has shape {shape}, not {expected[name]}")]


def check_tokenizer(parent: Parent) -> None:
    """Refuse a folder without a tokenizer, or with one of other tokens than the model's.

    Raises:
        InvalidSpec: see above.
    """
    from tokenizers import Tokenizer

    path = parent.folder / TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001: the library raises Exception itself
        said = f"{path.name} cannot be read ({error}); accepted: a tokenizer of the library tokenizers"
        raise InvalidSpec([Problem("start.model", said)]) from error
    size, vocabulary = tokenizer.get_vocab_size(), parent.architecture.vocabulary
    if size > vocabulary:
        said = (
            f"the tokenizer has {size} tokens, the model's vocabulary {vocabulary}; accepted: as many at most"
        )
        raise InvalidSpec([Problem("start.model", said)])


def import_gguf(file: Path, out: Path) -> Parent:
    """Write what a GGUF file holds as a Hugging Face folder of float32 safetensors, whole or not at all.

    Raises:
        InvalidSpec: `transformers` does not read it, or is not installed.
    """
    try:
        from safetensors.torch import save_file
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        said = f"a GGUF is read by transformers, which is missing ({error}); install nas-service[pretrained]"
        raise InvalidSpec([Problem("start.model", said)]) from error
    try:
        import torch

        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except Exception as error:  # noqa: BLE001: it raises whatever its readers do
        said = f"transformers does not read {file.name}: {type(error).__name__}: {error}"
        raise InvalidSpec([Problem("start.model", said)]) from error
    tied = model.config.tie_word_embeddings
    weights = {
        name: value.contiguous()
        for name, value in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    model.config.quantization_config = None
    with write_folder_whole(out) as folder:
        model.config.to_json_file(folder / "config.json", use_diff=False)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        tokenizer.save_pretrained(folder)
        _drop_tokens(folder / TOKENIZER, model.config.vocab_size)
    return read_parent(out)


def _drop_tokens(path: Path, vocabulary: int) -> None:
    """Leave out special tokens that a conversion adds behind the vocabulary: no row is theirs."""
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < vocabulary]
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
