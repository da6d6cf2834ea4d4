"""A pretrained model as its folder's `config.json` declares it: the largest architecture of a space."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.errors import InvalidSpec
from nas.pretrained.folder import all_safetensors, invalid_model, weight_files
from searchspaces.architecture import Architecture
from searchspaces.documents import LONGEST_NAME
from searchspaces.errors import Problem, SpaceError
from searchspaces.mixers import obeyed_genes
from searchspaces.projection import Projection
from searchspaces.space import SearchSpace, load_space

__all__ = [
    "FAMILIES",
    "KEEP",
    "Parent",
    "name_of",
    "read_parent",
]

KEEP = "keep"
"""The mixer option that leaves a layer its own."""

CHANNEL = "swiglu"

COUNTS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    "max_position_embeddings",
)

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": {"max_position_embeddings": 2048},
    "mistral": {"max_position_embeddings": 131072},
    "qwen2": {"max_position_embeddings": 32768, "projection_bias": True},
    "qwen3": {"max_position_embeddings": 32768, "norms": True},
}
"""By `model_type`: what a config of that family does not say, or need not. SmolLM2 is `llama`."""

OURS = ("norms", "projection_bias")
"""Of `FAMILIES`: no fields of a config."""

QWEN_WINDOWS = {
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
    "layer_types": None,
}
WINDOWS: Mapping[str, Mapping[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 4096},
    "qwen2": QWEN_WINDOWS,
    "qwen3": QWEN_WINDOWS,
}
"""By `model_type`: the fields by which its class in `transformers` chooses windows, and what it takes for one
that is missing. No part of `Parent.config`, and so of no digest."""

FULL, SLIDING = "full_attention", "sliding_attention"
"""What `layer_types` consists of."""


@dataclass(frozen=True)
class Parent:
    """A pretrained model, without its weights.

    Attributes:
        folder: where `config.json` and the weights lie.
        config: what `config.json` says, nulls among it (a null is not what a missing field means), and what
            `FAMILIES` adds.
        mixer: option of its layers' token mixer.
        hidden: F.
        projection: of its layers.
        tied: whether its output projection is the embedding.
        epsilon: of its norms.
        context: tokens that it was trained for.
    """

    folder: Path
    config: Mapping[str, Any]
    mixer: str
    hidden: int
    projection: Projection
    tied: bool
    epsilon: float
    context: int

    def space(
        self,
        mixers: Sequence[str] = (KEEP,),
        shares: Sequence[float] = (1,),
        context: int = 0,
        groups: Sequence[float] = (1,),
    ) -> SearchSpace:
        """The space of what may stand in the place of its parts; the model itself is the largest member.

        Args:
            mixers: options of every layer, `KEEP` first where it is missing.
            shares: of the feed-forward units that a layer keeps, 1 first where it is missing.
            context: N, tokens of a training sequence; the model's own where 0.
            groups: shares of the heads of keys and values that a layer keeps, each with the queries that
                share it, 1 first where it is missing.

        Raises:
            SpaceError: an option is not valid.
        """
        config, projection = self.config, self.projection
        width, heads, whole = (
            config[name] for name in ("hidden_size", "num_attention_heads", "num_key_value_heads")
        )
        problems = [
            Problem(f"space.ratio.{number}", f"{share} of the parent's units; accepted: a share, 0 to 1")
            for number, share in enumerate(shares)
            if not 0 <= share <= 1
        ]
        problems += [
            Problem(
                f"space.heads.{number}", f"{share} of the parent's {whole} groups; accepted: 1/{whole} to 1"
            )
            for number, share in enumerate(groups)
            if not (share <= 1 and round(share * whole) > 0)
        ]
        if problems:
            raise SpaceError(problems)
        left = [round(share * whole) for share in (1, *groups)]
        own = [self.mixer if option == KEEP else option for option in (KEEP, *mixers)]
        obeyed = [obeyed_genes(option) for option in own]
        # Mixers whose heads have values of their own take the parent's where the projection shares them.
        apart = any("heads" in genes and "kv_heads" not in genes for genes in obeyed)
        shared = [whole]
        if set(left) != {whole} or (apart and whole < heads):
            sharing, size = heads // whole, projection.head_size or width // heads
            projection, shared = replace(projection, head_size=size, sharing=sharing), [0]
        kept = [round(share * self.hidden) for share in (1, *shares)]
        return load_space(
            {
                "name": name_of(self.folder.resolve()),
                "vocabulary": config["vocab_size"],
                "context": context or self.context,
                "width": [width],
                "depth": [config["num_hidden_layers"]],
                "tied": self.tied,
                "layer": {
                    "mixer": list(dict.fromkeys(own)),
                    "heads": [heads // whole * kept for kept in dict.fromkeys(left)],
                    "kv_heads": shared,
                    "channel": [CHANNEL],
                    "ratio": [units / width for units in dict.fromkeys(kept)],
                    "projection": projection.to_dict(),
                },
            }
        )

    @cached_property
    def architecture(self) -> Architecture:
        """Of the model itself."""
        return self.space().first

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of its config, but for nulls, and of every byte of its folder's safetensors:
        those too that are not its weights, as ever, so that digests stay what they were."""
        said = {name: value for name, value in self.config.items() if value is not None}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        for file in all_safetensors(self.folder):
            digest.update(file.name.encode())
            with file.open("rb") as content:
                while piece := content.read(1 << 24):
                    digest.update(piece)
        return digest.hexdigest()[:16]


