"""A job as a study of Optuna, which its dashboard and its plots open."""

from __future__ import annotations

import math
import warnings
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from nas.errors import InvalidSpec
from nas.exchange.exporters import destination_url, facts, genes
from nas.front import Front
from searchspaces.errors import Problem

__all__ = ["export"]


def export(front: Front, out: str) -> str:
    """A study called as the job, a trial for each candidate whose objectives are all known.

    Args:
        out: an SQLite file, or the URL of a database that Optuna knows.

    Raises:
        InvalidSpec: the place has a study of that name already, or cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = destination_url(out)
    try:
        storage = optuna.storages.RDBStorage(url)
        study = optuna.create_study(
            storage=storage,
            study_name=front.job,
            directions=["minimize" if o.direction.sign > 0 else "maximize" for o in front.objectives],
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise InvalidSpec([Problem("--out", f"{out} has a study {front.job} already")]) from error
    except SQLAlchemyError as error:  # a driver that is not here, a host that is not reached, another file
        said = (
            f"{out} cannot be opened ({str(error).splitlines()[0]}); accepted: an SQLite file, or a database"
        )
        raise InvalidSpec([Problem("--out", said)]) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.name for objective in front.objectives])
    study.set_user_attr("space", front.space)
    study.set_user_attr("task", front.task)
    choices: dict[str, dict[Any, None]] = {}
    for point in front.points:
        for gene, option in genes(point).items():
            choices.setdefault(gene, {})[option] = None
    distributions = {
        gene: CategoricalDistribution(sorted(options, key=lambda option: (str(type(option)), option)))
        for gene, options in choices.items()
    }
    trials = []
    for point in front.points:
        values = [point.value(objective) for objective in front.objectives]
        if any(map(math.isnan, values)):
            continue
        chosen = genes(point)
        trials.append(
            create_trial(
                state=TrialState.COMPLETE,
                values=values,
                params=chosen,
                distributions={gene: distributions[gene] for gene in chosen},
                user_attrs={
                    "digest": point.digest,
                    "preset": point.preset,
                    "on_front": point.on_front,
                    **dict(facts(point)),
                },
            )
        )
    study.add_trials(trials)
    return f"{len(trials)} trials; open them with: optuna-dashboard {url}"
