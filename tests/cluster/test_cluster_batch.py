"""Batch systems: what is submitted, and runs through stand-ins for the commands that submit."""

import asyncio
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import batch_systems
import cluster_jobs
import dask
import pytest
from test_cluster_local import contents, plan

from cluster import ConfigError
from cluster.config import ClusterConfig
from cluster.engines.base import job_script, open_engine
from cluster.errors import WorkersLost
from cluster.events import UnitEnded
from cluster.run import execute

pytest.importorskip("dask_jobqueue")

from cluster.engines import jobqueue, submission
from cluster.engines.slurm import Engine as Slurm

FIELDS = {
    "workers": 4,
    "jobs": 2,
    "threads": 3,
    "memory": "4 GiB",
    "walltime": "2-03:00:00",
    "account": "gamma",
    "interface": "lo",
    "scratch": "/scratch",
    "setup": ["module load python", "export A='b c'"],
    "preload": ["cluster_jobs"],
}


def lines(kind, **more):
    return job_script(ClusterConfig(kind=kind, **{**FIELDS, **more})).splitlines()


def check_worker(command):
    for words in (
        "-m distributed.cli.dask_worker tcp://SCHEDULER:PORT",
        "--nthreads 3 --memory-limit 4.00GiB --nworkers 2 --nanny",
        "--local-directory /scratch",
        "--no-dashboard --dashboard-address 127.0.0.1:0",
        "--lifetime 182700s --lifetime-stagger 300s",
        "--interface lo",
    ):
        assert words in command


def test_a_slurm_job_has_every_field():
    script = lines("slurm", queue="long", options={"job_extra_directives": ["--constraint=amd"], "job_name": "mine"})
    for line in (
        "#SBATCH -J mine",
        "#SBATCH -p long",
        "#SBATCH -A gamma",
        "#SBATCH --cpus-per-task=6",
        "#SBATCH --mem=8G",
        "#SBATCH -t 2-03:00:00",
        "#SBATCH --constraint=amd",
        "export OMP_NUM_THREADS=1",
        "export MALLOC_MMAP_THRESHOLD_=4194304",
        "export DASK_DISTRIBUTED__WORKER__PRELOAD='['\"'\"'cluster.engines.preload'\"'\"']'",
        "module load python",
        "export A='b c'",
    ):
        assert line in script
    assert not any("NUMBA_CACHE_DIR" in line for line in script)
    check_worker(script[-1])


def test_a_pbs_job_has_every_field():
    script = lines("pbs", queue="long")
    for line in (
        "#PBS -q long",
        "#PBS -A gamma",
        "#PBS -l select=1:ncpus=6:mem=8192MB",
        "#PBS -l walltime=51:00:00",
        "module load python",
    ):
        assert line in script
    check_worker(script[-1])


def test_an_htcondor_job_has_every_field():
    script = lines("htcondor", options={"job_extra_directives": {"Requirements": "x"}})
    for line in (
        "MY.DaskWorkerCores = 6",
        f"MY.DaskWorkerMemory = {8 * 2**30}",
        "accounting_group = gamma",
        "allowed_job_duration = 183600",
        "Requirements = x",
        "Executable = /bin/sh",
    ):
        assert line in script
    (arguments,) = [line for line in script if line.startswith("Arguments")]
    assert not set("$'\n") & set(arguments.removeprefix("Arguments = \"-c '").removesuffix("'\""))
    assert "#   module load python" in script  # for who reads it
    assert "#   export A='b c'" in script
    check_worker([line for line in script if line.startswith("# ")][-1])


def test_encrypted_workers_name_their_certificates():
    files = {"tls": True, "tls_ca": "/c/ca.pem", "tls_cert": "/c/cert.pem", "tls_key": "/c/key.pem"}
    command = lines("slurm", **files)[-1]
    for words in ("tls://SCHEDULER", "--protocol tls://", "--tls-ca-file /c/ca.pem", "--tls-key /c/key.pem"):
        assert words in command


