"""`survey simulate`: a data store that our reader takes without a word, the same bytes for any workers, made once."""

from __future__ import annotations

import copy
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits
from typer.testing import CliRunner

import survey
from cluster.events import UnitEnded
from survey import cli
from survey.config import load_config
from survey.events.datastore import check_datastore, open_datastore
from survey.models import Gaussian, Point, PowerLaw
from survey.models.collection import Models
from survey.models.components import SkyModel
from survey.refusal import Refusal
from survey.simulation.sky_index import SkyIndex
from survey.simulation.stages import make_observation
from survey.simulation_plan import make_simulation_plan

FIELD = {"frame": "icrs", "lon": "83.63 deg", "lat": "-22 deg"}
SETTINGS: dict[str, Any] = {
    "observations": {"datastore": "nowhere"},
    "datasets": {"geom": {"wcs": {"skydir": FIELD}}},
    "simulation": {
        "pointings": [
            {"pattern": "wobble", **FIELD, "runs": 3, "name": "crab-like"},
            {"pattern": "drift", "alt": "75 deg", "az": "10 deg"},
        ],
        "ontime": "5 min",
        "seed": 7,
        "responses": {"array": {"alignment": "altaz"}},
    },
    "cluster": {"kind": "none"},
}
SKY = Models(
    [
        SkyModel("Schattenquelle", PowerLaw(index=2.2, amplitude=3e-7), Point(lon_0=83.63, lat_0=-22.0, frame="icrs")),
        SkyModel(
            "wide", PowerLaw(index=2.5, amplitude=3e-7), Gaussian(lon_0=83.0, lat_0=-22.5, sigma=0.2, frame="icrs")
        ),
    ]
)


