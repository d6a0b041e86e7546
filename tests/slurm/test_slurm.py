"""A real SLURM on this machine, which `start_slurm.sh` starts: `make test-slurm`."""

import copy
import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import survey
from cluster.events import UnitEnded
from survey.events.synthetic import SyntheticSource, make_store

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

CLUSTER = {
    "kind": "slurm",
    "queue": "local",
    "interface": "lo",
    "workers": 2,
    "memory": "1500 MB",
    "walltime": "00:30:00",
}
SETTINGS = {
    "datasets": {
        "geom": {
            "wcs": {
                "skydir": {"frame": "icrs", "lon": "83.63 deg", "lat": "-22.01 deg"},
                "binsize": "0.1 deg",
                "width": {"width": "6 deg", "height": "5 deg"},
                "binsize_irf": "0.5 deg",
            },
            "tiles": {"chunk": 10, "chunks": 3},
            "axes": {
                "energy": {"min": "0.5 TeV", "max": "20 TeV", "nbins": 4},
                "energy_true": {"min": "0.2 TeV", "max": "40 TeV", "nbins": 6},
            },
        },
        "safe_mask": {"methods": ["offset-max"], "parameters": {"offset_max": "2 deg"}},
        "background": {"method": "fov_background", "parameters": {"method": "fit"}},
    },
    "excess_map": {"correlation_radius": "0.2 deg", "index": 2.3},
}


def slurm(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def jobs():
    return slurm("squeue", "--noheader", "--format=%i", "--name=survey", "--states=PENDING,RUNNING")


@pytest.fixture(scope="module", autouse=True)
def partition():
    if shutil.which("sinfo") is None or "local*" not in slurm("sinfo", "--noheader", "--format=%P"):
        pytest.skip("no SLURM with a partition `local`; tests/slurm/start_slurm.sh starts one")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    source = SyntheticSource(ra=83.63, dec=-22.01, amplitude=3.5e-7, index=2.3)
    folder = tmp_path_factory.mktemp("store") / "small"
    return make_store(folder, n_observations=12, sources=[source], livetime=600.0, seed=3)


def configured(store, outdir, **cluster):
    return {
        "general": {"outdir": str(outdir)},
        "observations": {"datastore": str(store)},
        **copy.deepcopy(SETTINGS),
        "cluster": {**cluster, "options": {"log_directory": str(Path(outdir).parent / "logs")}}
        if cluster
        else {"kind": "none"},
    }


def digest(outdir):
    files = sorted(path for path in (Path(outdir) / "cube.zarr").rglob("*") if path.is_file())
    return {str(path.relative_to(outdir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def expected(store, tmp_path_factory):
    outdir = tmp_path_factory.mktemp("alone") / "out"
    survey.run(configured(store, outdir), listeners=[])
    return digest(outdir)


def test_a_survey_gives_the_same_bytes_and_a_lost_job_is_replaced(store, tmp_path, expected):
    cancelled, seen = [], set()

    def cancel(event):
        seen.update(jobs())
        if not cancelled and isinstance(event, UnitEnded):
            cancelled.append(jobs()[0])
            subprocess.run(["scancel", "--signal=KILL", "--full", cancelled[0]], check=True)

    survey.run(configured(store, tmp_path / "out", **CLUSTER), listeners=[cancel])
    assert digest(tmp_path / "out") == expected
    assert len(cancelled) == 1
    assert seen
    wait_for_no_jobs()


def test_jobs_that_are_lost_are_replaced():
    from cluster.config import ClusterConfig
    from cluster.engines.base import open_engine

    with open_engine(ClusterConfig(**{**CLUSTER, "options": {"log_directory": "/tmp"}})) as engine:
        engine.client().wait_for_workers(2, timeout=120)
        first = set(jobs())
        subprocess.run(["scancel", sorted(first)[0]], check=True)
        limit = time.monotonic() + 90
        while len(set(jobs()) - first) < 1 and time.monotonic() < limit:
            time.sleep(0.5)
        assert len(set(jobs()) - first) >= 1
        engine.client().wait_for_workers(2, timeout=120)
    wait_for_no_jobs()


def test_the_driver_lives_in_an_allocation_and_its_workers_in_jobs_of_their_own(store, tmp_path, expected):
    settings = configured(store, tmp_path / "out", **{**CLUSTER, "workers": 1})
    (tmp_path / "survey.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "survey.cli", "run", "survey.yaml"]
    driver = ["srun", "--partition=local", "--ntasks=1", "--cpus-per-task=1", "--mem=1500M", *command]
    done = subprocess.run(driver, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digest(tmp_path / "out") == expected
    wait_for_no_jobs()


def test_a_whole_run_in_one_allocation(store, tmp_path, expected):
    """Scheduler, workers and driver are steps of one job: `cluster.kind: existing`."""
    settings = configured(store, tmp_path / "out", kind="existing", scheduler_file="scheduler.json")
    settings["cluster"].pop("options")
    (tmp_path / "survey.yaml").write_text(yaml.safe_dump(settings))
    python = sys.executable
    (tmp_path / "job.sh").write_text(
        "#!/bin/bash\n"
        "#SBATCH --partition=local --ntasks=1 --cpus-per-task=2 --mem=4000M\n"
        f"cd {tmp_path}\n"
        f"{python} -m distributed.cli.dask_scheduler --scheduler-file scheduler.json --host 127.0.0.1 --no-dashboard &\n"
        "scheduler=$!\n"
        "while [ ! -s scheduler.json ]; do sleep 0.2; done\n"
        f"srun --overlap --ntasks=1 {python} -m distributed.cli.dask_worker --scheduler-file scheduler.json"
        " --host 127.0.0.1 --nworkers 2 --nthreads 1 --memory-limit 1500MB --no-dashboard &\n"
        f"{python} -m survey.cli run survey.yaml\n"
        "echo $? > status\n"
        "kill $scheduler\n"
        "wait\n"
    )
    done = subprocess.run(
        ["sbatch", "--wait", "--output=job.log", "job.sh"], cwd=tmp_path, capture_output=True, text=True, timeout=500
    )
    log = (tmp_path / "job.log").read_text()
    assert (tmp_path / "status").read_text().strip() == "0", log + done.stderr
    assert digest(tmp_path / "out") == expected


def wait_for_no_jobs():
    limit = time.monotonic() + 60
    while jobs() and time.monotonic() < limit:
        time.sleep(0.5)
    assert jobs() == []
