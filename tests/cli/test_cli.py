"""The commands: they answer at once, refuse in one line, and say by their exit status what happened."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from survey import __version__, cli
from survey.events.synthetic import make_store
from survey.refusal import Refusal

COMMANDS = ("run", "plan", "validate", "init", "status", "simulate", "ingest", "peaks", "export", "info", "data")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_store(tmp_path / "hess-dl3-dr1", n_observations=2, ra=83.63, dec=22.01, livetime=60.0)
    monkeypatch.setenv("SURVEY_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def test_the_help_names_every_command() -> None:
    result = call("--help")
    assert result.exit_code == 0
    assert all(f"  {name} " in result.output for name in COMMANDS)


def test_the_help_loads_nothing_heavy_and_answers_at_once() -> None:
    code = (
        "import sys; from survey import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'astropy', 'dask', 'distributed', 'pydantic', 'xarray', 'zarr', 'numba', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


def test_the_version() -> None:
    assert call("--version").output == f"gammasurvey {__version__}\n"


def test_info_names_what_matters(folder: Path) -> None:
    output = call("info").output
    for word in ("gammasurvey", "python", "zarr", "dask", "compiled kernels", str(folder)):
        assert word in output


def test_init_writes_a_file_that_validates(folder: Path) -> None:
    assert call("init", "mine.yaml").exit_code == 0
    result = call("validate", "mine.yaml")
    assert result.exit_code == 0
    assert "mine.yaml: valid" in result.output
    assert "excess_map, ts_map" in result.output
    assert "2 observations selected, 0 problems that set observations aside" in result.output


def test_init_replaces_nothing_unasked(folder: Path) -> None:
    (folder / "survey.yaml").write_text("mine")
    result = call("init")
    assert result.exit_code == 2
    assert result.stderr == "refused: survey.yaml exists already; give another name or --overwrite\n"
    assert (folder / "survey.yaml").read_text() == "mine"
    assert call("init", "--overwrite").exit_code == 0


def test_a_configuration_with_problems_is_refused_with_a_line_each(folder: Path) -> None:
    call("init")
    result = call("validate", "survey.yaml", "--set", "datasets.geom.wcs.binsize=0.02", "--set", "ts_mapp.index=2")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "refused: survey.yaml: datasets.geom.wcs.binsize: found 0.02, expected an angle with a unit, such as '0.5 deg'",
        "refused: survey.yaml: ts_mapp: unknown key; did you mean ts_map?",
    ]


@pytest.mark.parametrize("command", ["plan", "validate"])
def test_options_that_the_engine_refuses_are_refused_before_a_run(folder: Path, command: str) -> None:
    pytest.importorskip("dask_jobqueue")
    call("init", "survey.yaml")
    result = call(command, "survey.yaml", "--set", "cluster={kind: slurm, memory: 4 GB, options: {cores: 4}}")
    assert result.exit_code == 2
    assert "cluster.options.cores: write cluster.threads" in result.output


def test_a_job_script_has_what_a_run_submits(folder: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    from survey.pipeline import PRELOAD

    call("init", "survey.yaml")
    result = call("job-script", "survey.yaml", "--set", "cluster={kind: slurm, memory: 4 GB, preload: [mine]}")
    assert result.exit_code == 0
    assert ",".join(("mine", *PRELOAD)) in result.stdout
    assert "PRELOAD='[]'" not in result.stdout


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_an_absent_configuration_is_refused(folder: Path, command: str) -> None:
    result = call(command, "no.yaml")
    assert result.exit_code == 2
    assert result.stderr == f"refused: no.yaml: there is no such file: {folder / 'no.yaml'}\n"


def test_notes_are_told_on_the_standard_error(folder: Path) -> None:
    call("init")
    result = call("validate", "survey.yaml", "--set", "excess_map={}")
    assert result.exit_code == 0
    assert result.stderr.startswith("survey.yaml: excess_map: holds only Gammapy's defaults")


def test_an_unknown_public_data_set_is_refused() -> None:
    result = call("data", "fetch", "nothing")
    assert result.exit_code == 2
    assert result.stderr == "refused: there is no public data set 'nothing'; known: hess-dl3-dr1\n"


def test_a_data_store_and_an_archive_are_asked_for() -> None:
    assert call("ingest", "only-one").exit_code == 2


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        (Refusal(["one", "two"]), 2, ["refused: one", "refused: two"]),
        (
            OSError("disk on fire"),
            1,
            ["failed: disk on fire", "failed: OSError; `survey --debug ...` shows where it comes from"],
        ),
        (KeyboardInterrupt(), 130, ["interrupted: what is done is kept, and the same command goes on from there"]),
    ],
)
def test_errors_become_lines_and_an_exit_status(
    error: BaseException, status: int, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("survey.environment.describe", fail)
    result = call("info")
    assert result.exit_code == status
    assert result.stderr.splitlines() == lines


def test_debug_shows_where_an_error_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr("survey.environment.describe", fail)
    result = call("--debug", "info")
    assert isinstance(result.exception, OSError)


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("survey")
    if not command.exists():
        pytest.skip("the package is not installed beside this Python")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout == f"gammasurvey {__version__}\n"
