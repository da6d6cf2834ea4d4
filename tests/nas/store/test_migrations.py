"""From every schema that was ever shipped, with data in it, to this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from nas.evaluation import Split
from nas.front import Scope
from nas.job import EventKind, JobStatus
from nas.spec import StageName, TargetSpec, TrainBudget
from nas.store import open_store
from nas.store.address import url_of
from nas.store.migrate import migrate, revisions
from nas.store.tables import Base
from nas.strategies.history import History
from nas.testing.stores import examples
from searchspaces.architecture import Architecture, Layer
from searchspaces.encoding import Encoding
from workers.target import Phase, Target, Workload

REVISIONS = Path(__file__).parent / "revisions"
"""The statements that fill a database with one of everything: of each revision that changed them."""


def filling(revision: str) -> str:
    """The statements for a database of this revision."""
    return max(path for path in REVISIONS.glob("*.sql") if path.stem <= revision).read_text()


def test_the_models_are_what_the_migrations_make(empty_address: str) -> None:
    with closing(open_store(empty_address)) as store, store._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("revision", revisions())
def test_data_of_every_revision_is_read_after_the_upgrade(empty_address: str, revision: str) -> None:
    engine = create_engine(url_of(empty_address))
    with engine.begin() as connection:
        migrate(connection, revision)
        for statement in filling(revision).split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    engine.dispose()
    with closing(open_store(empty_address)) as store:
        (job,) = store.jobs()
        assert (job.id, job.status, job.stage) == ("demo-3f9a1c", JobStatus.RUNNING, StageName.SEARCH)
        # A stored spec says all its numbers: defaults that changed since do not change it.
        train = TrainBudget(steps=1000, batch=16, learning_rate=0.003, recipe=1)
        budget = examples.spec("demo").budget.model_copy(update={"train": train})
        said = TargetSpec(device="laptop", phase=Phase.PREFILL, tokens=1024)
        assert job.spec == examples.spec("demo").model_copy(update={"budget": budget, "targets": (said,)})
        assert store.create_job(examples.spec(), key="k", owner="ada") == job
        assert store.lease_owner(job.id) == "process"
        (event,) = store.events(job.id)
        assert (event.sequence, event.kind, event.message) == (1, EventKind.NOTE, "begun")
        assert store.state(job.id, "search") == {"told": 3}
        assert store.state(job.id, "verify-1")["strategy"] == {"pool": []}
        history = History(Encoding([3, 3], ["a", "b"]), 1)
        history.restore(store.journal(job.id, "verify-1"))
        assert history.population.tolist() == [[1, 2], [2, 0]]
        assert history.values.tolist() == [[0.5], [0.25]]
        assert history.pending.tolist() == [[0, 1]]
        (measurement,) = store.measurements(examples.TARGET)
        assert replace(measurement, measured_at=0.0) == examples.measurement("a")
        (evaluation,) = store.evaluations("net", Split.VALIDATION)
        assert evaluation == examples.evaluation("a")
        assert store.supernet("net").path == "supernets/net.safetensors"
        assert store.predictor("space", ("latency_ms", str(examples.TARGET))) == {"rows": 1}
        assert store.points(job.id, Scope.FRONT) == [examples.point(0, on_front=True, measured=2.5)]
        assert store.count_points(job.id) == 1
        extents = {"quality": 2.5, "parameters": 100, "macs": 1000, "state_bytes": 10}
        known = {(kind, None): (value, value) for kind, value in extents.items()}
        assert store.extents(job.id) == known | {("latency_ms", str(examples.TARGET)): (2.5, 2.5)}
        # New rows do not meet the numbers of old ones.
        store.put_points(job.id, [examples.point(1)])
        store.add_evaluations([examples.evaluation("b")])
        assert store.add_measurement(examples.measurement("b"))
        assert len(store.points(job.id)) == 2


def put_measurements(address: str, revision: str, targets: Iterable[Target], layers: dict[str, str]) -> None:
    """One of each target and mixer, by digest, into an empty database of that revision."""
    engine = create_engine(url_of(address))
    with engine.begin() as connection:
        migrate(connection, revision)
        for digest, mixer in layers.items():
            architecture = Architecture(256, 64, (Layer(mixer, 4),)).canonical_json()
            row = {"digest": digest, "architecture": architecture}
            connection.execute(text("INSERT INTO architectures VALUES (:digest, :architecture)"), row)
        for number, target in enumerate(targets, 1):
            connection.execute(
                text("INSERT INTO targets VALUES (:n, :text)"), {"n": number, "text": str(target)}
            )
            for digest in layers:
                connection.execute(
                    text(
                        "INSERT INTO measurements (target, digest, latency_ms, spread_ms, error_ms, wall_ms,"
                        " reference_ms, drift, peak_memory_bytes, repeats, rejected, noisy, measured_at)"
                        " VALUES (:n, :digest, 2, 0, 0, 2, 1, 1, 0, 9, 0, FALSE, 1)"
                    ),
                    {"n": number, "digest": digest},
                )
    engine.dispose()


def test_measurements_of_files_that_are_made_otherwise_now_are_taken_again(empty_address: str) -> None:
    """Softmax was masked whole before r0010, int8 quantised nothing, bf16 confused positions."""
    targets = {name: replace(examples.TARGET, dtype=name) for name in ("fp32", "int8", "bf16")}
    put_measurements(empty_address, "r0009", targets.values(), {"soft": "softmax", "near": "window:64"})
    with closing(open_store(empty_address)) as store:
        assert store.targets() == [targets["fp32"]]
        assert [m.digest for m in store.measurements(targets["fp32"])] == ["near"]
        again = replace(examples.measurement("soft"), target=targets["fp32"])
        assert store.add_measurement(again)
        assert not store.add_measurement(again)
        assert [m.digest for m in store.measurements(targets["fp32"])] == ["near", "soft"]


def test_long_prompts_of_softmax_in_onnxruntime_and_decoding_are_measured_again(empty_address: str) -> None:
    """Computed in blocks of 512 since r0012; and decoding on states of fixed shape since r0014."""
    here = replace(examples.TARGET, runtime="onnxruntime")
    lengths = {tokens: Workload(Phase.PREFILL, tokens=tokens) for tokens in (1024, 8192)}
    short, long = (replace(here, workload=workload) for workload in lengths.values())
    elsewhere = replace(long, runtime="openvino")
    decoding = replace(long, workload=Workload(Phase.DECODE, tokens=8192))
    targets = (short, long, elsewhere, decoding)
    put_measurements(empty_address, "r0011", targets, {"soft": "softmax", "near": "window:64"})
    with closing(open_store(empty_address)) as store:
        known = {target: [m.digest for m in store.measurements(target)] for target in targets}
    both = ["soft", "near"]
    assert known == {short: both, long: ["near"], elsewhere: both, decoding: []}


def test_decoding_beside_single_calls_of_the_reference_is_measured_again(empty_address: str) -> None:
    """Since r0016 both are called in a row."""
    prompts = replace(examples.TARGET, workload=Workload(Phase.PREFILL, tokens=64))
    decoding = replace(examples.TARGET, workload=Workload(Phase.DECODE, tokens=64))
    gpu = replace(decoding, runtime="torch-cuda")
    put_measurements(empty_address, "r0015", [prompts, decoding, gpu], {"near": "window:64"})
    with closing(open_store(empty_address)) as store:
        assert set(store.targets()) == {prompts}


def test_encoders_that_were_called_one_at_a_time_are_measured_again(empty_address: str) -> None:
    """Since r0019 calls come in a row."""
    prompts = replace(examples.TARGET, workload=Workload(Phase.PREFILL, tokens=64))
    encoding = replace(examples.TARGET, workload=Workload(Phase.ENCODE, tokens=64))
    gpu = replace(encoding, runtime="torch-cuda")
    put_measurements(empty_address, "r0018", [prompts, encoding, gpu], {"near": "window:64"})
    with closing(open_store(empty_address)) as store:
        assert set(store.targets()) == {prompts}


def test_decoding_beside_128_tokens_of_the_reference_is_measured_again(empty_address: str) -> None:
    """Since r0018 it reads one; GPUs have a reference of their own."""
    prompts = replace(examples.TARGET, workload=Workload(Phase.PREFILL, tokens=64))
    decoding = replace(examples.TARGET, workload=Workload(Phase.DECODE, tokens=64))
    browser, gpu = (replace(decoding, runtime=name) for name in ("onnxruntime-web", "torch-cuda"))
    put_measurements(empty_address, "r0017", [prompts, decoding, browser, gpu], {"near": "window:64"})
    with closing(open_store(empty_address)) as store:
        assert set(store.targets()) == {prompts, gpu}


@pytest.mark.parametrize(("before", "mixer"), [("r0019", "softmax"), ("r0020", "sparse:64,32,2")])
def test_decoding_that_copied_keys_and_values_is_measured_again(
    empty_address: str, before: str, mixer: str
) -> None:
    """Since r0020 onnxruntime appends to those of softmax in place, since r0021 to all that grow."""
    here = replace(examples.TARGET, runtime="onnxruntime", workload=Workload(Phase.DECODE, tokens=64))
    prompts = replace(here, workload=Workload(Phase.PREFILL, tokens=64))
    elsewhere = replace(here, runtime="openvino")
    mixers = {"all": mixer, "near": "window:64"}
    put_measurements(empty_address, before, [here, prompts, elsewhere], mixers)
    with closing(open_store(empty_address)) as store:
        known = {t: [m.digest for m in store.measurements(t)] for t in (here, prompts, elsewhere)}
    both = ["all", "near"]
    assert known == {here: ["near"], prompts: both, elsewhere: both}


def test_what_takes_many_times_as_long_as_the_reference_is_measured_again(empty_address: str) -> None:
    """Since r0022 the reference is timed for longer beside it."""
    put_measurements(empty_address, "r0021", [examples.TARGET], {"short": "softmax", "long": "window:64"})
    engine = create_engine(url_of(empty_address))
    with engine.begin() as connection:
        connection.execute(text("UPDATE measurements SET latency_ms = 21 WHERE digest = 'long'"))
    engine.dispose()
    with closing(open_store(empty_address)) as store:
        assert [m.digest for m in store.measurements(examples.TARGET)] == ["short"]


def test_every_revision_goes_back_as_well(empty_address: str) -> None:
    from alembic import command

    from nas.store.migrate import _config

    open_store(empty_address).close()
    engine = create_engine(url_of(empty_address))
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        left = connection.dialect.get_table_names(connection)
        assert left == ["alembic_version"]
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 0
    engine.dispose()
    open_store(empty_address).close()


def test_a_revisions_file_is_named_after_it() -> None:
    """So that the newest is known without loading any."""
    from alembic.script import ScriptDirectory

    from nas.store.migrate import _config

    scripts = list(ScriptDirectory.from_config(_config()).walk_revisions())
    assert [script.revision for script in scripts][::-1] == revisions()


def test_migrations_are_packaged(tmp_path: Path) -> None:
    from setuptools import find_packages

    root = Path(__file__).parents[3]
    assert "nas.store.migrations.versions" in find_packages(str(root), include=["nas*"])
    listed = subprocess.run(
        [sys.executable, "-c", "import nas.store.migrate as m; print(m.revisions())"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert listed.stdout.strip() == str(revisions())
