"""What a job's users compare, its front and the published designs, as runs of MLflow."""

from __future__ import annotations

import re
import time

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from nas.errors import InvalidSpec
from nas.exchange.exporters import destination_url, facts, genes
from nas.front import Front
from searchspaces.errors import Problem

__all__ = ["export"]

_OTHER = re.compile(r"[^\w\-. /]")
"""Characters that names of metrics may not have."""


def export(front: Front, out: str) -> str:
    """An experiment called as the job, a run for each member of its front and each published design.

    Args:
        out: an SQLite file, or the URL of a tracking server.

    Raises:
        InvalidSpec: the place has an experiment of that name already.
    """
    url = destination_url(out)
    client = MlflowClient(tracking_uri=url)
    try:
        experiment = client.create_experiment(front.job, tags={"space": front.space, "task": front.task})
    except MlflowException as error:
        raise InvalidSpec([Problem("--out", f"{out} does not take {front.job}: {error}")]) from error
    now = int(time.time() * 1000)
    shown = [point for point in front.points if point.on_front or point.preset]
    for point in shown:
        tags = {"digest": point.digest, "on_front": str(point.on_front), "preset": point.preset or ""}
        run = client.create_run(experiment, run_name=point.preset or point.digest, tags=tags)
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(_OTHER.sub(".", name), value, now, 0) for name, value in facts(point)],
            params=[Param(gene, str(option)) for gene, option in genes(point).items()],
        )
        client.set_terminated(run.info.run_id)
    return f"{len(shown)} runs; open them with: mlflow ui --backend-store-uri {url}"
