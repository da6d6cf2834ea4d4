"""What a shell offers after Tab: quickly, silently, and leaving nothing behind."""

import pytest

from nas.cli.demo import DEMO_FAST
from nas.spec import load_job_spec
from nas.store import open_store


@pytest.fixture
def offered(nas, monkeypatch):
    """What bash is told where the cursor stands after the last word."""

    def ask(*words):
        monkeypatch.setenv("_NAS_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(["nas", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        answer = nas()
        assert (answer.code, answer.err) == (0, "")
        return answer.out.split()

    return ask


@pytest.fixture
def job(tmp_path):
    """Stored, with targets of its own."""
    spec = load_job_spec(DEMO_FAST)
    with_two = spec.model_copy(
        update={"targets": (*spec.targets, spec.targets[0].model_copy(update={"device": "phone"}))}
    )
    store = open_store(tmp_path / "home")
    stored = store.create_job(with_two)
    store.close()
    return stored


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["presets", "mixed"], {"mixed-lm", "mixed-lm-tiny"}),
        (["profile", "--space", "image"], {"image-28"}),
        (["bench", "devices", "--space", "image"], {"image-28"}),
        (["export", "latest", "--to", ""], {"optuna", "parquet", "mlflow"}),
        (["extract", "latest", "--format", ""], {"onnx", "hf", "genai"}),
        (["front", "latest", "--format", "h"], {"html"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_names_that_are_accepted_are_offered(offered, tmp_path, words, some):
    found = offered(*words)
    assert some <= set(found)
    assert all(value.startswith(words[-1]) for value in found)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["show", "front", "best", "resume", "export"])
def test_jobs_of_the_store_are_offered(offered, job, command):
    assert offered(command, "") == ["latest", job.id]
    assert offered(command, "demo") == [job.id]


@pytest.mark.parametrize("asked", ["latest", "demo"])
def test_targets_of_the_job_are_offered(offered, job, asked):
    assert offered("front", asked, "--target", "") == [str(item.target()) for item in job.spec.targets]
    assert offered("front", asked, "--target", "phone") == [str(job.spec.targets[1].target())]


def test_nothing_is_offered_or_made_without_a_store(offered, tmp_path):
    assert offered("front", "") == offered("front", "latest", "--target", "") == []
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_with_a_store_is_not_said_after_tab(offered, job, tmp_path):
    assert offered("front", "no-such-job", "--target", "") == []
    (tmp_path / "home" / "nas.db").write_bytes(b"no database at all" * 1000)
    assert offered("front", "") == []


def test_a_service_elsewhere_is_not_asked(offered, job):
    assert offered("--server", "nowhere.invalid:7070", "front", "") == []
