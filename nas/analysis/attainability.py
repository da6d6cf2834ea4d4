"""Rejecting bounds that nothing can meet before any expensive work, naming what comes nearest."""

from __future__ import annotations

import numpy as np

from nas.analysis.candidates import Candidates
from nas.analysis.feasibility import Nearest, nearest_to_bounds
from nas.analysis.known import Known, stored_predictors
from nas.bounds import describe_miss
from nas.errors import InvalidSpec, NothingMeetsBounds
from nas.exact.additive import AdditiveModel
from nas.exact.decomposition import Decomposition
from nas.objectives import Source
from nas.planning.plan import Plan
from nas.problem import SearchProblem
from nas.tasks import SequenceTask
from searchspaces.encoding import Population
from searchspaces.errors import Problem

__all__ = ["check_budget", "check_counted_bounds", "check_predicted_bounds"]

DOUBT = 2.0
"""Standard deviations of a prediction by which a bound may be missed before a job is given up for it."""


def check_budget(plan: Plan) -> None:
    """Refuse a budget that pays for nothing at some fidelity that it asks for.

    Raises:
        InvalidSpec: every such part, and what would do.
    """
    problems = []
    search, finalists, task = plan.spec.budget.search, plan.spec.budget.finalists, plan.given_task
    if task is not None:
        sequences = task.scored_examples
        if search.fidelities[0] * sequences < 1:
            more = ", or more task.evaluation_tokens" if isinstance(task, SequenceTask) else ""
            accepted = f"accepted: shares of at least {1 / sequences:.3g}{more}"
            said = f"{search.fidelities[0]:g} of a split of {sequences} sequences is less than one"
            problems.append(Problem("budget.search.fidelities", f"{said}; {accepted}"))
    if finalists.minutes is not None and not finalists.count:
        accepted = "accepted: a count of at least 1, the most that are trained in that time"
        problems.append(Problem("budget.finalists.count", f"0 trains nothing that was found; {accepted}"))
    if problems:
        raise InvalidSpec(problems)


def check_counted_bounds(plan: Plan) -> None:
    """Refuse bounds on exact counts that no architecture of the space meets, which is proved.

    Raises:
        InvalidSpec: they contradict the space or each other; the message names the nearest architecture.
    """
    bounded = [o for o in plan.objectives if o.source is Source.COUNTED and o.bound is not None]
    if not bounded:
        return

    def counted(rows: Population) -> np.ndarray:
        return np.stack([plan.count(o, rows).astype(float) for o in bounded], axis=1)

    problem = SearchProblem(plan.space, tuple(bounded), counted)
    nearest = nearest_to_bounds(problem)
    if nearest.violation == 0:
        return
    try:
        decomposition = Decomposition(plan.space)
    except ValueError:
        return  # too many options per layer for a proof
    model = AdditiveModel(decomposition, counted)
    if not model.exact.all() or model.optimum(0, problem.bounds) is not None:
        return  # none among some thousands, but some exist
    path = f"bounds.{bounded[0].name}" if len(bounded) == 1 else "bounds"
    said = f"no architecture of {plan.space.name} meets {'it' if len(bounded) == 1 else 'all of them'}"
    raise InvalidSpec([Problem(path, f"{said}; the nearest has {_miss(problem, nearest)}")])


def check_predicted_bounds(job: Known) -> str | None:
    """Give up a job none of whose architectures is predicted to meet its bounds, latency included. Returns a
    warning where the nearest misses them by no more than its prediction may err; else None.

    Raises:
        NothingMeetsBounds: the nearest architecture misses a bound by more than its prediction may err.
    """
    plan = job.plan
    bounded = [o for o in plan.objectives if o.source is not Source.EVALUATED and o.bound is not None]
    if not any(o.source is Source.PREDICTED for o in bounded):
        return None
    candidates = Candidates(job, stored_predictors(job))
    problem = SearchProblem(plan.space, tuple(bounded), lambda rows: candidates.known(rows, bounded))
    nearest = nearest_to_bounds(problem)
    if nearest.violation == 0:
        return None
    row = nearest.row[None]
    architecture, predictions = plan.space.decode(row)[0], candidates.predict(row)
    doubt = {o.name: DOUBT * float(predictions[o.key].std[0]) for o in bounded if o.key in predictions}
    said = f"architecture of {plan.space.name} is predicted to meet the bounds; the nearest, "
    said += f"{architecture.digest}, has {_miss(problem, nearest)}"
    if all(
        o.direction.sign * (nearest.free[o.name] - (o.bound or 0.0)) <= doubt.get(o.name, 0.0)
        for o in bounded
    ):
        return f"barely any {said}"
    raise NothingMeetsBounds(f"no {said}")


def _miss(problem: SearchProblem, nearest: Nearest) -> str:
    return ", ".join(describe_miss(o, nearest.free[o.name]) for o in problem.objectives)
