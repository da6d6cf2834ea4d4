"""What no device could measure is said when a job is submitted, not when its worker looks for it."""

from __future__ import annotations

from typing import Any

import pytest

from nas.errors import InvalidSpec
from nas.planning.plan import resolve
from nas.spec import load_job_spec


def spec(**target: Any) -> Any:
    return load_job_spec({"space": "hybrid-lm", "task": "text", "targets": [target]})


@pytest.mark.parametrize(
    ("target", "path", "message"),
    [
        ({"runtime": "abacus"}, "targets.0.runtime", ", onnxruntime, "),
        ({"dtype": "fp7"}, "targets.0.dtype", "onnxruntime has no dtype fp7; accepted: fp32, int8, int4"),
        (
            {"runtime": "torch", "dtype": "int8", "phase": "decode"},
            "targets.0.dtype",
            "torch has no dtype int8; accepted: fp32",
        ),
    ],
)
def test_what_no_device_could_measure(target: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        resolve(spec(**target))
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "torch"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_every_runtime_takes_both_phases(runtime: str, phase: str) -> None:
    (target,) = resolve(spec(runtime=runtime, phase=phase)).targets
    assert (target.runtime, target.workload.phase) == (runtime, phase)
