"""Training: it learns, it is deterministic, and neither a stop nor a kill changes a bit of it."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nas.errors import JobFailed, StoreUnavailable
from nas.evaluation import Split
from nas.spec import TrainBudget
from nas.tasks import Task, make_task
from nas.training import TrainingResult, load_supernet, train_supernet
from nas.training.checkpoint import save_checkpoint
from nas.training.optimizer import WEIGHT_DECAY, SupernetOptimizer
from nas.training.trainer import Trainer
from searchspaces.space import SearchSpace, load_space
from searchspaces.supernet import Supernet

BUDGET = TrainBudget(steps=12, batch=2, learning_rate=5e-3)
SPACE = {
    "name": "tiny",
    "context": 16,
    "width": [16],
    "depth": [1, 2],
    "layer": {"mixer": ["softmax", "window:8", "linear", "none"], "heads": [2], "ratio": [1, 2]},
}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space(SPACE)


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task("text", {"evaluation_tokens": 1024, "evaluation_context": 16})


def train(
    space: SearchSpace,
    task: Task,
    folder: Path,
    budget: TrainBudget = BUDGET,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> TrainingResult:
    return train_supernet(space, task, budget, seed, folder, lambda *_: None, stop)


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(1000))
    return lambda: next(asked) >= steps


def same(a: Path, b: Path) -> bool:
    first, second = load_file(a), load_file(b)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    space: SearchSpace, task: Task, tmp_path: Path
) -> None:
    paths = [train(space, task, tmp_path / str(i), seed=i // 2).path for i in range(3)]
    assert same(paths[0], paths[1])
    assert not same(paths[0], paths[2])


@pytest.mark.parametrize("sandwich", [False, True])
def test_a_stopped_run_goes_on_to_the_same_bits(
    space: SearchSpace, task: Task, tmp_path: Path, sandwich: bool
) -> None:
    budget = BUDGET.model_copy(update={"sandwich": sandwich})
    whole = train(space, task, tmp_path / "whole", budget)
    parts = tmp_path / "parts"
    for steps in (0, 5, 1):
        part = train(space, task, parts, budget, stop=stop_after(steps))
        assert not part.path.exists()
    assert part.steps == 6
    result = train(space, task, parts, budget)
    assert same(whole.path, result.path)
    assert result.losses == whole.losses
    assert [file.name for file in parts.iterdir()] == ["supernet.safetensors"]


def test_a_killed_run_goes_on_to_the_same_bits(space: SearchSpace, task: Task, tmp_path: Path) -> None:
    """SIGKILL at no particular moment, right after a checkpoint was begun."""
    code = f"""
        import pathlib, torch
        from nas.spec import TrainBudget
        from nas.tasks import make_task
        from nas.training import trainer
        from searchspaces.space import load_space
        torch.set_num_threads(1)
        trainer.CHECKPOINT_SECONDS = trainer.PROGRESS_SECONDS = 0
        task = make_task("text", {{"evaluation_tokens": 1024, "evaluation_context": 16}})
        budget = TrainBudget(**{BUDGET.model_dump()!r})
        say = lambda done, total, facts: print(done, flush=True)
        space, run = load_space({SPACE!r}), pathlib.Path("run")
        trainer.train_supernet(space, task, budget, 0, run, say, lambda: False)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "4":
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    killed_at = train(space, task, tmp_path / "run", stop=lambda: True).steps
    assert killed_at >= 3
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        resumed = train(space, task, tmp_path / "run")
        whole = train(space, task, tmp_path / "whole")
    finally:
        torch.set_num_threads(threads)
    assert same(whole.path, resumed.path)


def test_a_finished_run_is_not_repeated(space: SearchSpace, task: Task, tmp_path: Path) -> None:
    first = train(space, task, tmp_path)
    written = first.path.stat().st_mtime_ns
    assert train(space, task, tmp_path) == first
    assert first.path.stat().st_mtime_ns == written