@pytest.mark.parametrize("kind", ["local", "existing", "none"])
def test_kinds_that_submit_nothing_say_so(kind):
    more = {"address": "tcp://127.0.0.1:8786"} if kind == "existing" else {}
    with pytest.raises(ConfigError, match="submits nothing"):
        job_script(ClusterConfig(kind=kind, **more))


def test_options_that_the_engine_does_not_know_are_refused_by_name(tmp_path):
    config = ClusterConfig(kind="slurm", memory="1 GB", options={"colour": "blue"})
    with pytest.raises(
        ConfigError, match=r"^cluster\.options\.colour: jobs of kind slurm do not take it; take it out$"
    ):
        execute(plan(tmp_path, 5), workspace=tmp_path / ".work", config=config)


@pytest.mark.parametrize(("kind", "walltime"), [("slurm", "00:30:00"), ("pbs", "00:30:00"), ("htcondor", None)])
def test_workers_leave_before_a_walltime_that_dask_has_given(kind, walltime):
    text = job_script(ClusterConfig(kind=kind, memory="1 GB"))
    assert ("--lifetime 1665s --lifetime-stagger 45s" in text) == (walltime is not None)
    if walltime:
        assert walltime in text
        with dask.config.set({f"jobqueue.{kind}.walltime": "10:00:00"}):
            assert "--lifetime 35100s" in job_script(ClusterConfig(kind=kind, memory="1 GB"))
        with (
            dask.config.set({f"jobqueue.{kind}.walltime": "soon"}),
            pytest.raises(ConfigError, match=rf"jobqueue\.{kind}\.walltime of Dask's configuration is no use: 'soon'"),
        ):
            job_script(ClusterConfig(kind=kind, memory="1 GB"))


def test_a_machine_without_the_submit_command_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    config = ClusterConfig(kind="pbs", memory="1 GB")
    with pytest.raises(ConfigError, match=r"cluster\.kind 'pbs' submits jobs with qsub, which is not found here"):
        execute(plan(tmp_path, 5), workspace=tmp_path / ".work", config=config)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the loopback is called lo")
