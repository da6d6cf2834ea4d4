"""Half precision, whose numbers end at 65,504."""

import pytest
import torch

from searchspaces.mixers.padding import hiding


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_absent_tokens_count_for_nothing_in_any_precision(dtype: torch.dtype) -> None:
    there = torch.tensor([[1.0], [1.0], [0.0]], dtype=dtype)
    added = hiding(there)
    assert added.isfinite().all()
    shares = (torch.tensor([3.0, 1.0, 40.0], dtype=dtype) + added).softmax(-1)
    assert shares.isfinite().all()
    assert shares[0, 2] == 0
    if dtype == torch.float32:
        assert added.tolist() == [[0, 0, torch.tensor(-1e9).item()]]