def name_of(model: Path) -> str:
    """The name of a pretrained model and its space: its folder's, or its GGUF file's without the suffix, with
    a hyphen for what no name of a space may have; `pretrained` where nothing is left."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model.name.removesuffix(".gguf"))
    return name.strip("._-")[:LONGEST_NAME] or "pretrained"


def read_parent(folder: Path) -> Parent:
    """What a Hugging Face folder declares, checked; its weights are not read.

    Raises:
        InvalidSpec: it is no such folder, of another family, quantised, or declares what is not read here:
            every problem at once, each with its path below ``start.model``.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError) as error:
        accepted = "accepted: a folder of Hugging Face with config.json and safetensors, or a .gguf file"
        raise invalid_model("", f"{str(folder)!r:.120} has no config.json ({error}); {accepted}") from error
    family = str(config.get("model_type"))
    if family not in FAMILIES:
        raise invalid_model("model_type", f"{family!r} is not read; accepted: {', '.join(FAMILIES)}")
    problems = _Problems()
    if config.get("quantization_config"):
        problems.add("quantization_config", "quantised weights are not read; accepted: bf16, f16 or f32")
    said = {**FAMILIES[family], **{name: value for name, value in config.items() if value is not None}}
    for name in COUNTS:
        problems.check(name, said.get(name), type(said.get(name)) is int and said[name] > 0, "a count")
    for name, value, accepted in (("hidden_act", "silu", "silu"), ("mlp_bias", False, "false")):
        problems.check(name, said.get(name, value), said.get(name, value) == value, accepted)
    problems.raise_any()
    heads = said["num_attention_heads"]
    said["num_key_value_heads"] = said.get("num_key_value_heads", heads)
    head_size = said.get("head_dim", said["hidden_size"] // heads)
    bias = bool(said.get("attention_bias", False))
    rotary = _rotary(said, problems)
    mixer = _mixer(config, said["max_position_embeddings"], problems)
    tied = said["tie_word_embeddings"] if "tie_word_embeddings" in said else not _has_head(folder)
    problems.raise_any()
    try:
        projection = Projection(
            head_size=0 if head_size * heads == said["hidden_size"] else head_size,
            bias=bias or said.get("projection_bias", False),
            out_bias=bias,
            norms=said.get("norms", False),
            **rotary,
        )
        parent = Parent(
            folder,
            {name: value for name, value in {**config, **said}.items() if name not in OURS},
            mixer,
            said["intermediate_size"],
            projection,
            bool(tied),
            float(said.get("rms_norm_eps", 1e-6)),
            said["max_position_embeddings"],
        )
        assert parent.architecture
    except (TypeError, ValueError) as error:
        raise invalid_model("", str(error)) from error
    except SpaceError as error:
        raise InvalidSpec([Problem(f"start.model.{p.path}", p.message) for p in error.problems]) from error
    return parent


class _Problems(list[Problem]):
    def add(self, path: str, message: str) -> None:
        self.append(Problem(f"start.model.{path}", message))

    def check(self, path: str, value: Any, accepted: bool, what: str) -> None:
        if not accepted:
            self.add(path, f"{value!r:.80} is not read; accepted: {what}")

    def raise_any(self) -> None:
        if self:
            raise InvalidSpec(self)


def _rotary(said: Mapping[str, Any], problems: _Problems) -> dict[str, Any]:
    """The rotary fields of a projection: as `transformers` writes them from version 5 on, or before."""
    told = said.get("rope_parameters") or said.get("rope_scaling") or {}
    if not isinstance(told, Mapping):
        problems.add("rope_parameters", f"{told!r:.80} is not read; accepted: a mapping")
        return {}
    base = told.get("rope_theta", said.get("rope_theta", 10_000.0))
    kind = told.get("rope_type", told.get("type", "default"))
    if kind not in ("default", "linear", "llama3"):
        problems.add("rope_parameters.rope_type", f"{kind!r} is not read; accepted: default, linear, llama3")
        return {}
    try:
        rotary = {"base": float(base)}
        if kind != "default":
            rotary["factor"] = float(told["factor"])
        if kind == "llama3":
            rotary["low"], rotary["high"] = float(told["low_freq_factor"]), float(told["high_freq_factor"])
            rotary["original"] = int(told["original_max_position_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        problems.add("rope_parameters", f"{error} is missing or no number")
        return {}
    return rotary


def _mixer(config: Mapping[str, Any], context: int, problems: _Problems) -> str:
    """The token mixer of every layer, by the rule of the family's class in `transformers`: softmax attention
    to everything, or within a window. Layers that attend in different ways are a problem; within a window
    that holds the whole context they do not.

    Args:
        config: what `config.json` says; a null stands, for no window.
        context: tokens that the model was trained for.
    """
    family, number = config["model_type"], config["num_hidden_layers"]
    told = {name: config.get(name, missing) for name, missing in WINDOWS[family].items()}
    window = told.get("sliding_window") if told.get("use_sliding_window", True) else None
    first = told.get("max_window_layers", 0)
    if window is not None and (type(window) is not int or window < 1):
        problems.add("sliding_window", f"{window!r:.80} is not read; accepted: a count, or null")
        return "softmax"
    if type(first) is not int:
        problems.add("max_window_layers", f"{first!r:.80} is not read; accepted: a count of layers")
        return "softmax"
    if not told:
        _check_no_window(config, context, problems)
    chosen = [FULL if window is None or layer < first else SLIDING for layer in range(number)]
    path, kinds = "layer_types", config.get("layer_types")
    if kinds is None:
        path, kinds = "max_window_layers", chosen
    if not isinstance(kinds, list) or len(kinds) != number or {*map(str, kinds)} - {FULL, SLIDING}:
        said = f"{kinds!r:.80} is not read; accepted: {FULL}, or {SLIDING}, alone, for {number} layers"
        problems.add(path, said)
        return "softmax"
    if window is not None and window >= context:
        return "softmax"
    if len(set(kinds)) > 1:
        said = f"{kinds.count(FULL)} of {number} layers attend to everything, the others within a window"
        problems.add(path, f"{said}; accepted: {FULL}, or {SLIDING}, alone")
    elif kinds != chosen and ("layer_types" not in told or window is None):
        # Other classes do not read it; and Qwen's fail where it says windows and there is none.
        problems.add(path, f"{kinds[0]}, where {family} has {chosen[0]}; accepted: {chosen[0]}")
    return f"window:{window}" if kinds[0] == SLIDING else "softmax"


def _check_no_window(config: Mapping[str, Any], context: int, problems: _Problems) -> None:
    """Of a family whose class has no window: `transformers` attends to everything, and drops from its cache
    what a window that the config says does not hold."""
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    if window and not (type(window) is int and window >= context):
        said = f"{window!r:.80}, but a {config['model_type']} has no window; accepted: null"
        problems.add("sliding_window", said)


def _has_head(folder: Path) -> bool:
    from safetensors import safe_open

    for file in weight_files(folder):
        with safe_open(file, framework="np") as weights:
            if "lm_head.weight" in weights.keys():  # noqa: SIM118
                return True
    return False
