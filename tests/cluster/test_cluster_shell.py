"""What a job's shell makes of its lines: run here by /bin/sh, with a stand-in for Python."""

import os
import subprocess
import sys

import batch_systems
import pytest

from cluster import ConfigError
from cluster.config import ClusterConfig
from cluster.engines.base import job_script, open_engine

pytest.importorskip("dask_jobqueue")

from cluster.engines.shell import in_shell

KINDS = ["slurm", "pbs", "htcondor"]


def answer(kind, folder, **more):
    """What a job prints when its worker prints its own arguments, a line each."""
    python = folder / "python"
    python.write_text("#!/bin/sh\necho WORKER\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    options = {"python": str(python), **more.pop("options", {})}
    text = job_script(ClusterConfig(kind=kind, memory="1 GB", **more, options=options))
    if kind == "htcondor":
        command, given = batch_systems.condor_command(text), None
        assert "\n" not in command[-1]
        assert "$" not in command[-1]  # which a submit file would take for one of its macros
    else:
        command, given = ["/bin/sh", "-s"], text
    environment = {**os.environ, "TMPDIR": "/t m p", "HOME": "/home/me"}
    done = subprocess.run(command, input=given, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (["# load it", "export A=1", "echo $A"], ["1"]),
        (["export A=1  # note"], []),
        (["if true; then", "  echo yes", "fi"], ["yes"]),
        (["true &", "wait"], []),
        (["echo a\necho b"], ["a", "b"]),
        (["for i in 1 2; do", "echo $i", "done"], ["1", "2"]),
        (["export A='b  c' B=\"x y\"", 'echo "$A" "$(echo $B)" `echo z`'], ["b  c x y z"]),
        (["cat <<END", "it's $((1 + 1)) \\$X(y) \\\\", "END"], ["it's 2 $X(y) \\"]),
        (["echo one \\", "two"], ["one two"]),
    ],
)
def test_setup_is_lines_of_a_shell(kind, setup, said, tmp_path):
    answered = answer(kind, tmp_path, setup=setup)
    assert answered[: answered.index("WORKER")] == said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scratch", "folder"),
    [
        ("/scratch", "/scratch"),
        ("/a b/c", "/a b/c"),
        ("$TMPDIR/x", "/t m p/x"),
        ("${TMPDIR}", "/t m p"),
        ("~/a b", "/home/me/a b"),
        ("/a\"b`c\\d'e;f&g#h", "/a\"b`c\\d'e;f&g#h"),
    ],
)
def test_scratch_is_one_word_whose_variables_are_those_of_the_job(kind, scratch, folder, tmp_path):
    answered = answer(kind, tmp_path, scratch=scratch)
    assert answered[answered.index("--local-directory") + 1] == folder
    assert "--no-dashboard" in answered


@pytest.mark.parametrize("kind", KINDS)
def test_files_and_python_are_words_too(kind, tmp_path, monkeypatch):
    files = {f"tls_{name}": f"/c d/{name}.pem" for name in ("ca", "cert", "key")}
    answered = answer(kind, tmp_path, tls=True, **files)
    assert answered[answered.index("--tls-ca-file") + 1] == "/c d/ca.pem"
    assert answered[answered.index("--tls-key") + 1] == "/c d/key.pem"
    monkeypatch.setattr(sys, "executable", "/my env/python")
    assert "'/my env/python' -m distributed" in job_script(ClusterConfig(kind=kind, memory="1 GB"))
    assert "x python -m distributed" in job_script(
        ClusterConfig(kind=kind, memory="1 GB", options={"python": "run x python"})
    )


def test_what_is_plain_stays_as_it_is():
    assert in_shell("/scratch/a-b_c.d") == "/scratch/a-b_c.d"
    assert in_shell("~/x") == "~/x"


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_script_makes_no_folder_but_a_run_does(kind, tmp_path, monkeypatch):
    logs = tmp_path / "logs" / "deep"
    config = ClusterConfig(kind=kind, memory="1 GB", options={"log_directory": str(logs)})
    assert str(logs) in job_script(config)
    assert not logs.parent.exists()
    batch_systems.install(kind, tmp_path)
    (tmp_path / "down").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with open_engine(config) as engine:
        engine.await_start()
    assert logs.is_dir()
    (tmp_path / "file").touch()
    wrong = ClusterConfig(kind=kind, memory="1 GB", options={"log_directory": str(tmp_path / "file" / "logs")})
    with (
        open_engine(wrong) as engine,
        pytest.raises(ConfigError, match=r"^cluster\.options\.log_directory: .*/logs cannot be made: Not a directory;"),
    ):
        engine.await_start()


@pytest.mark.parametrize("kind", [*KINDS, "kubernetes"])
def test_dasks_variables_of_the_user_go_before_ours(kind, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE", "0.8")
    if kind == "kubernetes":
        pytest.importorskip("dask_kubernetes")
        pause = "name: DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE\n          value: '0.8'"
        options = {"image": "x"}
    else:
        pause, options = "export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=0.8\n", {}
    script = job_script(ClusterConfig(kind=kind, memory="1 GB", options=options))
    assert pause in script
    assert "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL" in script
