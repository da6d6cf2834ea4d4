"""Blocks of models that generate: more tokens, and what a layer remembers of those before them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from nas.export.blocks import Positions, TokenMixer
from searchspaces.architecture import Architecture
from searchspaces.mixers import HeadMixer, parse_mixer
from workers.runtimes.onnx_states import NEXT, POSITION, STATE

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.mixers.mixer import Shape
    from searchspaces.part import Sizes

__all__ = [
    "AfterMixing",
    "BeforeMixing",
    "ExtendedPositions",
    "Extending",
    "MixHeads",
    "MixOnAllKept",
    "StatefulMixer",
]

EXAMPLE_BATCH, EXAMPLE_CONTEXT, EXAMPLE_TOKENS = 2, 5, 96
"""None of these may be another size of an example: equal sizes would be taken for one."""

CONTEXT, FOLLOWING = "context", "following"
"""Names of sizes that grow: tokens before those of a call, and with them."""


@dataclass(frozen=True)
class ExtendedPositions(Positions):
    """tokens and position → cosine, sine: the turns of tokens from a position on."""

    def example(self) -> dict[str, Tensor]:
        """tokens (B, S), whose length alone counts, and the position ()."""
        return super().example() | {POSITION: _position()}

    def compute(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """cosine and sine, (S, K) each."""
        import torch

        return self.turns(torch.arange(inputs["tokens"].shape[1]) + inputs[POSITION])


@dataclass(frozen=True)
class StatefulMixer(TokenMixer):
    """A block of a token mixer that reads some of its states and says what they are next.

    Shapes of states are the same after any number of tokens but for axes that are as long as these, since
    a mixer keeps every token: those are any that the file is called with.
    """

    @property
    def states(self) -> tuple[str, ...]:
        """Names of those that it reads and writes."""
        return tuple(self.shapes)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Of all states by name: `EXAMPLE_BATCH` sequences of `EXAMPLE_CONTEXT` tokens."""
        return self._after(EXAMPLE_CONTEXT)

    @cached_property
    def growing(self) -> dict[str, list[int]]:
        """Axes of each state that are as long as the context."""
        following = self._after(EXAMPLE_CONTEXT + 1)
        return {
            name: [axis for axis, size in enumerate(shape) if size != following[name][axis]]
            for name, shape in self.shapes.items()
        }

    def _after(self, tokens: int) -> dict[str, Shape]:
        from searchspaces.submodel import state_shapes

        (shapes,) = state_shapes(Architecture(1, self.width, (self.layer,)), EXAMPLE_BATCH, tokens)
        return shapes

    @property
    def following(self) -> tuple[str, ...]:
        """Names of the next states, which are the last outputs."""
        return tuple(NEXT + name for name in self.states)

    def axes(self, name: str) -> dict[int, str]:
        """See `Block.axes`."""
        for prefix, size in ((STATE, CONTEXT), (NEXT, FOLLOWING)):
            if name.startswith(prefix):
                return {0: "batch"} | dict.fromkeys(self.growing[name.removeprefix(prefix)], size)
        return super().axes(name)

    def _state_examples(self) -> dict[str, Tensor]:
        import torch

        return {STATE + name: torch.zeros(self.shapes[name]) for name in self.states}

    def _tokens(self) -> Tensor:
        import torch

        return torch.zeros(EXAMPLE_BATCH, EXAMPLE_TOKENS, self.width)

    def _read(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: inputs[STATE + name] for name in self.states}


