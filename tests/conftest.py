"""Fixtures for all rooms."""

import os
from pathlib import Path

import pytest

from survey.compiled import use_kernel_cache

# One folder for all tests and for the processes that they start: a kernel is compiled once.
use_kernel_cache()


@pytest.fixture(scope="session")
def survey_data() -> Path:
    """Folder of the real data: ``$SURVEY_DATA``, else ``../shared/data`` beside the repository."""
    given = os.environ.get("SURVEY_DATA")
    path = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("SURVEY_DATA absent")
    return path
