"""Runs the peer's scripts in the peer's own environment, once, and keeps what they dump.

``SURVEY_PEER_PYTHON`` names the interpreter that has Gammapy 2.1. Dumps go to ``.parity/`` at the top of the project,
in a folder whose name holds a hash of everything that they follow from. Without the interpreter, or without the real
data, the tests here are skipped; `make parity` sets the first, and where the data are present a skip is a failure.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".parity"
SHARED_SOURCES = ("parity_fields.py", "peer_common.py", "requirements.txt")
DEPENDS = {"peer_variants.py": ("peer_reduction.py",), "peer_spectra.py": ("parity_spectra.py",)}
SKIPPED = pytest.StashKey[list[str]]()


def data_folder() -> Path | None:
    """The real data, when they are there."""
    for name in ("SURVEY_DATA", "GAMMAPY_DATA"):
        folder = os.environ.get(name)
        if folder and (Path(folder) / "hess-dl3-dr1" / "hdu-index.fits.gz").exists():
            return Path(folder)
    return None


def peer_python() -> str | None:
    """Interpreter of the peer's environment."""
    return os.environ.get("SURVEY_PEER_PYTHON") or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here compares with the peer; a first dump takes minutes."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.parity)
            item.add_marker(pytest.mark.data)
            item.add_marker(pytest.mark.timeout(3600))


def pytest_configure(config: pytest.Config) -> None:
    """A place for the names of skipped tests."""
    config.stash[SKIPPED] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Remember what was skipped."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.path.is_relative_to(HERE):
        item.config.stash[SKIPPED].append(item.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where interpreter and data are present, a comparison that did not happen is a failure."""
    if peer_python() and data_folder() and session.config.stash[SKIPPED] and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Say why the run failed."""
    if peer_python() and data_folder() and config.stash[SKIPPED]:
        terminalreporter.write_line(
            f"{len(config.stash[SKIPPED])} comparisons with the peer were skipped though both are here: failed",
            red=True,
        )


def run_peer(script: str, out: Path, *arguments: str) -> None:
    """Run one of the scripts here in the peer's environment; its output is shown when it fails."""
    python = peer_python()
    assert python is not None
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    environment |= {"SURVEY_DATA": str(data_folder()), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    done = subprocess.run(
        [python, str(HERE / script), str(out), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script} failed in {python}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real data."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no real data: set SURVEY_DATA")
    return folder


@pytest.fixture(scope="session")
def peer(data: Path) -> Callable[[str], Path]:
    """Function from the name of a script to the folder of what it dumps, made once."""
    if peer_python() is None:
        pytest.skip("no peer: set SURVEY_PEER_PYTHON, or run `make parity`")

    def dump(script: str) -> Path:
        digest = hashlib.sha256()
        for name in (script, *DEPENDS.get(script, ()), *SHARED_SOURCES):
            digest.update((HERE / name).read_bytes())
        folder = CACHE / f"{Path(script).stem}-{digest.hexdigest()[:12]}"
        done = folder / "done"
        if not done.exists():
            run_peer(script, folder)
            done.touch()
        return folder

    return dump


@pytest.fixture(scope="session")
def peer_once(data: Path) -> Callable[..., None]:
    """`run_peer`, for scripts whose input we make."""
    if peer_python() is None:
        pytest.skip("no peer: set SURVEY_PEER_PYTHON, or run `make parity`")
    return run_peer