def configured(folder: Path, **changes: Any) -> Path:
    settings = copy.deepcopy(SETTINGS)
    (folder / "sky.yaml").write_text(SKY.to_yaml())
    settings["simulation"] |= {"sky": {"models": "sky.yaml"}, **changes}
    path = folder / "survey.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def digests(root: Path) -> dict[str, str]:
    """Every file that users see."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".survey" not in path.parts
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    report = survey.simulate(configured(folder), folder / "store", listeners=[])
    assert report.n_observations == 4
    assert report.written
    assert set(report.events) == {"background", "Schattenquelle", "wide"}
    assert min(report.events.values()) > 10
    return folder / "store"


def test_our_reader_finds_nothing_odd(made: Path) -> None:
    store = open_datastore(made)
    assert [source.obs_id for source in store.sources] == [1, 2, 3, 4]
    assert check_datastore(store) == ()


def test_what_is_read_is_what_was_drawn(made: Path) -> None:
    plan = make_simulation_plan(load_config(made.parent / "survey.yaml", to_run=False))
    for source, run in zip(open_datastore(made).sources, plan.runs, strict=True):
        read = source.load()
        drawn = make_observation(
            run,
            site=plan.site,
            responses=plan.responses,
            sky=SkyIndex(tuple(plan.models.values())),
            rng=np.random.default_rng([7, run.obs_id]),
        )
        for name, column in drawn.events.items():
            np.testing.assert_array_equal(read.events[name], column)
        assert read.livetime == pytest.approx(run.livetime, rel=1e-12)
        assert read.zenith == pytest.approx(run.zenith, abs=1e-9)
        assert read.pointing.mode == run.mode
        assert read.pointing.ra == pytest.approx(run.ra, abs=1e-5)
        assert read.metadata["OBJECT"] == run.target
        for kind, table in drawn.responses.items():
            for name, values in table.values.items():
                np.testing.assert_array_equal(read.responses[kind].values[name], values)


def test_each_distinct_response_is_written_once(made: Path) -> None:
    store = open_datastore(made)
    files = {location.file for source in store.sources for location in source.hdus if location.hdu_type == "aeff"}
    assert files == {f"responses/{path.name}" for path in (made / "responses").iterdir()}
    assert len(files) < 4


def test_events_name_their_component(made: Path) -> None:
    read = open_datastore(made).sources[0].load(responses=())
    source = read.events["MC_ID"] == 1
    away = np.hypot((read.events["RA"] - 83.63) * np.cos(np.radians(22.0)), read.events["DEC"] + 22.0)
    assert np.median(away[source]) < 0.1
    assert np.median(away[read.events["MC_ID"] == 0]) > 0.5
    assert Models.read(made / "models.yaml") == Models.read(made.parent / "sky.yaml")


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bytes(made: Path, tmp_path: Path, workers: int) -> None:
    survey.simulate(
        configured(tmp_path),
        tmp_path / "store",
        overrides=["cluster.kind=local", f"cluster.workers={workers}"],
        listeners=[],
    )
    assert digests(tmp_path / "store") == digests(made)


def test_a_rerun_does_nothing(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*.fits*")}
    report = survey.simulate(made.parent / "survey.yaml", made, listeners=[])
    assert not report.written
    assert report.n_observations == 4
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*.fits*")} == before


def test_a_rerun_makes_what_is_missing_and_drops_what_is_not_wanted(made: Path, tmp_path: Path) -> None:
    config = configured(tmp_path)
    store = tmp_path / "store"
    survey.simulate(config, store, listeners=[])
    (store / "events" / "obs_000002.fits").unlink()
    survey.simulate(config, store, listeners=[])
    assert digests(store) == digests(made)
    survey.simulate(config, store, overrides=["simulation.pointings.0.runs=1"], listeners=[])
    assert sorted(path.name for path in (store / "events").iterdir()) == ["obs_000001.fits", "obs_000002.fits"]
    assert len(open_datastore(store).sources) == 2
    survey.simulate(config, store, listeners=[])
    assert digests(store) == digests(made)


def test_another_seed_gives_other_events(made: Path, tmp_path: Path) -> None:
    survey.simulate(configured(tmp_path, seed=8), tmp_path / "store", listeners=[])
    mine, theirs = digests(tmp_path / "store"), digests(made)
    assert {name for name in mine if mine[name] == theirs[name]} >= {"models.yaml", "README.txt", "hdu-index.fits.gz"}
    assert mine["events/obs_000001.fits"] != theirs["events/obs_000001.fits"]


def test_an_archive_has_the_events_of_the_store(made: Path, tmp_path: Path) -> None:
    config = configured(tmp_path)
    report = survey.simulate(config, tmp_path / "store.zarr", listeners=[])
    assert report.written
    archive, store = open_datastore(tmp_path / "store.zarr"), open_datastore(made)
    assert [source.identity for source in archive.sources] == [source.identity for source in store.sources]
    for one, other in zip(archive.sources, store.sources, strict=True):
        kept, read = one.load(), other.load()
        for name, column in read.events.items():
            np.testing.assert_array_equal(kept.events[name], column)
    again = survey.simulate(config, tmp_path / "store.zarr", listeners=[])
    assert not again.written
    assert again.events == report.events


@pytest.mark.parametrize("out", ["", "/", " "])
def test_a_place_that_is_none_is_refused(out, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"expected a folder or an archive, OUT\.zarr"):
        survey.simulate(configured(tmp_path), out, listeners=[])


def test_foreign_files_are_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("mine")
    with pytest.raises(Refusal, match=r"found files that are not of a simulation \(thesis.tex\)"):
        survey.simulate(configured(tmp_path), tmp_path / "store", listeners=[])
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["thesis.tex"]


def test_the_command_says_what_it_made_and_refuses_with_status_2(made: Path, tmp_path: Path) -> None:
    call = CliRunner().invoke(cli.app, ["simulate", str(made.parent / "survey.yaml"), str(made)])
    assert call.exit_code == 0
    assert call.stdout.startswith(f"nothing to do: {made}: 4 observations, ")
    path = configured(tmp_path)
    settings = yaml.safe_load(path.read_text())
    del settings["simulation"]
    path.write_text(yaml.safe_dump(settings))
    call = CliRunner().invoke(cli.app, ["simulate", str(path), str(tmp_path / "out")])
    assert call.exit_code == 2
    assert "has no section simulation" in call.stderr
    call = CliRunner().invoke(cli.app, ["simulate", str(configured(tmp_path, sky={"models": "no.yaml"})), "out"])
    assert call.exit_code == 2
    assert call.stderr.startswith("refused: survey.yaml: simulation.sky.models: found ")


def test_responses_of_a_file_serve_every_run(made: Path, tmp_path: Path) -> None:
    path = next((made / "responses").iterdir())
    config = configured(tmp_path, responses={"path": str(path)})
    survey.simulate(config, tmp_path / "store", listeners=[])
    assert len(list((tmp_path / "store" / "responses").iterdir())) == 1
    assert check_datastore(open_datastore(tmp_path / "store")) == ()


def test_responses_with_doubtful_numbers_serve_an_archive_too(made: Path, tmp_path: Path) -> None:
    """As those that are public: dispersions whose rows are off 1, which reading normalises."""
    with fits.open(next((made / "responses").iterdir())) as hdus:
        hdus["EDISP"].data["MATRIX"] *= 0.98
        hdus.writeto(tmp_path / "responses.fits")
    config = configured(tmp_path, responses={"path": str(tmp_path / "responses.fits")})
    report = survey.simulate(config, tmp_path / "store.zarr", listeners=[])
    assert report.n_observations == len(open_datastore(tmp_path / "store.zarr").sources) == 4


def test_a_template_that_changed_is_simulated_anew(tmp_path: Path) -> None:
    header = fits.Header(
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 83.63, "CRVAL2": -22.0, "BUNIT": "sr-1"}
    )
    header.update({"CRPIX1": 10.5, "CRPIX2": 10.5, "CDELT1": -0.05, "CDELT2": 0.05, "CUNIT1": "deg", "CUNIT2": "deg"})
    image = np.ones((20, 20), np.float32)
    fits.PrimaryHDU(image, header=header).writeto(tmp_path / "image.fits")
    config = configured(tmp_path)
    (tmp_path / "sky.yaml").write_text(
        "components:\n- name: map\n  type: SkyModel\n  spectral: {type: PowerLawSpectralModel}\n"
        "  spatial: {type: TemplateSpatialModel, filename: image.fits}\n"
    )
    survey.simulate(config, tmp_path / "store", listeners=[])
    before = digests(tmp_path / "store")
    assert not survey.simulate(config, tmp_path / "store", listeners=[]).written
    image[:, :10] = 0.0
    fits.PrimaryHDU(image, header=header).writeto(tmp_path / "image.fits", overwrite=True)
    survey.simulate(config, tmp_path / "store", listeners=[])
    after = digests(tmp_path / "store")
    assert {name for name in after if after[name] != before[name]} >= {f"events/obs_{n:06d}.fits" for n in (1, 2, 3)}


def test_a_store_made_again_with_other_settings_says_what_changed(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, config = shutil.copytree(made, tmp_path / "store"), made.parent / "survey.yaml"
    with caplog.at_level("INFO", logger="survey"):
        assert not survey.simulate(config, store, listeners=[]).written
    assert "changed" not in caplog.text
    with caplog.at_level("INFO", logger="survey"):
        assert survey.simulate(config, store, overrides=["simulation.seed=8"], listeners=[]).written
    assert "simulation.seed: 7 -> 8" in caplog.text


def test_a_store_made_again_and_stopped_holds_no_events_of_before(made: Path, tmp_path: Path) -> None:
    store, config = shutil.copytree(made, tmp_path / "store"), made.parent / "survey.yaml"
    before = digests(store)

    def stop(event: Any) -> None:
        if isinstance(event, UnitEnded):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey.simulate(config, store, overrides=["simulation.seed=8"], listeners=[stop])
    stopped = digests(store)
    assert not any(before[name] == stopped[name] for name in stopped if name.startswith("events/"))
    assert not {"obs-index.fits.gz", "hdu-index.fits.gz"} & stopped.keys()
    survey.simulate(config, store, listeners=[])
    assert digests(store) == before


def test_a_run_over_a_survey_without_an_event_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = copy.deepcopy(SETTINGS)
    settings["general"], settings["observations"] = (
        {"outdir": str(tmp_path / "out")},
        {"datastore": str(tmp_path / "store")},
    )
    settings["datasets"]["geom"]["wcs"] |= {"binsize": "0.1 deg", "width": {"width": "2 deg", "height": "2 deg"}}
    settings["simulation"] |= {"background": False, "pointings": SETTINGS["simulation"]["pointings"][:1]}
    assert survey.simulate(settings, tmp_path / "store", listeners=[]).n_events == 0
    with caplog.at_level("WARNING", logger="survey"):
        survey.run(settings, listeners=[])
    assert "no event is in the cube: the observations hold none" in caplog.text


def test_a_section_simulation_is_all_that_a_simulation_needs(tmp_path: Path) -> None:
    only = {"simulation": {**SETTINGS["simulation"], "pointings": SETTINGS["simulation"]["pointings"][1:]}}
    made = survey.simulate({**only, "cluster": {"kind": "none"}}, tmp_path / "store", listeners=[])
    assert made.n_observations == 1
    settings = load_config({**only, "observations": {"datastore": made.store}}, to_run=False)
    with pytest.raises(Refusal, match=r"^datasets\.geom\.wcs\.skydir: missing"):
        survey.run(settings, listeners=[])
