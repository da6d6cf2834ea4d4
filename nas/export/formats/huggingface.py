"""Folders that Hugging Face's `transformers` loads, offline and where this project is not installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import ModelRejected
from nas.export.bundle import bundle
from nas.export.folder import largest_difference, write_json
from nas.export.formats.format import ExportFormat, register_format
from nas.pretrained.terms import to_theirs
from searchspaces.architecture import NO_MIXER, Architecture
from searchspaces.channels import parse_channel
from searchspaces.mixers import parse_mixer
from searchspaces.readouts import parse_readout
from searchspaces.stems import parse_stem

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.submodel import Submodel

__all__ = ["HuggingFace", "modelling_source"]

MODEL_TYPE = "nas_submodel"

LEFT_OUT = ("torch_dtype", "quantization_config")
"""Of a pretrained model's config: what its plain class is told otherwise, and a null that some versions of
`transformers` stumble over."""

SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id")

MODULE = "modeling_nas"
"""Of the modelling file; the name is as `transformers` has it."""

COUNTED = frozenset(
    {
        *("operations", "step_operations", "mix_operations", "mix_step_operations", "decay_operations"),
        *("_shared_operations", "_across", "reference", "mix_reference", "_mixed_one_by_one", "_distant"),
        *("mix_bidirectional", "mix_bidirectional_reference", "mix_bidirectional_operations"),
        *("mixing_reference", "mixing_operations"),
        *("shapes", "own_shapes", "own_operations", "init_state", "state_bytes"),
        *("to_dict", "from_dict", "canonical_json", "digest", "__str__"),
    }
)
"""Methods that say what a model costs and how it starts, or how it is tested: of no use where one runs."""

INSTEAD = {
    "parse_mixer": '''def parse_mixer(option):
    """The token mixer that an option names."""
    return _made(MIXERS, option)''',
    "parse_channel": '''def parse_channel(option):
    """The channel mixer that an option names."""
    return _made(CHANNELS, option)''',
    "parse_stem": '''def parse_stem(option):
    """What an option names that turns inputs into tokens."""
    return _made(STEMS, option)''',
    "parse_readout": '''def parse_readout(option):
    """What an option names that turns tokens into answers."""
    return _made(READOUTS, option)''',
    "obeyed_genes": '''def obeyed_genes(option):
    """Genes that an option's token mixer obeys."""
    return parse_mixer(option).genes''',
    "_made": """def _made(classes, option):
    name, _, parameters = option.partition(":")
    return classes[name](*map(int, parameters.split(",") if parameters else ()))""",
}

HEADER = '''"""A model found by architecture search, for `transformers`: needs torch and transformers alone.

Generated from the sources that trained and measured it; token mixers: {mixers}.
"""'''


def modelling_source(architecture: Architecture) -> str:
    """The one modelling file: configuration, model, and the mixers that the architecture uses."""
    mixers = sorted({layer.mixer.partition(":")[0] for layer in architecture.layers} | {NO_MIXER})
    channels = sorted({layer.channel.partition(":")[0] for layer in architecture.layers if layer.ratio})
    tables = {
        "MIXERS": {name: type(_first(architecture, name)) for name in mixers},
        "CHANNELS": {name: type(parse_channel(name)) for name in channels},
        "STEMS": {architecture.stem: type(parse_stem(architecture.stem))},
        "READOUTS": {architecture.readout: type(parse_readout(architecture.readout))},
    }
    text = bundle("nas.export.modelling", tables, COUNTED, INSTEAD)
    return f"{HEADER.format(mixers=', '.join(mixers))}\n\n{text}"


def _first(architecture: Architecture, name: str) -> Any:
    options = [layer.mixer for layer in architecture.layers if layer.mixer.partition(":")[0] == name]
    return parse_mixer([*options, name][0])


@register_format("hf")
class HuggingFace(ExportFormat):
    """``config.json``, ``model.safetensors``, one modelling file and a model card."""

    packages = ("transformers",)

    def write(self, submodel: Submodel, folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See `ExportFormat.write`."""
        from safetensors.torch import save_file

        architecture = submodel.architecture
        weights = {name: value.detach().contiguous() for name, value in submodel.state_dict().items()}
        parent = manifest.get("parent", {})
        # `transformers` generates by the second before the first; folders of earlier versions have no second.
        said = [parent.get("config", {}), parent.get("generation", {})]
        special = {name: ids[name] for ids in said for name in SPECIAL if ids.get(name) is not None}
        write_json(folder / "generation_config.json", {"do_sample": False, **special})
        plain = parent and _like(architecture, parent)
        if plain:
            save_file(
                to_theirs(architecture, parent["epsilon"], weights),
                folder / "model.safetensors",
                {"format": "pt"},
            )
            write_json(folder / "config.json", plain)
            (folder / "README.md").write_text(_card(submodel, manifest, ""))
            return {"module": None, "trust_remote_code": False}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        (folder / f"{MODULE}.py").write_text(modelling_source(architecture))
        config = {
            "model_type": MODEL_TYPE,
            "architectures": ["NasForCausalLM"],
            "auto_map": {
                "AutoConfig": f"{MODULE}.NasConfig",
                "AutoModelForCausalLM": f"{MODULE}.NasForCausalLM",
            },
            "architecture": architecture.to_dict(),
            "shapes": {name: list(value.shape) for name, value in weights.items()},
            "vocab_size": architecture.vocabulary,
            "hidden_size": architecture.width,
            "num_hidden_layers": architecture.depth,
            "tie_word_embeddings": False,  # where they are tied there is no second weight
            "dtype": "float32",
        }
        write_json(folder / "config.json", config)
        (folder / "README.md").write_text(_card(submodel, manifest, f"{MODULE}.py"))
        return {"module": f"{MODULE}.py", "trust_remote_code": True}

    def load(self, folder: Path) -> Callable[[Tensor], Tensor]:
        """See `ExportFormat.load`."""
        model = _loaded(folder)
        return lambda ids: model(ids).logits

    def difference(self, submodel: Submodel, folder: Path) -> float:
        """See `ExportFormat.difference`: of whole sequences, and of two parts by way of the cache."""
        import torch

        model = _loaded(folder)

        def in_parts(ids: Tensor) -> Tensor:
            half = (ids.shape[1] + 1) // 2
            first = model(ids[:, :half], use_cache=True)
            if half == ids.shape[1]:
                logits: Tensor = first.logits
                return logits
            return torch.cat([first.logits, model(ids[:, half:], cache=first.cache).logits], dim=1)

        def whole(ids: Tensor) -> Tensor:
            logits: Tensor = model(ids).logits
            return logits

        # Whole alone of a plain class: its cache is the library's own.
        ways = (whole, in_parts) if (folder / f"{MODULE}.py").is_file() else (whole,)
        return max(largest_difference(submodel, way) for way in ways)


class _Uncached(SourceFileLoader):
    """Leaves no compiled module in the folder."""

    def set_data(self, path: Any, data: Any, **_: Any) -> None:
        """What is compiled would be written here."""


def _loaded(folder: Path) -> Any:
    """The model of a folder, its modelling file run from there where it has one.

    Raises:
        ModelRejected: transformers does not load it.
    """
    if not (folder / f"{MODULE}.py").is_file():
        return _loaded_plain(folder)
    name = f"{MODULE}_{abs(hash(folder))}"
    path = folder / f"{MODULE}.py"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Uncached(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
        return module.NasForCausalLM.from_pretrained(folder).eval()
    except Exception as error:  # whatever the library raises
        raise ModelRejected(f"transformers does not load the model: {error}") from error
    finally:
        del sys.modules[name]


def _loaded_plain(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(folder).eval()
    except Exception as error:  # whatever the library raises
        raise ModelRejected(f"transformers does not load the model: {error}") from error


def _like(architecture: Architecture, parent: Mapping[str, Any]) -> dict[str, Any] | None:
    """The config of the pretrained model that a model was made of, where it is one of the same kind: all
    layers alike, with its own attention. None where it is not."""
    first, *others = architecture.layers
    if any(layer != first for layer in others) or first.mixer != parent["mixer"] or not first.ratio:
        return None
    config = {name: value for name, value in parent["config"].items() if name not in LEFT_OUT}
    sizes = first.sizes(architecture.width)
    heads = {"num_attention_heads": sizes.heads, "num_key_value_heads": sizes.groups}
    return {
        **config,
        **(heads | {"head_dim": sizes.head_size} if sizes.heads != config["num_attention_heads"] else {}),
        "intermediate_size": sizes.hidden,
        "tie_word_embeddings": architecture.tied,
        "dtype": "float32",
    }


def _card(submodel: Submodel, facts: Mapping[str, Any], module: str) -> str:
    """The model card: facts, and how to load it, its modelling file being `module`, none where empty."""
    trust, said_of_code = "", "It is of a class that transformers has."
    if module:
        trust = ", trust_remote_code=True"
        said_of_code = (
            f"`trust_remote_code` runs `{module}` of this folder, which needs torch and transformers alone. "
            "Sequences\nof a padded batch are computed one after another."
        )
    architecture = submodel.architecture
    parameters = sum(value.numel() for value in submodel.parameters())
    rows = "\n".join(
        f"| {number} | {layer.mixer} | {layer.heads} | {layer.channel} | {layer.ratio:g} |"
        for number, layer in enumerate(architecture.layers)
    )
    quality = facts.get("quality", {})
    said = [
        f"- {split} {quality['metric']}: {quality[split]:.4f}"
        for split in ("validation", "test")
        if quality.get(split) is not None
    ]
    if (task := facts.get("task")) is not None:
        said.insert(0, f"- trained on the task `{task['name']}`")
    facts_said = "\n".join(said)
    return f"""---
library_name: transformers
pipeline_tag: text-generation
license: other
tags: [neural-architecture-search, efficient-transformer]
---

# {architecture.digest}

A causal language model of {parameters:,} parameters: {architecture.vocabulary} token ids, width
{architecture.width}, {architecture.depth} layers. It was cut out of a supernet; `license` above is whoever
publishes it to fill in, as the data's is not known here.

{facts_said}

| layer | token mixer | heads | channel mixer | ratio |
|---|---|---|---|---|
{rows}

```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("PATH"{trust})
```

{said_of_code}
"""
