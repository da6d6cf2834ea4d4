"""The timing reference."""

import hashlib

import numpy as np
import onnx
import onnxruntime

from nas.export import reference_model

SHA256 = "e30308678fd86e7d05efedf41c1d8573553f6e9381e791419152f5c048806756"


def test_its_bytes_never_change() -> None:
    """Stored measurements are expressed against this very model: changing it makes them incomparable."""
    assert hashlib.sha256(reference_model()).hexdigest() == SHA256


def test_it_takes_any_tokens_and_runs_alone() -> None:
    onnx.checker.check_model(onnx.load_model_from_string(reference_model()), full_check=True)
    session = onnxruntime.InferenceSession(reference_model(), providers=["CPUExecutionProvider"])
    tokens = np.arange(60).reshape(2, 30) * 1000
    (logits,) = session.run(["logits"], {"tokens": tokens})
    assert logits.shape == (2, 30, 256)
    assert np.isfinite(logits).all()
    assert logits.std(axis=1).min() > 0
