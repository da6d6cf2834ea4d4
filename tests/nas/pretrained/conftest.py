"""A model that all tests here may read."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_models import write_model


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    write_model("llama", folder)
    return folder
