"""What stages keep with their job between two interruptions, each as a type of its own: plain JSON data under
a name, replaced as a whole. Every field has the default of a job that has kept nothing yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from nas.job import TargetProfile
from nas.store.store import Store

__all__ = [
    "ControlsState",
    "FinalistsState",
    "OpenBatch",
    "ProfileState",
    "SearchState",
    "StageState",
    "VerifyState",
]


@dataclass(frozen=True)
class StageState:
    """See the module. Keys that this version does not know are left out."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in names})

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def load(cls, store: Store, job_id: str, name: str) -> Self:
        """What the job has kept under the name."""
        return cls.from_dict(store.state(job_id, name) or {})

    def save(self, store: Store, job_id: str, name: str, entry: Mapping[str, Any] | None = None) -> None:
        """Keep it in place of what was kept.

        Args:
            entry: plain JSON data that is added to the journal of that name in the same transaction.
        """
        store.put_state(job_id, name, self.to_dict(), entry)


@dataclass(frozen=True)
class ProfileState(StageState):
    """Of `profile`: the targets that are profiled, and how accurate their predictors are."""

    profiles: Mapping[str, TargetProfile] = field(default_factory=dict)
    """By the target's text."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls({target: TargetProfile.from_dict(profile) for target, profile in data.items()})

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return {target: profile.to_dict() for target, profile in self.profiles.items()}


@dataclass(frozen=True)
class OpenBatch:
    """A batch that is being measured: its second reading of a control model is still to come.

    Attributes:
        digests: of the architectures.
        before: the first reading.
    """

    digests: tuple[str, ...]
    before: float


@dataclass(frozen=True)
class ControlsState(StageState):
    """Of a target's control models; finished batches are in the journal.

    Attributes:
        uncontrolled: the device accepts no control model; a note has said so.
    """

    open: OpenBatch | None = None
    uncontrolled: bool = False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        begun = data.get("open")
        return cls(
            None if begun is None else OpenBatch(tuple(begun["digests"]), begun["before"]),
            data.get("uncontrolled", False),
        )


@dataclass(frozen=True)
class SearchState(StageState):
    """Of one search; its strategy's proposals and observations are in the journal.

    Attributes:
        over: the search has spent its evaluations, or the space.
        strategy: where the strategy stands; None before the search's first step.
        told: evaluations that the strategy has received, in whole ones.
        pending: rows of candidates that are under evaluation.
        levels: the fidelity of each; the first one's where a state of earlier versions has none.
        seconds: of wall time so far.
    """

    over: bool = False
    strategy: Mapping[str, Any] | None = None
    told: float = 0.0
    pending: list[list[int]] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return super().from_dict({"levels": [0] * len(data.get("pending", ())), **data})


@dataclass(frozen=True)
class VerifyState(StageState):
    """Of `verify`.

    Attributes:
        round: that it is in, from 1.
        measured: digests of what was on the front when the round chose to measure it: its predictions, made
            before, are what the round evaluates.
    """

    round: int = 1
    measured: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FinalistsState(StageState):
    """Of `finalists`.

    Attributes:
        over: no others are to be trained.
        ended: steps taken by the trainings that have ended, by digest of their weights.
        chosen: digests of the architectures that were chosen so far, in order.
        open: those of them that are being trained.
        tuned: digests of those that were chosen to be fine-tuned from the supernet's weights, in order.
        tuning: those of them that are being fine-tuned.
        batches, seconds: trained so far, and their wall time.
        spent: by fidelity, multiply-accumulates of a sequence times steps that were trained so far, and the
            wall time that they took.
    """

    ended: Mapping[str, int] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    tuned: tuple[str, ...] = ()
    tuning: tuple[str, ...] = ()
    batches: int = 0
    seconds: float = 0.0
    spent: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    over: bool = False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        lists = {name: tuple(data.get(name, ())) for name in ("chosen", "open", "tuned", "tuning")}
        spent = {of: (work, seconds) for of, (work, seconds) in data.get("spent", {}).items()}
        return super().from_dict({**data, **lists, "spent": spent})
