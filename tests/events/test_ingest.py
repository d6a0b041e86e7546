"""An ingest is restartable, its bytes depend on the observations alone, and FITS and archive give the same observations."""

import hashlib
import shutil
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from survey.events import ingest as ingest_module
from survey.events.archive import open_archive
from survey.events.archive_format import Layout
from survey.events.datastore import open_datastore
from survey.events.gadf_writer import write_store
from survey.events.ingest import IngestError, ingest
from survey.events.synthetic import SyntheticSource, make_observation, make_observations
from survey.events.synthetic_response import SyntheticInstrument
from survey.refusal import Refusal

SOURCES = (SyntheticSource(83.63, -22.01),)
LAYOUT = Layout(event_chunk=128, event_shard_chunks=2, stack_shard=1)


class Tally:
    """Listener that counts how units ended."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __call__(self, event) -> None:
        outcome = getattr(event, "outcome", None)
        if outcome is not None and outcome.fresh:
            self.ran.append(event.slot)


def run(store, out, **options):
    tally = Tally()
    options = {"kind": "none", "workers": 1, "layout": LAYOUT, **options}
    report = ingest(store, out, listeners=[tally], **options)
    return report, tally.ran


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def assert_same(one, two):
    assert list(one.events) == list(two.events)
    for name, values in one.events.items():
        assert values.dtype == two.events[name].dtype
        assert np.array_equal(values, two.events[name])
    assert {k: t.content_hash for k, t in one.responses.items()} == {
        k: t.content_hash for k, t in two.responses.items()
    }
    for name in ("identity", "obs_id", "reference", "ontime", "livetime", "zenith", "metadata", "notes"):
        assert getattr(one, name) == getattr(two, name), name
    assert one.gti_start.tobytes() == two.gti_start.tobytes()
    assert one.gti_stop.tobytes() == two.gti_stop.tobytes()
    assert (one.pointing.mode, one.pointing.ra, one.pointing.dec) == (
        two.pointing.mode,
        two.pointing.ra,
        two.pointing.dec,
    )
    assert one.location == two.location


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores") / "synth"
    observations = make_observations(3, livetime=400.0, sources=SOURCES)
    odd = SyntheticInstrument(bkg_form="bkg_2d", psf_form="psf_3gauss", lo_thres=0.3)
    observations.append(make_observation(10, 83.0, -22.0, pointing="altaz", extra_columns=True, livetime=300.0))
    observations.append(make_observation(20, 83.0, -22.0, pointing="table", instrument=odd, n_events=0))
    return write_store(root, observations)


@pytest.fixture(scope="module")
def archive(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("archives") / "synth.zarr"
    report, _ = run(store, out)
    assert (report.n_observations, report.set_aside) == (5, ())
    return out


def test_archive_and_fits_give_the_same_observations(store, archive):
    fits, other = open_datastore(store), open_datastore(archive)
    assert [s.identity for s in fits.sources] == [s.identity for s in other.sources]
    assert fits.name == other.name
    assert fits.table.colnames == other.table.colnames
    assert [list(row) for row in fits.table] == [list(row) for row in other.table]
    for one, two in zip(fits.sources, other.sources, strict=True):
        assert one.kinds == two.kinds
        assert dict(one.record) == dict(two.record)
        assert_same(one.load(), two.load())


def test_a_rerun_does_nothing(store, archive):
    before = digest(archive)
    report, ran = run(store, archive)
    assert ran == []
    assert not report.written
    assert str(report).startswith("nothing to do")
    assert digest(archive) == before


def test_workers_change_no_byte(store, archive, tmp_path):
    run(store, tmp_path / "other.zarr", kind="local", workers=2)
    assert digest(tmp_path / "other.zarr") == digest(archive)


def test_listing_order_changes_no_byte(store, archive, tmp_path, monkeypatch):
    original = ingest_module.open_datastore

    def shuffled(*args, **options):
        found = original(*args, **options)
        return type(found)(found.name, found.sources[::-1], found.table[::-1], found.problems)

    monkeypatch.setattr(ingest_module, "open_datastore", shuffled)
    run(store, tmp_path / "other.zarr")
    assert digest(tmp_path / "other.zarr") == digest(archive)


def test_an_interrupted_ingest_takes_up_where_it_ended(store, archive, tmp_path, monkeypatch):
    out = tmp_path / "cut.zarr"
    calls = []

    def failing(url, **arguments):
        calls.append(arguments["shard"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(url, **arguments)

    original = ingest_module.write_events
    monkeypatch.setattr(ingest_module, "write_events", failing)
    with pytest.raises(KeyboardInterrupt):
        run(store, out)
    with pytest.raises(Refusal, match="not complete"):
        open_archive(out)
    monkeypatch.setattr(ingest_module, "write_events", original)
    _, ran = run(store, out)
    assert not any(slot.startswith("count/") for slot in ran)
    assert f"events/{calls[0]:06d}" not in ran
    assert f"events/{calls[1]:06d}" in ran
    assert digest(out) == digest(archive)


def test_a_failed_shard_is_named_and_tried_again(store, tmp_path, monkeypatch):
    def failing(url, **arguments):
        raise RuntimeError("no luck")

    monkeypatch.setattr(ingest_module, "write_stack", failing)
    with pytest.raises(IngestError, match=r"not complete, run it again: .* shards failed\nresponses/aeff-"):
        run(store, tmp_path / "bad.zarr")
    monkeypatch.undo()
    report, _ = run(store, tmp_path / "bad.zarr")
    assert report.written


def test_one_more_observation_counts_only_itself(store, tmp_path):
    root = tmp_path / "synth"
    out = tmp_path / "grow.zarr"
    observations = make_observations(3, livetime=100.0)
    write_store(root, observations[:2])
    run(root, out)
    for path in (root / "data").iterdir():
        shutil.copy2(path, tmp_path / path.name)
    write_store(root, observations)
    for path in tmp_path.glob("*.fits"):
        shutil.copy2(path, root / "data" / path.name)
    _, ran = run(root, out)
    assert [slot for slot in ran if slot.startswith("count/")] == ["count/synth-3"]
    run(root, tmp_path / "fresh.zarr")
    assert digest(out) == digest(tmp_path / "fresh.zarr")


def test_an_archive_that_is_gone_is_written_again(store, archive, tmp_path):
    out = tmp_path / "gone.zarr"
    run(store, out)
    shutil.rmtree(out)
    run(store, out)
    assert digest(out) == digest(archive)


def test_corrupt_observations_are_set_aside_with_their_reason(store, archive, tmp_path):
    root = tmp_path / "synth"
    shutil.copytree(store, root)
    victim = root / "data" / "obs_000002.fits"
    victim.write_bytes(victim.read_bytes()[:20000])
    report, _ = run(root, tmp_path / "a.zarr")
    assert report.n_observations == 4
    ((identity, reason),) = report.set_aside
    assert identity == "synth-2"
    assert "OBS_ID 2" in reason
    assert "set aside synth-2: OBS_ID 2" in str(report)
    opened = open_archive(tmp_path / "a.zarr")
    assert [source.obs_id for source in opened.sources] == [1, 3, 10, 20]
    assert opened.table["OBS_ID"].tolist() == [1, 3, 10, 20]
    (problem,) = opened.problems
    assert (problem.severity, problem.obs_id, problem.message) == ("error", 2, reason)
    good = open_archive(archive).sources[2].load()
    assert_same(good, opened.sources[1].load())


def test_nothing_readable_is_refused(tmp_path):
    root = write_store(tmp_path / "synth", make_observations(1, livetime=10.0))
    victim = root / "data" / "obs_000001.fits"
    victim.write_bytes(victim.read_bytes()[:5000])
    with pytest.raises(Refusal, match="no observation can be read\nsynth-1: OBS_ID 1"):
        run(root, tmp_path / "a.zarr")


def test_foreign_output_is_refused(store, archive, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("dear")
    with pytest.raises(Refusal, match="is there and is no archive"):
        run(store, tmp_path / "folder")
    other = write_store(tmp_path / "other", make_observations(1, livetime=10.0))
    out = tmp_path / "a.zarr"
    shutil.copytree(archive, out)
    with pytest.raises(Refusal, match="is the archive of synth, this would be that of other"):
        run(other, out)
    run(other, out, overwrite=True)
    assert open_archive(out).name == "other"


def test_an_archive_of_an_archive_is_the_same(archive, tmp_path):
    run(archive, tmp_path / "copy.zarr")
    assert digest(tmp_path / "copy.zarr") == digest(archive)


def test_an_archive_in_memory(store):
    report, _ = run(store, "memory://test_ingest/a.zarr")
    assert report.n_observations == 5
    opened = open_datastore("memory://test_ingest/a.zarr")
    for one, two in zip(open_datastore(store).sources, opened.sources, strict=True):
        assert_same(one.load(), two.load())


@pytest.mark.data
def test_hess_runs_come_back_and_faster(survey_data, tmp_path):
    root = survey_data / "hess-dl3-dr1"
    files = sorted((root / "data").glob("*.fits.gz"))[:5]
    run([str(path) for path in files], tmp_path / "hess.zarr", layout=Layout())
    fits = open_datastore([str(path) for path in files])
    other = open_archive(tmp_path / "hess.zarr")
    for one, two in zip(fits.sources, other.sources, strict=True):
        assert_same(one.load(), two.load())
    seconds = {"fits": [], "archive": []}
    for _ in range(5):
        for name, sources in (("fits", fits.sources), ("archive", other.sources)):
            for source in sources:
                begun = time.process_time()
                source.load()
                seconds[name].append(time.process_time() - begun)
    assert median(seconds["archive"]) < 0.5 * median(seconds["fits"])
