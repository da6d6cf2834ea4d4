"""Optuna's samplers as strategies, for comparison."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from nas.problem import SearchProblem
from nas.strategies.base import SingleFidelityStrategy
from nas.strategies.strategy import register_strategy
from searchspaces.encoding import Population

if TYPE_CHECKING:
    import optuna

__all__ = ["OptunaStrategy"]

ATTEMPTS = 10
"""Most draws of a sampler for each new candidate; missing ones are then drawn at random."""


class OptunaStrategy(SingleFidelityStrategy):
    """An in-memory study with one categorical parameter for each gene.

    Every batch has a new sampler, seeded by the strategy's seed and the number of trials; all else that a
    sampler knows is in the study's trials, so that the state is plain data.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        import optuna

        self._optuna = optuna
        self._distributions: dict[str, optuna.distributions.BaseDistribution] = {
            f"{gene}": optuna.distributions.CategoricalDistribution(range(int(cardinality)))
            for gene, cardinality in enumerate(problem.encoding.cardinalities)
        }
        self._start_study()

    @abstractmethod
    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """The sampler of one batch."""

    def _start_study(self) -> None:
        verbosity = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._storage = self._optuna.storages.InMemoryStorage()
        self._study = self._optuna.create_study(
            storage=self._storage, study_name="search", directions=["minimize"] * len(self.problem.objectives)
        )
        self._optuna.logging.set_verbosity(verbosity)
        self._study_id = self._storage.get_study_id_from_name("search")
        self._numbers: dict[bytes, int] = {}

    def _propose(self, n: int) -> Population:
        trials = len(self._study.get_trials(deepcopy=False))
        seed = int(np.random.SeedSequence([self.seed, trials]).generate_state(1)[0])
        self._study.sampler = self._sampler(seed)
        rows: dict[bytes, list[int]] = {}
        for _ in range(ATTEMPTS * n):
            if len(rows) == n:
                break
            trial = self._study.ask(self._distributions)
            row = self.problem.encoding.canonical([self._codes(trial.params)])
            key = row.tobytes()
            if key not in rows and len(self.history.fresh(row)):
                rows[key] = row[0].tolist()
                self._numbers[key] = trial.number
            else:
                self._repeat(key, trial)
        return np.array(list(rows.values()), np.int64).reshape(-1, self.problem.encoding.genes)

    def _repeat(self, key: bytes, trial: optuna.trial.Trial) -> None:
        """Tell a candidate that is already taken the values told before; it fails if there are none yet."""
        state = self._optuna.trial.TrialState
        earlier = self._trial(self._numbers[key]) if key in self._numbers else None
        if earlier is None or earlier.state != state.COMPLETE:
            self._study.tell(trial, state=state.FAIL)
            return
        for name, excess in earlier.constraints.items():
            trial.set_constraint(name, excess)
        self._study.tell(trial, earlier.values)

    def _learn(self, positions: NDArray[np.int64]) -> None:
        optuna = self._optuna
        # Adding and telling trials draws nothing; a sampler without a model makes it cheap.
        self._study.sampler = optuna.samplers.RandomSampler(seed=0)
        population, values = self.history.rows(positions), self.history.values_at(positions)
        smaller = self.problem.minimised(values)
        for row, told in zip(population, smaller, strict=True):
            key = row.tobytes()
            number = self._numbers.get(key)
            if number is None or self._trial(number).state != optuna.trial.TrialState.RUNNING:
                number = self._numbers[key] = self._enter(row)
            trial = optuna.trial.Trial(self._study, self._trial(number)._trial_id)
            if not np.isfinite(told).all():
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            for objective, value, bound in zip(
                self.problem.objectives, told, self.problem.bounds, strict=True
            ):
                if np.isfinite(bound):
                    trial.set_constraint(objective.name, float(value - bound))
            self._study.tell(trial, told.tolist())

    def _enter(self, row: NDArray[np.int64]) -> int:
        """Add a trial for a candidate that the sampler did not propose."""
        self._study.enqueue_trial(
            {name: int(code) for name, code in zip(self._distributions, row, strict=True)}
        )
        return self._study.ask(self._distributions).number

    def _trial(self, number: int) -> optuna.trial.FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _codes(self, params: dict[str, Any]) -> list[int]:
        return [int(params[name]) for name in self._distributions]

    def state(self) -> dict[str, Any]:
        """See `Strategy.state`."""
        trials = [
            {
                "codes": self._codes(trial.params),
                "state": trial.state.name,
                "values": trial.values,
                "attributes": trial.system_attrs,
            }
            for trial in self._study.get_trials(deepcopy=False)
        ]
        attributes = self._storage.get_study_system_attrs(self._study_id)
        numbers = list(self._numbers.values())
        return super().state() | {"trials": trials, "attributes": attributes, "numbers": numbers}

    def restore(self, state: dict[str, Any], journal: Iterable[Mapping[str, Any]]) -> Self:
        """See `Strategy.restore`."""
        self._start_study()
        for trial in state["trials"]:
            self._study.add_trial(
                self._optuna.trial.create_trial(
                    state=self._optuna.trial.TrialState[trial["state"]],
                    values=trial["values"],
                    params=dict(zip(self._distributions, trial["codes"], strict=True)),
                    distributions=self._distributions,
                    system_attrs=trial["attributes"],
                )
            )
        for key, value in state["attributes"].items():
            self._storage.set_study_system_attr(self._study_id, key, value)
        for number in state["numbers"]:
            row = self.problem.encoding.canonical([state["trials"][number]["codes"]])
            self._numbers[row.tobytes()] = number
        return super().restore(state, journal)


class GeneticStrategy(OptunaStrategy):
    """A sampler that works by generations, which candidates that it did not propose join too."""

    @abstractmethod
    def _sampler(self, seed: int) -> optuna.samplers.NSGAIISampler | optuna.samplers.NSGAIIISampler: ...

    def _enter(self, row: NDArray[np.int64]) -> int:
        number = super()._enter(row)
        self._sampler(self.seed).get_trial_generation(self._study, self._trial(number))
        return number


@register_strategy("optuna-nsga2")
class OptunaNSGA2(GeneticStrategy):
    """NSGA-II (Deb et al., 2002)."""

    def _sampler(self, seed: int) -> optuna.samplers.NSGAIISampler:
        return self._optuna.samplers.NSGAIISampler(population_size=20, seed=seed)


@register_strategy("optuna-nsga3")
class OptunaNSGA3(GeneticStrategy):
    """NSGA-III (Deb and Jain, 2014)."""

    def _sampler(self, seed: int) -> optuna.samplers.NSGAIIISampler:
        return self._optuna.samplers.NSGAIIISampler(population_size=20, seed=seed)


@register_strategy("optuna-tpe")
class OptunaTPE(OptunaStrategy):
    """Multi-objective tree-structured Parzen estimators (Ozaki et al., 2022), multivariate."""

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        return self._optuna.samplers.TPESampler(multivariate=True, seed=seed)


@register_strategy("optuna-gp")
class OptunaGP(OptunaStrategy):
    """Gaussian processes with expected hypervolume improvement; takes seconds for each candidate."""

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        return self._optuna.samplers.GPSampler(seed=seed)
