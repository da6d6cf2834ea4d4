"""Train: one supernet for the space and task, shared by every target and by later jobs; out of a pretrained
model where the job starts from one."""

from __future__ import annotations

from nas.errors import JobFailed
from nas.spec import RECIPE, StageName
from nas.stages.stage import Stage, StageContext
from nas.store.files import keep_checksum
from nas.store.store import SupernetRecord

__all__ = ["Train"]


class Train(Stage):
    """Train the supernet unless the store has one of the same digest; goes on from its checkpoint."""

    name = StageName.TRAIN

    def run(self, context: StageContext) -> None:
        """See the class."""
        plan, digest = context.plan, context.plan.supernet_digest
        record = context.store.supernet(digest)
        if record is not None and (context.home / record.path).is_file():
            known = f": {record.steps} steps" if record.steps else ""
            context.note(self.name, f"supernet {digest} is trained already{known}", supernet=digest)
            context.progress(self.name, max(1, record.steps), max(1, record.steps), "reused")
            return
        if plan.spec.start is None and plan.spec.budget.train.recipe != RECIPE:
            raise JobFailed(
                "the supernet of this job was never trained to its end, and today's are trained otherwise: "
                "submit the job anew"
            )
        folder = context.home / "supernets" / digest

        def progress(done: int, total: int, facts: dict[str, float]) -> None:
            context.progress(
                self.name, done, total, "  ".join(f"{name} {value:,.4g}" for name, value in facts.items())
            )

        result = context.compute_backend.train(plan, folder, progress, context.stopped)
        context.check_stop()
        context.progress(self.name, max(1, result.steps), max(1, result.steps), "trained")
        keep_checksum(context.store, context.home, result.path)
        context.store.put_supernet(
            SupernetRecord(
                digest=digest,
                space=plan.space.digest,
                task=plan.task.digest,
                seed=plan.train_seed,
                steps=result.steps,
                tokens_per_second=result.tokens_per_second,
                path=str(result.path.relative_to(context.home)),
            )
        )
        told = f"{result.steps} steps at {result.tokens_per_second:,.0f} tokens/s"
        if plan.spec.start is not None:
            told = f"{plan.space.name} and what may replace its parts"
        context.note(
            self.name,
            f"supernet {digest}: {told}",
            supernet=digest,
            tokens_per_second=result.tokens_per_second,
        )
