"""Fixtures for all rooms."""

import hashlib
import os
from pathlib import Path

import pytest
from moto_server import environment, moto_server

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


@pytest.fixture(scope="session")
def object_store(tmp_path_factory):
    """Address of an S3 store on this machine; the environment leads to it from here on."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with (
        moto_server(tmp_path_factory.mktemp("moto") / "requests.log") as (endpoint, _),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment(endpoint).items():
            patch.setenv(name, value)
        yield endpoint


@pytest.fixture
def bucket(object_store, request):
    """URL of a bucket of the test's own."""
    import s3fs

    name = "b" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:30]
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"
