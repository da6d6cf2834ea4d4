"""Evaluations on real Ray actors."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from safetensors.torch import load_file, save_file

from nas.controller import evaluator as evaluator_module
from nas.controller import scorer as scorer_module
from nas.controller.cluster import RayCluster
from nas.controller.evaluator import RayEvaluator
from nas.errors import JobFailed, JobInterrupted
from nas.evaluation import Conversion, Split
from nas.planning.plan import resolve
from nas.spec import load_job_spec
from nas.store.store import SupernetRecord
from searchspaces.architecture import Architecture, Layer
from searchspaces.supernet import Supernet

pytestmark = pytest.mark.alone

TINY = Path(__file__).parents[1] / "jobs" / "tiny.yaml"


@pytest.fixture(scope="module")
def plan():
    return resolve(load_job_spec(TINY))


@pytest.fixture(scope="module")
def home(tmp_path_factory, plan):
    home = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    save_file(Supernet(plan.space).state_dict(), home / "net.safetensors")
    return home


@pytest.fixture(scope="module")
def evaluator(home):
    cluster = RayCluster()
    yield RayEvaluator(cluster, home)
    cluster.close()


def go_on() -> None:
    """Nobody stops the job."""


def told(message: str) -> None:
    """Nothing takes long."""
    raise AssertionError(message)


@pytest.fixture
def record(plan):
    return SupernetRecord("net", plan.space.digest, plan.task.digest, 0, 0, 0.0, "net.safetensors")


@pytest.fixture
def architectures(plan):
    return plan.space.decode(np.unique(plan.space.sample(12, np.random.default_rng(0)), axis=0))


def test_scores_are_those_of_the_supernet_whose_weights_are_put_once(
    plan, home, evaluator, record, architectures, monkeypatch
):
    put = []
    monkeypatch.setattr(evaluator_module.ray, "put", lambda x, real=ray.put: put.append(x) or real(x))
    supernet = Supernet(plan.space)
    supernet.load_state_dict(load_file(home / "net.safetensors"))
    scores = {}
    for part in (architectures[:6], architectures[6:]):
        with evaluator.open(plan, record, go_on, told) as pool:
            for architecture in part:
                pool.submit(architecture, Split.VALIDATION)
            found = []
            while len(found) < len(part):
                found += [pool.next(), *pool.drain()]
            assert pool.drain() == []
            scores |= {e.digest: e for e in found}
    assert [weights.keys() for weights in put] == [supernet.state_dict().keys()]
    for architecture in architectures:
        with torch.inference_mode():
            here = plan.task.evaluate(lambda tokens, a=architecture: supernet(tokens, a), Split.VALIDATION)
        assert scores[architecture.digest].value == pytest.approx(here, rel=1e-5)
        assert scores[architecture.digest].supernet == "net"


def test_a_share_of_the_split_is_scored_where_that_is_asked(plan, home, evaluator, record, architectures):
    supernet = Supernet(plan.space)
    supernet.load_state_dict(load_file(home / "net.safetensors"))
    with evaluator.open(plan, record, go_on, told) as pool:
        pool.submit(architectures[0], Split.VALIDATION, 0.25)
        scored = pool.next()
    with torch.inference_mode():
        here = plan.task.evaluate(lambda x: supernet(x, architectures[0]), Split.VALIDATION, 0.25)
    assert scored.share == 0.25
    assert scored.value == pytest.approx(here, rel=1e-5)


def scorers() -> set[int]:
    """Evaluation processes on this machine."""
    found = subprocess.run(["pgrep", "-f", "ray::_Scorer"], capture_output=True, text=True, check=False)
    return {int(pid) for pid in found.stdout.split()}


def test_a_killed_process_loses_no_evaluation(plan, evaluator, record, architectures):
    others = scorers()
    with evaluator.open(plan, record, go_on, told) as pool:
        for architecture in architectures:
            pool.submit(architecture, Split.VALIDATION)
        done = [pool.next()]
        os.kill(min(scorers() - others), signal.SIGKILL)
        done += [pool.next() for _ in architectures[1:]]
    assert {e.digest for e in done} == {a.digest for a in architectures}
    assert not any(math.isnan(e.value) for e in done)


def test_an_architecture_that_cannot_be_scored_is_nan_and_the_others_go_on(
    plan, evaluator, record, architectures
):
    wrong = Architecture(256, 32, (Layer("window:16", 3, "mlp", 1.0),))  # 32 is no multiple of 3
    with evaluator.open(plan, record, go_on, told) as pool:
        pool.submit(wrong, Split.TEST)
        pool.submit(architectures[0], Split.TEST)
        values = {e.digest: e.value for e in (pool.next(), pool.next())}
    assert math.isnan(values[wrong.digest])
    assert math.isfinite(values[architectures[0].digest])


def test_weights_that_do_not_fit_the_space_are_said_to_be_so(plan, home, evaluator, record):
    save_file({"norm": torch.ones(3)}, home / "other.safetensors")
    with (
        pytest.raises(JobFailed, match="could not start"),
        evaluator.open(plan, replace(record, digest="other", path="other.safetensors"), go_on, told),
    ):
        pass


def test_another_jobs_processors_are_waited_for_until_stopped(plan, evaluator, record, monkeypatch):
    """Of two jobs at once the second has no processor until the first lets go of one: not an error."""
    notes: list[str] = []

    def check_stop() -> None:
        if notes and time.monotonic() > stopped_at:
            raise JobInterrupted("stopped")

    with evaluator.open(plan, record, go_on, told) as first:
        while len(first._idle) < evaluator._cluster.capacity().present:
            first._wait()  # a machine's processors are all taken
        stopped_at = time.monotonic() + 4
        monkeypatch.setattr(evaluator_module, "START_SECONDS", 0.5)
        monkeypatch.setattr(evaluator_module, "TOLD_SECONDS", 0.5)
        with pytest.raises(JobInterrupted):
            evaluator.open(plan, record, check_stop, notes.append).__enter__()
    assert notes == ["evaluations wait for a processor: others have all that the Ray cluster has"]


def test_converted_files_are_scored_by_their_engine(plan, home, evaluator, record, architectures):
    """In four bits that is not what the supernet scores; and where there is no such engine it fails."""
    int4 = Conversion("onnxruntime", "int4")
    with evaluator.open(plan, record, go_on, told) as pool:
        for conversion in (int4, None, Conversion("onnxruntime", "fp7")):
            pool.submit(architectures[0], Split.TEST, conversion=conversion)
        found = {e.supernet: e for e in (pool.next(), pool.next(), pool.next())}
    plain, converted = found["net"], found[int4.weights("net")]
    assert len(converted.sequences) == len(plain.sequences) > 1
    assert 1e-4 < abs(converted.value - plain.value) < 0.2
    assert math.isnan(found[Conversion("onnxruntime", "fp7").weights("net")].value)


def hanging(folder: Path, hangs: int) -> type:
    """A scorer of which the first few never answer; each leaves a file named by its process."""

    class Hanging:
        """Travels by value, which the actor itself cannot: so it has one."""

        def ready(self) -> bool:
            (folder / str(os.getpid())).touch()
            if len(list(folder.iterdir())) <= hangs:
                time.sleep(1e6)
            return True

        def load(self, *arguments: object) -> None:
            from nas.controller.scorer import _Scorer

            self.scorer = _Scorer()
            self.scorer.load(*arguments)

        def score(self, *arguments: object) -> object:
            return self.scorer.score(*arguments)

        @ray.method(concurrency_group="pulse")
        def worked_seconds(self) -> float:
            return time.process_time()

    return Hanging


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_hangs_is_ended_and_another_started(
    plan, evaluator, record, architectures, monkeypatch, tmp_path
):
    monkeypatch.setattr(scorer_module, "_Scorer", hanging(tmp_path, 1))
    monkeypatch.setattr(evaluator_module, "START_SECONDS", 3.0)
    monkeypatch.setattr(evaluator_module, "HUNG_STARTS_ALLOWED", 20)
    budget = plan.spec.budget
    single = budget.model_copy(update={"search": budget.search.model_copy(update={"batch": 1})})
    plan = replace(plan, spec=plan.spec.model_copy(update={"budget": single}))
    notes: list[str] = []
    with evaluator.open(plan, record, go_on, notes.append) as pool:
        pool.submit(architectures[0], Split.VALIDATION)
        assert math.isfinite(pool.next().value)
        first, *_ = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
        deadline = time.monotonic() + 20
        while is_alive(int(first.name)):
            assert time.monotonic() < deadline, "the process that hung is left"
            time.sleep(0.1)
    assert "did not answer within 3 s of having its processor: it is ended, and another started" in notes[0]


def test_processes_that_all_hang_fail_the_job_with_that_cause(plan, evaluator, record, monkeypatch, tmp_path):
    monkeypatch.setattr(scorer_module, "_Scorer", hanging(tmp_path, 1000))
    monkeypatch.setattr(evaluator_module, "START_SECONDS", 0.5)
    notes: list[str] = []
    with (
        pytest.raises(
            JobFailed, match=r"did not answer within 2 s of having its processor, as 2 before it; .*logs"
        ),
        evaluator.open(plan, record, go_on, notes.append),
    ):
        pass
    assert len(notes) == 2