def test_it_learns(space: SearchSpace, task: Task, tmp_path: Path) -> None:
    seen: list[tuple[int, int, dict[str, float]]] = []
    budget = TrainBudget(steps=300, batch=8, learning_rate=1e-2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.training.trainer.PROGRESS_SECONDS", 0.0)
        result = train_supernet(space, task, budget, 0, tmp_path, lambda *x: seen.append(x), lambda: False)
    assert result.steps == len(result.losses) == 300
    assert result.tokens_per_second > 0
    assert [done for done, _, _ in seen] == list(range(1, 301))
    assert set(seen[-1][2]) == {"loss", "tokens_per_second"}
    architectures = space.decode(space.sample(4, np.random.default_rng(0)))
    trained, fresh = load_supernet(space, result.path), Trainer(space, task, budget, 0).supernet
    for architecture in architectures:
        after = task.evaluate(lambda x, a=architecture: trained(x, a), Split.VALIDATION)
        before = task.evaluate(lambda x, a=architecture: fresh(x, a), Split.VALIDATION)
        assert after < 0.75 * before


def test_building_a_trainer_leaves_the_global_generator_alone(space: SearchSpace, task: Task) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    Trainer(space, task, BUDGET, seed=7)
    assert torch.equal(torch.rand(3), expected)


def test_norms_and_embeddings_do_not_decay(space: SearchSpace, task: Task) -> None:
    supernet = Trainer(space, task, BUDGET, seed=0).supernet
    before = {name: parameter.detach().clone() for name, parameter in supernet.named_parameters()}
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)  # all that is left of a step is the decay
    SupernetOptimizer(supernet).step(rate=0.5)
    for name, parameter in supernet.named_parameters():
        factor = 1.0 if parameter.ndim == 1 or "embedding" in name else 1 - 0.5 * WEIGHT_DECAY
        torch.testing.assert_close(parameter.detach(), factor * before[name], msg=name)


def test_a_checkpoint_of_another_run_or_of_nothing_is_refused(
    space: SearchSpace, task: Task, tmp_path: Path
) -> None:
    train(space, task, tmp_path, stop=stop_after(1))
    with pytest.raises(JobFailed, match="is of another run; delete it"):
        train(space, task, tmp_path, seed=1)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nothing")
    with pytest.raises(JobFailed, match="is not a checkpoint"):
        train(space, task, tmp_path)


def test_a_loss_that_is_no_number_ends_the_run(space: SearchSpace, task: Task, tmp_path: Path) -> None:
    budget = TrainBudget(steps=50, batch=2, learning_rate=1e30)
    with pytest.raises(JobFailed, match=r"training loss is (nan|inf) at step \d+; try a learning_rate below"):
        train(space, task, tmp_path, budget)
    assert not (tmp_path / "supernet.safetensors").exists()


def test_a_supernet_of_another_space_is_refused(space: SearchSpace, task: Task, tmp_path: Path) -> None:
    path = train(space, task, tmp_path).path
    other = load_space({**SPACE, "width": [32]})
    with pytest.raises(JobFailed, match="does not hold a supernet of tiny"):
        load_supernet(other, path)


def test_a_supernet_of_before_families_means_what_it_meant(space: SearchSpace, tmp_path: Path) -> None:
    """Where all mixers shared a layer's queries and keys, each family's own are these."""
    torch.manual_seed(0)
    supernet = Supernet(space)
    weights = supernet.state_dict()
    shared = {name: value for name, value in weights.items() if ".linear_" not in name}
    assert len(shared) < len(weights)
    save_checkpoint(tmp_path / "old.safetensors", shared, {})
    loaded = load_supernet(space, tmp_path / "old.safetensors").state_dict()
    assert loaded.keys() == weights.keys()
    for name, value in loaded.items():
        assert torch.equal(value, shared[name.replace("linear_", "")])


def test_a_disk_that_takes_nothing_is_said_so(space: SearchSpace, task: Task, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot write"):
        train(space, task, tmp_path / "file", stop=stop_after(1))
