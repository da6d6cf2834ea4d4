"""Whole jobs in virtual time: stragglers, failures and stops change nothing that they should not."""

from __future__ import annotations

import math
import re
import shutil
from collections import Counter
from collections.abc import Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from operator import le
from pathlib import Path

import numpy as np
import pytest
import simulated

from nas.analysis.drift_log import Batch, journal_of_controls
from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.errors import InvalidSpec, JobFailed, JobInterrupted, NoWorker
from nas.evaluation import Split
from nas.front import Front, Scope
from nas.job import Job, JobStatus
from nas.objectives.latency_ms import LATENCY
from nas.planning.objectives import with_target
from nas.planning.plan import resolve
from nas.service.running.embedded import EmbeddedService
from nas.spec import StageName
from nas.stages import search_loop
from nas.stages.controls import control_architectures
from nas.stages.states import ControlsState, VerifyState
from nas.store import open_store
from nas.store.store import Store
from nas.strategies.default import SurrogateStrategy
from nas.views import front_of_target, robust_front
from searchspaces.architecture import Architecture
from searchspaces.encoding import Population
from workers.request import MeasurementFailure, Outcome
from workers.target import Target


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A home whose supernet is there, for tests to copy."""
    home = tmp_path_factory.mktemp("trained")
    with closing(open_store(home)) as store:
        job = simulated.run(store, home, simulated.spec("phone"))
        assert job.status is JobStatus.SUCCEEDED
    return home


def copied(trained: Path, to: Path) -> Path:
    """A home with the supernet of another, and nothing evaluated or measured."""
    shutil.copytree(trained / "supernets", to / "supernets")
    with closing(open_store(trained)) as finished, closing(open_store(to)) as store:
        record = finished.supernet(resolve(simulated.spec("phone")).supernet_digest)
        assert record is not None
        store.put_supernet(record)
    return to


@pytest.fixture
def home(trained, tmp_path) -> Path:
    return copied(trained, tmp_path)


@pytest.fixture(scope="module")
def of_two(trained, tmp_path_factory) -> Path:
    """A home with a finished job of two devices, for tests to read."""
    home = copied(trained, tmp_path_factory.mktemp("two"))
    with closing(open_store(home)) as store:
        simulated.run(store, home, simulated.spec("phone", "server"))  # its predictions hold at once
    return home


@pytest.fixture
def store(home):
    with closing(open_store(home)) as store:
        yield store


def points(store: Store, job: Job) -> dict[str, tuple]:
    return {
        p.digest: (
            p.validation,
            p.on_front,
            tuple(latency.measured for latency in p.values.values() if not latency.exact),
        )
        for p in store.points(job.id)
    }


@pytest.mark.parametrize("members", [1, 3])
def test_no_more_of_a_front_is_measured_than_the_budget_says(trained, store, home, members):
    budget = simulated.spec("phone").budget.model_dump(mode="json")
    budget["verify"] |= {"members": members, "presets": 0}
    job = simulated.run(store, home, simulated.spec("phone", budget=budget))
    front = store.points(job.id, Scope.FRONT)
    assert 1 <= len(VerifyState.load(store, job.id, "verify").measured) <= members
    assert all(point.verified and point.test is not None for point in front)
    best = min(p.quality for p in store.points(job.id) if p.quality is not None)
    assert best in [point.quality for point in front], "it is measured first"
    with closing(open_store(trained)) as whole:
        (same,) = whole.jobs()
        assert len(whole.points(same.id, Scope.FRONT)) > len(front)


@pytest.mark.parametrize(
    ("bound", "verdict"), [(4.0, "the front does not hold yet"), (1.0, "is within the bounds by what was")]
)
def test_where_what_was_found_misses_the_bound_it_is_searched_again(store, home, bound, verdict):
    """All that the first round measures takes twice as long as was predicted, and leaves the front."""
    phone, slow = simulated.DEVICES["phone"], set()
    of = simulated.spec("phone", bounds={"latency_ms": bound})

    def latency(architecture: Architecture, target: Target) -> float:
        (running,) = store.jobs()
        digest = architecture.digest
        if running.stage is StageName.VERIFY and VerifyState.load(store, running.id, "verify").round == 1:
            slow.update({digest} - {measured for _, measured in devices.measured[:-1]})
        return phone(architecture, target) * (2.0 if digest in slow else 1.0)

    devices = SimulatedMeasurementBackend(store, {"phone": latency})
    job = simulated.run(store, home, of, devices=devices)
    said = [e.message for e in store.events(job.id) if e.stage is StageName.VERIFY]
    assert slow
    assert any(message.startswith("round 1:") and verdict in message for message in said), said
    front = store.points(job.id, Scope.FRONT)
    found = {p.digest for p in front} - slow - {digest for _, digest in devices.measured[:22]}
    assert found or bound == 1.0


def straggling(rng) -> float:
    return 20.0 if rng.random() < 0.2 else rng.uniform(0.5, 1.5)


def test_any_number_of_processes_finds_the_same(trained, store, home):
    many = SimulatedComputeBackend(simulated.quality, processes=5, seconds=straggling)
    job = simulated.run(store, home, simulated.spec("phone"), many)
    assert many.clock < 0.6 * sum(
        e.seconds for e in store.evaluations(resolve(job.spec).supernet_digest, Split.VALIDATION)
    )
    with closing(open_store(trained)) as one:
        (same,) = one.jobs()
        assert points(store, job) == points(one, same)


def test_candidates_are_screened_cheaply_and_points_are_whole(store, home):
    """Whoever has looked at quarters of the split goes on after stops as if nothing had happened, pays no
    more than the budget, and reports only what was scored on all of it."""
    budget = simulated.spec("phone").budget.model_dump(mode="json")
    budget["search"] |= {"strategy": "default", "fidelities": [0.25, 1.0], "evaluations": 24}
    of = simulated.spec("phone", budget=budget)
    evaluator = SimulatedComputeBackend(simulated.quality, processes=3, noise=0.02)
    job, stops = store.create_job(of), 0
    for stop_after in (5, 20, 30, None):
        until = math.inf if stop_after is None else stop_after
        try:
            simulated.run(
                store, home, job, evaluator, stopped=lambda until=until: evaluator.evaluated >= until
            )
        except JobInterrupted:
            stops += 1
    assert stops == 3
    supernet = resolve(of).supernet_digest
    cheap = store.evaluations(supernet, Split.VALIDATION, share=0.25)
    whole = store.evaluations(supernet, Split.VALIDATION)
    assert len(cheap) > 16
    verified = store.state(job.id, "verify-1") or {"told": 0.0}
    spent = (store.state(job.id, "search") or {})["told"] + verified["told"]
    assert len(whole) + 0.25 * len(cheap) == pytest.approx(spent)
    assert {p.digest for p in store.points(job.id)} == {e.digest for e in whole}
    only_screened = {e.digest for e in cheap} - {e.digest for e in whole}
    (said,) = (e.message for e in store.events(job.id) if "candidates evaluated" in e.message)
    assert re.search(r"; (\d+) more were screened", said)
    assert only_screened
    undisturbed = home / "undisturbed"
    with closing(open_store(copied(home, undisturbed))) as other:
        same = simulated.run(other, undisturbed, of, SimulatedComputeBackend(simulated.quality, noise=0.02))
        assert points(other, same) == points(store, job)


class Impatient(SurrogateStrategy):
    """Asks for the whole of what it has asked for a share of, before it hears of that."""

    def ask(self, n: int, left: float = math.inf) -> Population:
        if len(self.history.pending):
            return self.history.claim(self.history.pending, n, left)
        rows = self.problem.encoding.sample(n // 2, self.rng)
        return self.history.claim(rows, n, left, np.zeros(len(rows), np.int64))


def test_a_search_of_minutes_ends_with_them_and_pays_for_a_batch_at_least(store, home):
    evaluator = SimulatedComputeBackend(simulated.quality)
    budget = simulated.spec("server").budget.model_dump(mode="json")
    budget["search"]["minutes"] = 1e-6
    job = simulated.run(store, home, simulated.spec("server", budget=budget, until="search"), evaluator)
    assert evaluator.evaluated == 6
    assert store.count_points(job.id) == 6
    budget["search"]["minutes"] = 60
    budget["train"]["steps"] = 2
    simulated.run(store, home, simulated.spec("server", budget=budget, until="search"), evaluator)
    assert evaluator.evaluated == 6 + 30


def test_one_candidate_may_be_out_at_two_fidelities(store, home, monkeypatch):
    monkeypatch.setattr(search_loop, "get_strategy", lambda name: Impatient)
    budget = simulated.spec("phone").budget.model_dump(mode="json")
    budget["search"] |= {"strategy": "default", "fidelities": [0.25, 1.0]}
    of = simulated.spec("phone", budget=budget, until="search")
    job = simulated.run(store, home, of, SimulatedComputeBackend(simulated.quality, processes=3, noise=0.02))
    assert job.status is JobStatus.SUCCEEDED
    supernet = resolve(of).supernet_digest
    cheap, whole = (
        {e.digest for e in store.evaluations(supernet, Split.VALIDATION, share=s)} for s in (0.25, 1)
    )
    assert len(cheap & whole) > 8


def test_a_job_stopped_again_and_again_evaluates_and_measures_nothing_twice(trained, store, home):
    evaluator = SimulatedComputeBackend(simulated.quality, processes=3)
    backend = SimulatedMeasurementBackend(store, simulated.DEVICES)
    job = store.create_job(simulated.spec("phone"))
    stops = 0
    while store.job(job.id).status is not JobStatus.SUCCEEDED:
        begun = evaluator.evaluated

        def stopped(begun: int = begun) -> bool:
            return evaluator.evaluated > begun + 6

        try:
            simulated.run(store, home, job, evaluator, backend, stopped)
        except JobInterrupted:
            stops += 1
    assert stops > 3
    scored = [store.evaluations(resolve(job.spec).supernet_digest, split) for split in Split]
    assert evaluator.evaluated == sum(map(len, scored))
    controls = {a.digest for a in control_architectures(resolve(job.spec))}
    measured = [taken for taken in backend.measured if taken[1] not in controls]
    assert len(measured) == len(set(measured)) + len(store.repeats())
    with closing(open_store(trained)) as one:
        (same,) = one.jobs()
        assert points(store, job) == points(one, same)


def test_failed_evaluations_and_measurements_are_noted_and_left_out(store, home):
    evaluator = SimulatedComputeBackend(simulated.quality, processes=4, failures=0.3)
    backend = SimulatedMeasurementBackend(store, simulated.DEVICES, failures=0.1, noise=0.01)
    job = simulated.run(store, home, simulated.spec("phone"), evaluator, backend)
    assert job.status is JobStatus.SUCCEEDED
    notes = [e.message for e in store.events(job.id)]
    assert any("failed" in note for note in notes)
    assert any("could not measure" in note for note in notes)
    front = [p for p in store.points(job.id) if p.on_front]
    assert front
    assert all(
        latency.measured is not None for p in front for latency in p.values.values() if not latency.exact
    )


@dataclass
class Picky(SimulatedMeasurementBackend):
    """Simulated devices that cannot run some architectures, whenever they are asked."""

    refuses: Set[str] = frozenset()

    def _measure(self, digest: str, target: Target) -> Outcome:
        outcome = super()._measure(digest, target)
        if digest in self.refuses:
            return MeasurementFailure(digest, target, "it is too large, as simulated", retryable=False)
        return outcome


def test_what_a_device_refuses_is_asked_for_once_while_profiling(store, home):
    """Both control models among it: profiling ends, and takes its whole budget of others."""
    budget = {"profile": {"measurements": 16, "minimum": 16, "holdout": 6, "tolerance": 1e-6}}
    spec = simulated.spec("phone", budget=budget, until="profile")
    refused = {a.digest for a in control_architectures(resolve(spec))}
    backend = Picky(store, simulated.DEVICES, refuses=refused)
    job = simulated.run(store, home, spec, devices=backend, stopped=lambda: len(backend.measured) > 200)
    assert job.status is JobStatus.SUCCEEDED
    asked = Counter(digest for _, digest in backend.measured)
    assert {digest: asked[digest] for digest in refused} == dict.fromkeys(refused, 1)
    assert len(asked) == 16 + 6 + len(refused)


@dataclass
class Asked(Picky):
    """Keeps, too, in which unit of the reference it was asked."""

    units: list[tuple[str, float | None]] = field(default_factory=list)

    def measure(self, requests, cancelled=None):
        def kept():
            for request in requests:
                self.units.append((request.digest, request.reference_ms))
                yield request

        return super().measure(kept(), cancelled)


def test_a_target_has_one_unit_though_its_first_models_are_refused(store, home):
    spec = simulated.spec("phone", until="profile")
    refused = {a.digest for a in control_architectures(resolve(spec))}
    backend = Asked(store, simulated.DEVICES, refuses=refused)
    simulated.run(store, home, spec, devices=backend)
    first, *others = [unit for digest, unit in backend.units if digest not in refused]
    assert first is None
    assert set(others) == {1.0}


def test_a_model_that_is_refused_hides_none_behind_it(store, home, trained):
    with closing(open_store(trained)) as one:
        (job,) = one.jobs()
        (target,) = resolve(job.spec).targets
        points = one.points(job.id)
    known = {p.digest: (p.quality, p.known(LATENCY, target).best_known) for p in points}

    def beats(one: str, other: str) -> bool:
        return known[one] != known[other] and all(map(le, known[one], known[other]))

    def behind(of: str) -> set[str]:
        """What nobody else beats, and was never measured."""
        unmeasured = [p.digest for p in points if not p.verified and beats(of, p.digest)]
        return {other for other in unmeasured if not any(beats(b, other) for b in known if b != of)}

    refused = next(p.digest for p in points if p.on_front and behind(p.digest))
    backend = Picky(store, simulated.DEVICES, refuses={refused})
    simulated.run(store, home, simulated.spec("phone"), devices=backend)
    asked = {digest for _, digest in backend.measured}
    assert refused in asked
    assert behind(refused) & asked


def test_what_a_stop_left_open_of_a_verification_is_read_beside_a_control(store, home):
    budget = simulated.spec("phone").budget.model_dump(mode="json", exclude={"verify"})
    spec = simulated.spec("phone", budget={**budget, "verify": {"rounds": 1, "members": 1, "presets": 0}})
    job = store.create_job(spec)
    (target,) = resolve(spec).targets
    name = journal_of_controls(target)
    left: list[str] = []

    def all_measured() -> bool:
        batch = ControlsState.load(store, job.id, name).open
        if store.job(job.id).stage is not StageName.VERIFY or batch is None or left:
            return False
        if len(store.measurements(target, batch.digests)) == len(batch.digests):
            left.extend(batch.digests)
        return bool(left)

    with pytest.raises(JobInterrupted):
        simulated.run(store, home, job, stopped=all_measured)
    assert ControlsState.load(store, job.id, name).open is not None
    assert simulated.run(store, home, store.job(job.id)).status is JobStatus.SUCCEEDED
    assert ControlsState.load(store, job.id, name).open is None
    closed = [Batch.from_dict(entry).digests for entry in store.journal(job.id, name)]
    assert tuple(left) in closed


def test_a_device_that_refuses_everything_fails_the_job(store, home):
    backend = SimulatedMeasurementBackend(store, simulated.DEVICES, failures=1.0)
    with pytest.raises(JobFailed, match="refused"):
        simulated.run(store, home, simulated.spec("phone"), devices=backend)


def test_a_device_that_is_not_there_is_named(store, home):
    with pytest.raises(NoWorker, match="there are: phone"):
        simulated.run(store, home, simulated.spec("fridge"))


class TestManyDevices:
    """One supernet, one set of evaluations of quality, a front for every device."""

    @staticmethod
    def front(home: Path) -> Front:
        with closing(EmbeddedService(home)) as service:
            return service.front("latest", Scope.ALL)

    def test_the_front_of_each_target_is_what_it_alone_would_have(self, of_two):
        joint = self.front(of_two)
        assert [o.name for o in joint.objectives] == ["quality", "latency_ms@phone", "latency_ms@server"]
        fronts = {target.device: front_of_target(joint, target) for target in joint.targets}
        for target in joint.targets:
            members = {p.digest for p in fronts[target.device].members()}
            assert members
            measured = [p for p in joint.points if p.values["latency_ms", str(target)].measured is not None]
            for point in measured:
                beaten = any(
                    other.validation <= point.validation
                    and other.values["latency_ms", str(target)].measured
                    <= point.values["latency_ms", str(target)].measured
                    and (other.validation, other.values["latency_ms", str(target)].measured)
                    != (point.validation, point.values["latency_ms", str(target)].measured)
                    for other in measured
                )
                assert (point.digest in members) is not beaten
        assert {p.digest for p in fronts["phone"].members()} != {p.digest for p in fronts["server"].members()}

    def test_a_robust_front_is_of_the_worst_ratio(self, of_two):
        robust = robust_front(self.front(of_two))
        members = robust.members()
        ratios = [robust.worst_ratio[p.digest] for p in members]
        assert len(members) > 1
        assert ratios == sorted(ratios, reverse=True)  # better quality, worse at the worst
        assert min(ratios) >= 1.0
        for point in robust.front.points:
            if point.digest in robust.worst_ratio:
                ratio = robust.worst_ratio[point.digest]
                assert ratio == max(
                    point.values["latency_ms", name].best_known / best
                    for name, best in robust.best_ms.items()
                )
                assert any(
                    m.validation <= point.validation and robust.worst_ratio[m.digest] <= ratio
                    for m in members
                )

    def test_a_robust_front_needs_several_targets(self, trained):
        with pytest.raises(InvalidSpec, match="one target"):
            robust_front(self.front(trained))

    def test_adding_a_target_costs_its_profiling_alone(self, of_two, tmp_path):
        home = shutil.copytree(of_two, tmp_path / "home")
        with closing(open_store(home)) as store:
            self.add_a_board(store, home)

    def add_a_board(self, store: Store, home: Path) -> None:
        (several,) = store.jobs()
        digest = resolve(several.spec).supernet_digest
        before = store.evaluations(digest, Split.VALIDATION)
        with closing(EmbeddedService(home)) as service:
            joint = service.front(several.id, Scope.ALL)
            added = Target("board", workload=joint.targets[0].workload)
            job = service.add_target(several.id, added)
            assert (job.status, job.stage) == (JobStatus.QUEUED, StageName.PROFILE)
            assert service.add_target(several.id, added) == job
        evaluator = SimulatedComputeBackend(simulated.quality)
        # So noisy that no prediction of the front holds.
        backend = SimulatedMeasurementBackend(store, simulated.DEVICES, noise=2.0)
        job = simulated.run(store, home, job, evaluator, backend)
        assert job.status is JobStatus.SUCCEEDED
        assert store.evaluations(digest, Split.VALIDATION) == before
        assert {device for device, _ in backend.measured[:22]} == {"board"}
        wider = self.front(home)
        assert [t.device for t in wider.targets] == ["phone", "server", "board"]
        for target in wider.targets:
            members = front_of_target(wider, target).members()
            assert members
            assert all(
                p.values["latency_ms", str(target)].measured is not None and p.test is not None
                for p in members
            )
        # What was measured before still stands; how much sessions differ is better known now.
        for old, new in zip(joint.points, wider.points, strict=True):
            for key, value in old.values.items() if old.on_front else ():
                assert new.values[key] == replace(value, measured_std=new.values[key].measured_std)

    def test_a_target_is_added_to_a_job_that_has_succeeded_only(self, store, home):
        job = store.create_job(simulated.spec("phone"))
        with closing(EmbeddedService(home)) as service, pytest.raises(InvalidSpec, match="has succeeded"):
            service.add_target(job.id, Target("board"))
        assert store.job(job.id) == job


def test_what_was_asked_of_other_targets_stays():
    target = Target("board")
    one = simulated.spec("phone", bounds={"latency_ms": 5.0})
    assert with_target(one, target).bounds == {"latency_ms@phone": 5.0}
    named = simulated.spec("phone", "server", objectives=["quality", "latency_ms@phone"])
    assert with_target(named, target).objectives == ("quality", "latency_ms@phone", "latency_ms@board")
