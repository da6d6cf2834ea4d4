"""Search: ask populations, predict their latency, evaluate their quality with the supernet."""

from __future__ import annotations

from nas.analysis.candidates import Candidates
from nas.analysis.known import stored_predictors
from nas.analysis.points import evaluated_points
from nas.analysis.replacements import beginning, single_replacements, stored_scores
from nas.errors import JobFailed
from nas.evaluation import Split
from nas.spec import StageName
from nas.stages.backends import EvaluationPool
from nas.stages.search_loop import is_over, search
from nas.stages.stage import Stage, StageContext
from nas.store.files import verified
from nas.store.store import SupernetRecord

__all__ = ["Search", "informed", "trained_supernet"]


class Search(Stage):
    """Spend the job's evaluations; every evaluated candidate becomes a point of the job. Where they are
    spent and a target was added, the points learn of it."""

    name = StageName.SEARCH

    def run(self, context: StageContext) -> None:
        """See the class."""
        plan = context.plan
        candidates = Candidates(context, stored_predictors(context))
        if not is_over(context, self.name, plan.spec.budget.search.evaluations):
            self._search(context, candidates)
        points = evaluated_points(context, candidates)
        context.store.put_points(context.job_id, points)
        on_front = sum(point.on_front for point in points)
        said = f"{len(points)} candidates evaluated, {on_front} on the front by prediction"
        screened = _screened(context) - {point.digest for point in points}
        if screened:
            said += f"; {len(screened)} more were screened on a share of the split"
        context.note(self.name, said)

    def _search(self, context: StageContext, candidates: Candidates) -> None:
        plan = context.plan
        with context.evaluations(self.name, trained_supernet(context)) as pool:
            if plan.spec.start is not None:
                score_replacements(context, pool)
                candidates = informed(context, candidates, plan.spec.budget.search.evaluations)
            search(
                context,
                self.name,
                candidates,
                pool,
                name=str(self.name),
                evaluations=plan.spec.budget.search.evaluations,
                minutes=plan.spec.budget.search.minutes,
            )


def score_replacements(context: StageContext, pool: EvaluationPool) -> None:
    """Compare every single replacement with the parent, unless that is stored already."""
    store, supernet = context.store, context.plan.supernet_digest
    known = {evaluation.digest for evaluation in store.evaluations(supernet, Split.CALIBRATION)}
    models = {model.digest: model for _, _, model in single_replacements(context.plan.space)}
    missing = [digest for digest in models if digest not in known]
    for digest in missing:
        pool.submit(models[digest], Split.CALIBRATION)
    for done in range(len(models) - len(missing) + 1, len(models) + 1):
        evaluation = pool.next()
        store.add_evaluations([evaluation], [models[evaluation.digest]])
        context.progress(StageName.SEARCH, 0, 1, f"{done} of {len(models)} single replacements scored")
        context.check_stop()


def informed(context: StageContext, candidates: Candidates, evaluations: int) -> Candidates:
    """The candidates with what single replacements tell of assemblies, for a search of so many evaluations
    of a job that starts from a pretrained model."""
    scores = stored_scores(context)
    if scores is None:
        return candidates
    seeds = beginning(candidates, scores, evaluations)
    return Candidates(context, candidates.predictors, scores, seeds)


def _screened(context: StageContext) -> set[str]:
    """Digests of what was scored on less than the whole validation split, at the job's fidelities."""
    plan = context.plan
    lower = plan.spec.budget.search.fidelities[:-1]
    scored = (
        context.store.evaluations(plan.supernet_digest, Split.VALIDATION, share=share) for share in lower
    )
    return {evaluation.digest for evaluations in scored for evaluation in evaluations}


def trained_supernet(context: StageContext) -> SupernetRecord:
    """What `train` left."""
    record = context.store.supernet(context.plan.supernet_digest)
    if record is None:
        raise JobFailed(
            f"job {context.job_id} has no trained supernet yet; train it with: nas resume {context.job_id}"
        )
    verified(context.store, context.home, context.home / record.path)
    return record