@dataclass(frozen=True)
class Extending(StatefulMixer):
    """x, position, the mixer's weights and its states → y and the next states, of a mixer without heads."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """y, then the next states."""
        return ("y", *self.following)

    def example(self) -> dict[str, Tensor]:
        """x (B, S, D), position (), the layer's weights and its states."""
        turns = _turns(self) if parse_mixer(self.mixer).positioned else {}
        states = self._state_examples()
        return {"x": self._tokens(), POSITION: _position(), **turns, **self.weights(), **states}

    def compute(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """y (B, S, D) and the next states."""
        from searchspaces.blocks import extend_tokens

        turns = (inputs["cosine"], inputs["sine"]) if "cosine" in inputs else None
        state, x = self._read(inputs), inputs["x"]
        mixed, following = extend_tokens(x, self.layer, inputs, turns, state, inputs[POSITION])
        return x + mixed, *(following[name] for name in self.states)


@dataclass(frozen=True)
class BeforeMixing(StatefulMixer):
    """x, turns, the weights and what the convolutions keep → q, k, v, signals, and what these keep next.

    A mixer of heads is three blocks, for only the one in the middle differs between one token and many; and
    only the outer two have matrices.
    """

    @property
    def states(self) -> tuple[str, ...]:
        """Those of the convolutions."""
        return tuple(
            name for name in self.shapes if name not in MixHeads.of(self.layer, self.width, 1).states
        )

    @cached_property
    def heads_inputs(self) -> tuple[str, ...]:
        """Names of what is mixed: ``q``, ``k``, ``v`` and the signals."""
        return tuple(_values(self, 1))

    @property
    def outputs(self) -> tuple[str, ...]:
        """What is mixed, then the next states."""
        return (*self.heads_inputs, *self.following)

    def axes(self, name: str) -> dict[int, str]:
        """See `Block.axes`."""
        return {0: "batch", 2: "length"} if name in self.heads_inputs else super().axes(name)

    def example(self) -> dict[str, Tensor]:
        """x (B, S, D), the turns (S, K), the layer's weights and states."""
        turns = _turns(self) if parse_mixer(self.mixer).positioned else {}
        return {"x": self._tokens(), **turns, **self.weights(), **self._state_examples()}

    def compute(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """See the class."""
        from searchspaces.blocks import rms_norm

        turns = (inputs["cosine"], inputs["sine"]) if "cosine" in inputs else None
        x, state = rms_norm(inputs["x"], inputs["mixing_norm"]), self._read(inputs)
        values, kept = _head_mixer(self).before_mixing(x, inputs, _sizes(self), turns, state)
        return *values.values(), *(kept[name] for name in self.states)


@dataclass(frozen=True)
class MixHeads(StatefulMixer):
    """q, k, v, signals, position and the mixing's states → mixed heads, and the next states.

    Attributes:
        tokens: 1, or `EXAMPLE_TOKENS` for any number.
    """

    tokens: int

    @property
    def states(self) -> tuple[str, ...]:
        """Those of the mixing."""
        return tuple(_head_mixer(self).mix_state_shapes(1, 1, 1, 0))

    @property
    def outputs(self) -> tuple[str, ...]:
        """mixed, then the next states."""
        return ("mixed", *self.following)

    def axes(self, name: str) -> dict[int, str]:
        """See `Block.axes`."""
        if name.startswith((STATE, NEXT)):
            return super().axes(name)
        return {} if name == POSITION else {0: "batch"} | ({2: "length"} if self.tokens > 1 else {})

    def example(self) -> dict[str, Tensor]:
        """q (B, H, S, K), k and v (B, G, S, K), signals (B, G, S), position () and the states."""
        return {**_values(self, self.tokens), POSITION: _position(), **self._state_examples()}

    def compute(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """mixed (B, H, S, K) and the next states."""
        values = {n: y for n, y in inputs.items() if n != POSITION and not n.startswith(STATE)}
        state, position = self._read(inputs), inputs[POSITION]
        mixed, following = _head_mixer(self).mix_heads(values, _sizes(self), state, position)
        return mixed, *(following[name] for name in self.states)


@dataclass(frozen=True)
class MixOnAllKept(MixHeads):
    """q of one token, position, and the mixing's states with the token's key and value → mixed heads."""

    tokens: int = 1

    @property
    def outputs(self) -> tuple[str, ...]:
        """mixed."""
        return ("mixed",)

    def example(self) -> dict[str, Tensor]:
        """q (B, H, 1, K), position () and the next states."""
        import torch

        kept = {NEXT + name: torch.zeros(shape) for name, shape in self._after(EXAMPLE_CONTEXT + 1).items()}
        return {"q": _values(self, 1)["q"], POSITION: _position(), **{n: kept[n] for n in self.following}}

    def compute(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """mixed (B, H, 1, K)."""
        mixer = _head_mixer(self)
        mixing, kept = mixer.on_all_kept(), {name: inputs[NEXT + name] for name in self.states}
        assert mixing is not None
        return (mixer.mix_on_all_kept(mixing, inputs["q"], _sizes(self), kept, inputs[POSITION]),)


@dataclass(frozen=True)
class AfterMixing(TokenMixer):
    """x, mixed heads and the layer's ``out`` → y: x plus what they give."""

    outputs: ClassVar[tuple[str, ...]] = ("y",)

    def axes(self, name: str) -> dict[int, str]:
        """See `Block.axes`."""
        return {0: "batch", 2: "length"} if name == "mixed" else super().axes(name)

    def example(self) -> dict[str, Tensor]:
        """x (B, S, D), mixed (B, H, S, K) and out (D, H·K)."""
        import torch

        sizes = _sizes(self)
        mixed = torch.zeros(EXAMPLE_BATCH, sizes.heads, EXAMPLE_TOKENS, sizes.head_size)
        x = torch.zeros(EXAMPLE_BATCH, EXAMPLE_TOKENS, self.width)
        return {"x": x, "mixed": mixed, "out": self.weights()["out"]}

    def compute(self, inputs: dict[str, Tensor]) -> Tensor:
        """y (B, S, D)."""
        return inputs["x"] + _head_mixer(self).after_mixing(inputs["mixed"], inputs, _sizes(self))


def _sizes(block: TokenMixer) -> Sizes:
    return block.layer.sizes(block.width)


def _head_mixer(block: TokenMixer) -> HeadMixer:
    mixer = parse_mixer(block.mixer)
    assert isinstance(mixer, HeadMixer)
    return mixer


def _position() -> Tensor:
    import torch

    return torch.tensor(EXAMPLE_CONTEXT)


def _turns(block: TokenMixer) -> dict[str, Tensor]:
    import torch

    shape = EXAMPLE_TOKENS, block.head_size
    return {name: torch.zeros(shape) for name in Positions.outputs}


def _values(block: TokenMixer, tokens: int) -> dict[str, Tensor]:
    """Zeros of what is mixed, by name."""
    import torch

    sizes, weights = _sizes(block), block.weights()
    x = torch.zeros(EXAMPLE_BATCH, tokens, block.width)
    mixer, value = _head_mixer(block), torch.zeros(EXAMPLE_BATCH, sizes.groups, tokens, sizes.head_size)
    query = torch.zeros(EXAMPLE_BATCH, sizes.heads, *value.shape[2:])
    q, k = mixer.prepared(query, value, weights, sizes)
    return {"q": q, "k": k, "v": value, **mixer.signals(x, weights, sizes)}
