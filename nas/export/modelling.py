"""A model as `transformers` knows one; with the arithmetic that it uses (`nas.export.bundle`) the file that
folders for it ship.

Written for transformers 5.24: `generate` hands a model its ``cache``, and finds it again under that name in
what it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from searchspaces.architecture import Architecture, Layer
from searchspaces.blocks import Weights, extend, forward
from searchspaces.mixers import parse_mixer
from searchspaces.mixers.mixer import State
from searchspaces.projection import Projection

MODEL_TYPE = "nas_submodel"


class NasConfig(PreTrainedConfig):
    """What the model is: its layers, and the shapes of its weights.

    Attributes:
        architecture: vocabulary, width, and each layer's mixers.
        shapes: of the weights, by name.
    """

    model_type = MODEL_TYPE
    architecture: dict[str, Any] | None = None
    shapes: dict[str, Any] | None = None
    vocab_size: int = 256
    hidden_size: int = 64
    num_hidden_layers: int = 1


@dataclass
class NasOutput(ModelOutput):
    """What a call returns.

    Attributes:
        loss: mean cross-entropy of the labels, each the next token's, where they were given.
        logits: (B, S, V).
        cache: what the next call goes on from.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    cache: NasCache | PaddedCache | None = None


class NasCache:
    """What generation carries from call to call.

    Attributes:
        position: tokens so far.
        layers: the state of each layer's token mixer.
    """

    is_compileable = False

    def __init__(self, layers: list[State]) -> None:
        self.position = 0
        self.layers = layers

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens so far."""
        return self.position

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take over the beams that go on."""
        self._pick(lambda state: state.index_select(0, beam_idx.to(state.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every sequence so many times."""
        self._pick(lambda state: state.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Some of the sequences."""
        self._pick(lambda state: state[indices])

    def _pick(self, pick: Any) -> None:
        self.layers = [{name: pick(state) for name, state in layer.items()} for layer in self.layers]


class PaddedCache:
    """The same of sequences of different lengths: a cache for each, since each is at a position of its own.

    Attributes:
        position: columns of the batch so far, padding among them.
        rows: caches of one sequence each.
    """

    is_compileable = False

    def __init__(self, rows: list[NasCache]) -> None:
        self.position = 0
        self.rows = rows

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns so far."""
        return self.position

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take over the beams that go on."""
        self.rows = [copy(self.rows[row]) for row in beam_idx.tolist()]

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every sequence so many times."""
        self.rows = [copy(row) for row in self.rows for _ in range(repeats)]

    def batch_select_indices(self, indices: Tensor) -> None:
        """Some of the sequences."""
        self.rows = [self.rows[row] for row in torch.arange(len(self.rows))[indices.cpu()].tolist()]


class NasForCausalLM(PreTrainedModel, GenerationMixin):
    """A causal language model of token mixers and channel mixers, as the configuration lists them."""

    config_class = NasConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _is_stateful = True
    _no_split_modules: list[str] = []  # noqa: RUF012

    def __init__(self, config: NasConfig) -> None:
        super().__init__(config)
        self.architecture = _architecture(config.architecture or {})
        shapes = {name: tuple(shape) for name, shape in (config.shapes or {}).items()}
        self.embedding = nn.Parameter(torch.empty(shapes["embedding"]))
        self.norm = nn.Parameter(torch.empty(shapes["norm"]))
        if "head" in shapes:
            self.head = nn.Parameter(torch.empty(shapes["head"]))
        self.layers = nn.ModuleList()
        for number in range(self.architecture.depth):
            prefix = f"layers.{number}."
            own = {
                name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)
            }
            self.layers.append(
                nn.ParameterDict({name: nn.Parameter(torch.empty(shape)) for name, shape in own.items()})
            )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Of what is trained from nothing: matrices by their columns, vectors by ones."""
        for weight in module.parameters(recurse=False):
            if weight.ndim > 1:
                nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
            else:
                nn.init.ones_(weight)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # its own is made by the first call

    @property
    def _weights(self) -> Weights:
        layers = [dict(layer.named_parameters()) for layer in self.layers]
        return Weights(dict(self.named_parameters(recurse=False)), layers)

    def fresh_cache(self, batch: int) -> NasCache:
        """Before the first token."""
        layers = []
        for layer in self.architecture.layers:
            shapes = parse_mixer(layer.mixer).state_shapes(batch, layer.sizes(self.architecture.width), 0)
            layers.append({name: self.embedding.new_zeros(shape) for name, shape in shapes.items()})
        return NasCache(layers)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: NasCache | PaddedCache | None = None,
        use_cache: bool | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int = 0,
        return_dict: bool | None = None,
        **others: Any,
    ) -> NasOutput:
        """Token ids (B, S) → logits (B, S, V); of those after the cache's, where there is one.

        Args:
            attention_mask: (B, S), or with as many columns before as the cache has seen: 0 where a token is
                padding, on either side. Padded sequences are computed one after another, as they would be
                alone; where there is padding logits are 0.

        Raises:
            ValueError: what a cache has seen was not padded, and now it is.
        """
        padded = attention_mask is not None and not attention_mask.all()
        if isinstance(cache, PaddedCache) or (padded and cache is None):
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            logits, cache = self._padded(input_ids, mask[:, -input_ids.shape[1] :].bool(), cache, use_cache)
        elif padded:
            raise ValueError("padding after a call without any; accepted: the same padding in every call")
        else:
            logits, cache = self._whole(input_ids, cache, use_cache)
        loss = None
        if labels is not None:
            loss = cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return NasOutput(loss=loss, logits=logits[:, -logits_to_keep:], cache=cache)

    def _whole(
        self, ids: Tensor, cache: NasCache | None, use_cache: bool | None
    ) -> tuple[Tensor, NasCache | None]:
        """Sequences of one length."""
        if cache is None and not use_cache:
            return forward(ids, self.architecture, self._weights), None
        cache = cache or self.fresh_cache(ids.shape[0])
        begun = cache.position
        logits, cache.layers = extend(ids, begun, self.architecture, self._weights, cache.layers)
        cache.position = begun + ids.shape[1]
        return logits, cache

    def _padded(
        self, ids: Tensor, kept: Tensor, cache: PaddedCache | None, use_cache: bool | None
    ) -> tuple[Tensor, PaddedCache | None]:
        """Each sequence by itself, without its padding.

        Args:
            kept: (B, S), what is no padding.
        """
        if cache is None and use_cache:
            cache = PaddedCache([self.fresh_cache(1) for _ in ids])
        logits = self.embedding.new_zeros((*ids.shape, self.architecture.vocabulary))
        for row, mask in enumerate(kept):
            if mask.any():
                own = None if cache is None else cache.rows[row]
                logits[row, mask] = self._whole(ids[row, mask][None], own, use_cache)[0][0].to(logits)
        if cache is not None:
            cache.position += ids.shape[1]
        return logits, cache


def _architecture(data: Mapping[str, Any]) -> Architecture:
    layers = [
        Layer(**{**layer, "projection": Projection(**layer.get("projection", {}))})
        for layer in data["layers"]
    ]
    return Architecture(**{**data, "layers": tuple(layers)})
