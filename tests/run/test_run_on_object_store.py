"""Archive, cube and products on an object store: the bytes of a run on a disk, also after its driver was killed."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from test_models_run import SKY
from typer.testing import CliRunner

import survey
from cluster.workspace import Workspace
from survey import cli
from survey.events.ingest import ingest
from survey.store import urls

s3fs = pytest.importorskip("s3fs")
pytestmark = [pytest.mark.s3, pytest.mark.timeout(900)]

OF_THE_RUN = {"run.json", "run.html"}
"""Products that speak of the run itself, of times and places."""


def client():
    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


def products(url):
    """Hash of every product below a URL, by its relative path."""
    files = client()
    root = url.removeprefix("s3://")
    names = {path.removeprefix(f"{root}/"): path for path in files.find(root)}
    kept = {name: path for name, path in names.items() if not name.startswith(".survey/") and name not in OF_THE_RUN}
    found = files.cat(list(kept.values()))
    return {name: hashlib.sha256(found[path]).hexdigest() for name, path in kept.items()}


def command(*arguments):
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def place(object_store):
    """A bucket for all tests here: they follow one run from its archive to its end."""
    s3fs.S3FileSystem().mkdir("survey-run")
    return "s3://survey-run"


@pytest.fixture(scope="module")
def archive(place, store):
    report = ingest(store, f"{place}/small.zarr", kind="none", listeners=[])
    assert (report.n_observations, report.written) == (6, True)
    return report.archive


@pytest.fixture(scope="module")
def config(archive, place, configure, tmp_path_factory):
    """File of a run whose data and products are on the object store."""
    path = tmp_path_factory.mktemp("config") / "survey.yaml"
    path.write_text(yaml.safe_dump(configure(archive, f"{place}/out")))
    return path


@pytest.fixture(scope="module")
def killed(config, place, tmp_path_factory):
    """When each unit was started that was done before the driver, with two workers, was killed."""
    work = Workspace(f"{place}/out/.survey")
    told = tmp_path_factory.mktemp("killed") / "told.txt"
    with told.open("w") as stream:
        driver = subprocess.Popen(
            [sys.executable, "-m", "survey.cli", "run", config, "--set", "cluster={kind: local, workers: 2}"],
            stdout=stream,
            stderr=stream,
        )
    try:
        limit = time.monotonic() + 200
        while len(work.markers()) < 8 and time.monotonic() < limit:
            assert driver.poll() is None, told.read_text()
            time.sleep(0.05)
        driver.send_signal(signal.SIGSTOP)  # it is there, and does not come to its end meanwhile
        second = command("run", config)
        workers = psutil.Process(driver.pid).children(recursive=True)
    finally:
        driver.kill()
        driver.wait()
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    assert second.exit_code == 2
    assert f"another run works here (process {driver.pid} on " in second.stderr
    return {slot: outcome.started for slot, outcome in work.markers().items()}


@pytest.fixture(scope="module")
def resumed(killed, config, place, finished):
    """The same run, taken up in this process."""
    assert work_lock(place) is not None
    return survey.run(config, listeners=[])


def work_lock(place):
    return Workspace(f"{place}/out/.survey").folder.read("lock.json")


def test_an_archive_is_the_same_bytes_as_on_a_disk(archive, store, tmp_path, digest):
    here = tmp_path / "small.zarr"
    ingest(store, here, kind="none", listeners=[])
    assert products(archive) == digest(here)
    again = command("ingest", store, archive, "--kind", "none")
    assert again.exit_code == 0
    assert f"nothing to do: {archive}" in again.stdout


def test_a_killed_driver_is_resumed_and_done_work_is_kept(killed, resumed, place):
    after = {slot: outcome.started for slot, outcome in Workspace(f"{place}/out/.survey").markers().items()}
    assert 8 <= len(killed) < len(after)
    assert {slot: after[slot] for slot in killed} == killed
    assert resumed.exit_status == 0
    done = sum(stage["done"] for stage in resumed.record["timings"]["stages"].values())
    assert done == len(after) - len(killed)
    assert work_lock(place) is None


def test_all_products_are_the_same_bytes_as_on_a_disk(resumed, finished, digest):
    here = {
        name: value
        for name, value in digest(finished).items()
        if not name.startswith(".survey/") and name not in OF_THE_RUN
    }
    found = products(resumed.outdir)
    assert {name.rpartition(".")[2] for name in found} >= {"fits", "png", "json", "ecsv"}
    assert found == here


def test_a_second_run_finds_everything_done(resumed, config):
    before = products(resumed.outdir)
    result = command("run", config)
    assert result.exit_code == 0, result.stderr
    again = survey.open(resumed.outdir)
    stages = again.record["timings"]["stages"].values()
    assert sum(stage["done"] for stage in stages) == 0
    assert sum(stage["skipped"] for stage in stages) > 20
    assert products(resumed.outdir) == before


def test_commands_read_a_run_there(resumed):
    shown = command("status", resumed.outdir)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[-1] == "complete"
    found = command("peaks", resumed.outdir)
    assert found.exit_code == 0
    assert len(found.stdout.splitlines()) >= 2
    page = urls.read_bytes(resumed.layout.page).decode()
    assert "run.json" in page
    assert json.loads(urls.read_bytes(resumed.layout.record))["observations"]["used"] == 6
    written = command("export", resumed.outdir)
    assert written.stdout == f"wrote {resumed.layout.dataset}\n"
    assert urls.read_bytes(resumed.layout.dataset).startswith(b"SIMPLE  =")


def test_models_are_predicted_there_as_on_a_disk(resumed, config, run, settings, tmp_path, digest, no_pictures):
    path = tmp_path / "sky.yaml"
    path.write_text(SKY)
    there = survey.run(config, models=str(path), listeners=[])
    here = survey.run(settings, models=str(path), listeners=[])
    assert there.record["predicted_counts"] == here.record["predicted_counts"]
    assert products(there.layout.npred) == digest(here.layout.npred)
    assert there.layout.npred in {f"{there.outdir}/{name}" for name in urls.listdir(there.outdir)}
    again = survey.run(config, listeners=[])
    assert not urls.exists(again.layout.npred)


def test_files_of_a_data_store_there_are_refused_with_the_way_to_an_archive(place, config, store):
    client().put_file(next(Path(store).rglob("hdu-index.fits.gz")), f"{place}/gadf/hdu-index.fits.gz")
    result = command("run", config, "--set", f"observations.datastore={place}/gadf")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert (
        f"{place}/gadf: found FITS files on an object store, where only archives are read; copy them to a disk" in line
    )


def test_a_bucket_that_is_not_there_is_refused_in_one_line(config):
    for key in ("general.outdir", "observations.datastore"):
        result = command("run", config, "--set", f"{key}=s3://no-such/thing")
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("refused: s3://no-such/thing: there is no bucket no-such at http://127.0.0.1:")


def test_a_mask_that_is_not_there_and_a_log_that_cannot_be_are_refused_in_one_line(place, config):
    for override, told in {
        f"datasets.background.exclusion={place}/no-mask.fits": f"there is no file {place}/no-mask.fits",
        f"general.log.filename={place}/log": "expected a file on this machine",
    }.items():
        result = command("plan", config, "--set", override)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert told in line


def test_parts_of_an_upload_that_was_killed_are_swept(place):
    files = client()
    uploads = {}
    for name in ("cube.zarr/counts", "dataset.fits", "foreign.bin"):
        begun = files.call_s3("create_multipart_upload", Bucket="survey-run", Key=f"swept/{name}")
        part = {"Bucket": "survey-run", "Key": f"swept/{name}", "UploadId": begun["UploadId"]}
        files.call_s3("upload_part", **part, PartNumber=1, Body=b"half")
        uploads[name] = part
    assert urls.listdir(f"{place}/swept") == []
    urls.sweep(f"{place}/swept", {"cube.zarr", "dataset.fits"})
    left = files.call_s3("list_multipart_uploads", Bucket="survey-run").get("Uploads", [])
    assert [upload["Key"] for upload in left] == ["swept/foreign.bin"]