LOST_WORKER = "distributed.deploy.lost-worker-timeout"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A function that installs a batch system and returns its folder and a configuration."""

    def make(kind, **more):
        folder = tmp_path / kind
        folder.mkdir()
        batch_systems.install(kind, folder)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        here = Path(__file__).parent
        config = {
            "workers": 2,
            "memory": "1 GB",
            "interface": "lo",
            "setup": [f"export PYTHONPATH={here}:{here.parents[1]}"],
            "preload": ["cluster_jobs"],
            "worker_timeout": 90,
            **more,
        }
        folders.append(folder)
        return folder, ClusterConfig(kind=kind, **config)

    folders = []
    yield make
    left = [job for folder in folders for job in batch_systems.alive(folder)]
    for job in left:
        os.killpg(job, signal.SIGKILL)


def await_true(condition, seconds=60):
    """Wait until something holds."""
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.05)
    assert condition()


def await_jobs(engine, number):
    """Wait until as many jobs were taken."""
    await_true(lambda: engine.submissions.taken >= number)


@on_linux
@pytest.mark.parametrize("kind", ["slurm", "pbs", "htcondor"])
def test_a_run_in_batch_jobs_gives_the_same_bytes_and_a_lost_job_is_replaced(kind, tmp_path, system):
    folder, config = system(kind)
    killed = []

    def kill(event):
        if not killed and isinstance(event, UnitEnded):
            pid = int(event.outcome.worker.rpartition(":")[2])
            killed.append(os.getpgid(pid))
            os.killpg(killed[0], signal.SIGKILL)

    for name in "ab":
        (tmp_path / name).mkdir()
    execute(plan(tmp_path / "a", 30), workspace=tmp_path / "wa", config=ClusterConfig(kind="none"))
    with open_engine(config) as engine:
        outcomes = execute(plan(tmp_path / "b", 30, 0.05), workspace=tmp_path / "wb", engine=engine, listeners=[kill])
        assert outcomes.tally() == {"obs": {"done": 30}, "tile": {"done": 6}}, (folder / "output").read_text()
        limit = time.monotonic() + 60
        while len(batch_systems.jobs(folder)) < 3 and time.monotonic() < limit:
            time.sleep(0.2)
        assert killed[0] in batch_systems.jobs(folder)
        assert len(batch_systems.jobs(folder)) >= 3
        assert dask.config.get(LOST_WORKER) == "5s"  # Dask reads it when a worker is lost, not when it starts
    assert dask.config.get(LOST_WORKER) != "5s"
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert batch_systems.cancelled(folder) >= set(batch_systems.jobs(folder)) - set(killed)
    assert batch_systems.await_end(folder) == []


@on_linux
@pytest.mark.parametrize("kind", ["slurm", "pbs", "htcondor"])
def test_a_job_that_ends_before_its_worker_comes_is_submitted_again(kind, tmp_path, system, monkeypatch):
    monkeypatch.setattr(jobqueue, "LOOKED_AFTER_EVERY", 1.0)
    said = []
    monkeypatch.setattr(jobqueue.log, "warning", lambda text, *values: said.append(text % values))
    folder, config = system(kind)
    batch_systems.let_die(folder, 1)
    with open_engine(config) as engine:
        outcomes = execute(plan(tmp_path, 100, 0.1), workspace=tmp_path / ".work", engine=engine)
        assert all(outcome.is_done for outcome in outcomes.values())
        assert len(batch_systems.jobs(folder)) == 3
        assert len({outcome.worker for outcome in outcomes.values()}) == 2
    assert any(line.startswith("1 jobs ended before their workers came (") for line in said)
    assert not any("Dask left" in line for line in said)
    assert batch_systems.await_end(folder) == []


@on_linux
def test_jobs_that_all_end_early_end_the_run(tmp_path, system, monkeypatch):
    monkeypatch.setattr(jobqueue, "LOOKED_AFTER_EVERY", 0.5)
    monkeypatch.setattr(jobqueue, "FRUITLESS", 2)
    folder, config = system("slurm")
    batch_systems.let_die(folder, 99)
    with pytest.raises(
        WorkersLost, match=r"jobs end before their workers come, \d+ so far, and no worker is there; see"
    ):
        execute(plan(tmp_path, 5), workspace=tmp_path / ".work", config=config)
    assert len(batch_systems.jobs(folder)) >= 3


def test_jobs_that_ended_early_are_forgotten_when_a_worker_has_come():
    engine = Slurm.__new__(Slurm)
    engine._fruitless = jobqueue.FRUITLESS
    asyncio.run(engine._replace(SimpleNamespace(observed={"worker"}, workers={})))
    assert engine._fruitless == 0


def test_a_batch_system_that_does_not_say_which_jobs_it_has_loses_none(system):
    assert submission.in_queue(["no-such-command"]) is None
    folder, config = system("pbs", workers=1)
    (folder / "down").touch()
    assert submission.in_queue([str(folder / "qstat")]) is None
    (folder / "down").unlink()
    assert submission.in_queue([str(folder / "qstat")]) == set()
    with open_engine(config) as engine:
        await_jobs(engine, 1)
        assert submission.in_queue(["qstat"]) == {str(number) for number in batch_systems.jobs(folder)}


@on_linux
@pytest.mark.parametrize("answers", [True, False])
def test_jobs_that_dask_leaves_behind_are_cancelled(answers, system, monkeypatch):
    folder, config = system("slurm")
    said, unclosed = [], []
    monkeypatch.setattr(jobqueue.log, "warning", lambda text, *values: said.append(text % values))

    def close(cluster, timeout=None):
        unclosed.append(cluster)
        raise TimeoutError("a worker does not answer")

    with monkeypatch.context() as patch:
        with open_engine(config) as engine:
            engine.await_start()
            await_jobs(engine, 2)
            if not answers:
                (folder / "down").touch()
            patch.setattr(engine.cluster_class, "close", close)
        numbers = set(batch_systems.jobs(folder))
    (line,) = [one for one in said if one.startswith("Dask left jobs behind, now: scancel ")]
    assert numbers <= set(map(int, re.findall(r"\d+", line)))
    assert line.endswith(", which answers: scancel: error: Unable to contact the controller") == (not answers)
    assert batch_systems.cancelled(folder) == (numbers if answers else set())
    unclosed[0].close(timeout=30)
    assert not answers or batch_systems.await_end(folder) == []


@on_linux
@pytest.mark.parametrize("refused_first", [False, True])
@pytest.mark.parametrize("within", [0.5, 30.0])
def test_a_job_that_is_being_submitted_at_the_end_is_cancelled(refused_first, within, system, monkeypatch):
    monkeypatch.setattr(submission, "PAUSES", (0.5,))
    monkeypatch.setattr(jobqueue, "END_WITHIN", within)
    folder, config = system("slurm", workers=1)
    (folder / "slow").touch()  # takes a job at once and tells its number later
    if refused_first:
        (folder / "down").touch()
    with open_engine(config) as engine:
        engine.await_start()
        if refused_first:
            await_true(lambda: engine.submissions.answer)
            (folder / "down").unlink()
        await_true(lambda: batch_systems.jobs(folder))
        assert engine.submissions.taken == 0
    await_true(lambda: batch_systems.cancelled(folder) == set(batch_systems.jobs(folder)))
    assert batch_systems.await_end(folder) == []


def test_a_batch_system_that_takes_no_job_ends_the_run_with_its_answer(tmp_path, system, monkeypatch):
    monkeypatch.setattr(jobqueue, "REFUSED_FOR", 0.5)
    folder, config = system("slurm")
    (folder / "down").touch()
    with pytest.raises(
        WorkersLost, match=r"sbatch takes no job of this run: sbatch: error: Unable to contact the controller"
    ):
        execute(plan(tmp_path, 5), workspace=tmp_path / ".work", config=config)
    assert batch_systems.jobs(folder) == []


def test_a_batch_system_that_is_down_for_a_while_costs_nothing_but_time(tmp_path, system, monkeypatch):
    monkeypatch.setattr(submission, "PAUSES", (0.5,))
    monkeypatch.setattr(jobqueue, "NOTICES", (0.5, 3600.0))
    said = []
    monkeypatch.setattr(jobqueue.log, "warning", lambda text, *values: said.append(text % values))
    folder, config = system("slurm", workers=1)
    (folder / "down").touch()
    with open_engine(config) as engine:
        limit = time.monotonic() + 60
        while not engine.submissions.answer and time.monotonic() < limit:
            time.sleep(0.05)
        comes_back = threading.Timer(3.0, (folder / "down").unlink)
        comes_back.start()
        outcomes = execute(plan(tmp_path, 5), workspace=tmp_path / ".work", engine=engine)
        comes_back.join()
    assert all(outcome.is_done for outcome in outcomes.values())
    (line,) = [one for one in said if "no worker has come" in one]
    assert "0 jobs were submitted; sbatch answers: sbatch: error: Unable to contact the controller" in line
    assert len(batch_systems.jobs(folder)) == 1
    assert batch_systems.await_end(folder) == []


def test_workers_leave_before_the_walltime_and_others_go_on(tmp_path, system):
    folder, config = system("slurm", workers=1, walltime="00:00:12", tls=True)
    with open_engine(config) as engine:
        outcomes = execute(plan(tmp_path, 30, 0.3), workspace=tmp_path / ".work", engine=engine)
    assert outcomes.tally() == {"obs": {"done": 30}, "tile": {"done": 6}}, (folder / "output").read_text()
    assert len(batch_systems.jobs(folder)) >= 2
    assert len({outcome.worker for outcome in outcomes.values()}) >= 2
    assert set(cluster_jobs.calls(tmp_path)) == set(outcomes)
    assert "--tls-ca-file" in (folder / f"job-{batch_systems.jobs(folder)[0]}").read_text()
