"""The delta rule (DeltaNet: Schlag et al., 2021; in chunks: Yang et al., 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks
from searchspaces.mixers.gates import gate, gate_operations, gate_weights, log_gate
from searchspaces.mixers.heads import HeadMixer
from searchspaces.mixers.mixer import Kind, Position, Shape, State, register_mixer
from searchspaces.mixers.projected import DELTA
from searchspaces.mixers.recurrence import Decayed, Remembered, Undecayed, carried, unit_lower_inverse
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 32
"""C, tokens a chunk, a power of 2: inverting C × C matrices costs as much as all else at about this size."""

EPSILON = 1e-5
"""Below squared norms."""


@register_mixer("delta")
@dataclass(frozen=True)
class Delta(HeadMixer):
    """A state S (K × K) that is corrected by what each token shows that it lacks: with
    β_t = sigmoid(w·x_t + b), S_t = S_{t−1} + β_t k_t (v_t − S_{t−1}ᵀ k_t)ᵀ, out_t = norm(S_tᵀ q_t).

    q and k are SiLU's, of norm 1. The output is divided by its root mean square in each head; the gain that
    usually follows is part of the output projection. No positions: a key that is turned would not meet the
    one that it replaces.
    """

    glyph = "Δ"
    example = "delta"
    kind = Kind.RECURRENT
    kernel = "the delta rule: what a key stood for is replaced"
    sparsity = "all tokens"
    source = "DeltaNet: Schlag et al., 2021; Yang et al., 2024"
    family = DELTA
    positioned = False

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """The gate's of β."""
        return gate_weights("strength", sizes)

    def prepared(
        self, q: Tensor, k: Tensor, weights: Mapping[str, Tensor], sizes: Sizes
    ) -> tuple[Tensor, Tensor]:
        """SiLU, then norm 1."""
        return _unit(q), _unit(k)

    def signals(self, x: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
        """`strength`, β (B, G, N)."""
        return {"strength": gate(x, weights, self.own_name("strength"), sizes).sigmoid()}

    def mix(
        self, q: Tensor, k: Tensor, v: Tensor, strength: Tensor, log_decay: Tensor | None = None
    ) -> Tensor:
        """In chunks: within one, what tokens write solves a triangular system (the WY form)."""
        mixed, _ = self._mixed(q, k, v, strength, log_decay, None)
        return mixed

    def mix_extend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        state: State,
        position: Position,
        strength: Tensor,
        log_decay: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """The same on top of a state."""
        mixed, (transition, before, added) = self._mixed(q, k, v, strength, log_decay, state["state"])
        return mixed, {"state": transition @ before + added}

    def _mixed(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        strength: Tensor,
        log_decay: Tensor | None,
        start: Tensor | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """And of the last chunk its transition, the state before it and what it adds, from which the state at
        the end follows. `start` is the state before the first token, zeros where None."""
        import torch

        left: Remembered = Undecayed() if log_decay is None else Decayed(log_decay, CHUNK)
        queries, keys, values = (into_chunks(x, CHUNK) for x in (q, k, v))
        strengths = into_chunks(strength.unsqueeze(-1), CHUNK)
        columns = keys.transpose(-1, -2)
        lacking = strengths * left.within(keys @ columns).tril(-1)
        solved = unit_lower_inverse(lacking) * strengths.transpose(-1, -2)
        # New values are those of a chunk alone less what the state before it knows.
        alone, known = solved @ values, solved @ left.since_start(keys)
        ends = left.at_end(keys).transpose(-1, -2)
        identity = torch.eye(int(k.shape[-1]), device=k.device, dtype=k.dtype)
        transitions, inputs = left.over_chunk(identity) - ends @ known, ends @ alone
        if start is None:
            states = carried(transitions, inputs)
        else:  # as a chunk of its own in front, which forgets everything
            first = start.unsqueeze(2)
            empty = torch.zeros_like(transitions[:, :, :1])
            states = carried(torch.cat([empty, transitions], dim=2), torch.cat([first, inputs], dim=2))
            states = states[:, :, 1:]
        written = alone - known @ states
        mixed = left.since_start(queries) @ states + left.within(queries @ columns) @ written
        last = transitions[:, :, -1], states[:, :, -1], inputs[:, :, -1]
        return _normed(out_of_chunks(mixed, v.shape[2])), last

    def mix_reference(
        self, q: Tensor, k: Tensor, v: Tensor, strength: Tensor, log_decay: Tensor | None = None
    ) -> Tensor:
        """Token by token."""
        import torch

        state, rows = torch.zeros_like(k[:, :, 0].unsqueeze(-1) * v[:, :, 0].unsqueeze(-2)), []
        for i in range(q.shape[2]):
            if log_decay is not None:
                state = state * log_decay[:, :, i, None, None].exp()
            known = torch.einsum("bhkv,bhk->bhv", state, k[:, :, i])
            lacks = strength[:, :, i, None] * (v[:, :, i] - known)
            state = state + torch.einsum("bhk,bhv->bhkv", k[:, :, i], lacks)
            rows.append(torch.einsum("bhkv,bhk->bhv", state, q[:, :, i]))
        return _normed(torch.stack(rows, dim=2))

    def mix_step(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        state: State,
        position: Position,
        strength: Tensor,
        log_decay: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """One correction of the state, and a look at it."""
        kept = state["state"]
        if log_decay is not None:
            kept = kept * log_decay.exp()[..., None, None]
        known = (k.unsqueeze(-2) @ kept).squeeze(-2)
        lacks = strength.unsqueeze(-1) * (v - known)
        kept = kept + k.unsqueeze(-1) * lacks.unsqueeze(-2)
        return _normed(q @ kept), {"state": kept}

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """K × K a head, however many tokens."""
        return {"state": (batch, groups, head_size, head_size)}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Scores of keys and of queries, the triangular inverse, and a state a chunk."""
        inner, heads, size = sizes.inner, sizes.heads, sizes.head_size
        count = chunk_count(tokens, CHUNK)
        padded, levels = count * CHUNK, CHUNK.bit_length() - 2
        inverse = 2 * levels * padded * CHUNK * CHUNK * heads
        products = padded * inner * (5 * CHUNK + 4 * size) + count * inner * size**2
        scores, states = padded * CHUNK * heads, count * inner * size
        return (
            *gate_operations(sizes, tokens),
            Operation(OperationKind.GATHER, elements=padded * (4 * inner + heads), calls=6),
            Operation(
                OperationKind.ATTENTION,
                macs=inverse + products,
                elements=(2 * levels + 2) * scores + 5 * padded * inner + 3 * states,
                calls=2 * levels + 10 + count,
            ),
            Operation(
                OperationKind.ELEMENTWISE,
                elements=(2 * levels + 4) * scores + 12 * padded * inner + 2 * states,
                calls=2 * levels + 20 + count,
            ),
        )

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """Two products with the state, and its update."""
        state = sizes.shared * sizes.head_size
        return (
            *gate_operations(sizes, 1),
            Operation(
                OperationKind.ATTENTION,
                macs=state + sizes.inner * sizes.head_size,
                elements=sizes.shared + sizes.inner,
                calls=2,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=2 * state + 8 * sizes.inner, calls=14),
        )


@register_mixer("gateddelta")
@dataclass(frozen=True)
class GatedDelta(Delta):
    """The delta rule on a state that forgets by what it reads (Gated DeltaNet; Yang et al., 2025):
    S_t = α_t S_{t−1} + β_t k_t (v_t − α_t S_{t−1}ᵀ k_t)ᵀ, with α as `gated` has it."""

    glyph = "Γ"
    example = "gateddelta"
    kernel = "the delta rule, × decays read from tokens"
    source = "Yang, Kautz & Hatamizadeh, 2025"

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """The gates' of β and α."""
        return super().own_shapes(sizes) | gate_weights("gate", sizes)

    def signals(self, x: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
        """`strength`, and `log_decay` (B, G, N)."""
        decay = log_gate(x, weights, self.own_name("gate"), sizes)
        return super().signals(x, weights, sizes) | {"log_decay": decay}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """As without decays, and these."""
        padded = chunk_count(tokens, CHUNK) * CHUNK
        decays = Operation(
            OperationKind.ELEMENTWISE,
            elements=padded * (2 * CHUNK * sizes.heads + 3 * sizes.inner),
            calls=12,
        )
        return *gate_operations(sizes, tokens), *super().mix_operations(sizes, tokens), decays

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """As without decays, and these."""
        forgotten = Operation(OperationKind.ELEMENTWISE, elements=sizes.shared * sizes.head_size, calls=2)
        return *gate_operations(sizes, 1), *super().mix_step_operations(sizes, context), forgotten


def _unit(x: Tensor) -> Tensor:
    from torch.nn.functional import silu

    activated = silu(x)
    return activated / (activated.square().sum(-1, keepdim=True) + EPSILON).sqrt()


def _normed(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + EPSILON).sqrt()
