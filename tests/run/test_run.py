"""The whole run: events are conserved, bytes do not depend on how it was run, and reruns do what is missing."""

import copy
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import survey
from cluster import Outcome, Outcomes
from survey.config import load_config
from survey.events.ingest import ingest
from survey.outputs import OWN_PICTURE, remove_old_pictures
from survey.peaks_table import peaks_table
from survey.pipeline import units_of
from survey.refusal import Refusal
from survey.survey_plan import make_plan


def quiet(settings, **options):
    return survey.run(settings, listeners=[], **options)


def ran(run):
    """Units that this run computed, by stage."""
    return {name: stage["done"] for name, stage in run.record["timings"]["stages"].items() if stage["done"]}


def test_events_are_conserved(run):
    ledger = run.record["ledger"]
    lines = (
        "set_aside",
        "outside_gti_dropped",
        "outside_energy",
        "outside_grid",
        "offset_cut",
        "safe_range",
        "in_cube",
    )
    assert ledger["read"] == sum(ledger[line] for line in lines) > 0
    assert int(run.cube["counts"].sum()) == ledger["in_cube"] == run.observations["in_cube"].sum()
    assert run.exit_status == 0


def test_products_are_there_and_lazy(run, settings):
    cube = run.cube
    assert cube.attrs["status"] == "complete"
    assert cube.sizes["energy"] == 4
    assert cube.sizes["energy_true"] == 6
    assert set(run.observations.colnames) >= {"identity", "livetime", "norm", "norm_err", "flag", "status", "reason"}
    pull = (run.observations["norm"] - 1.0) / run.observations["norm_err"]
    assert np.abs(pull).max() < 4.0
    names = {path.name for path in (Path(run.outdir) / "maps").iterdir()}
    assert {"counts.png", "counts.fits", "background.png", "exposure.png", "excess_sqrt_ts.fits"} <= names
    assert "excess_significance_histogram_band0.png" in names


def test_images_hold_what_cube_and_maps_hold(run):
    cube, folder = run.cube, Path(run.outdir) / "maps"
    energies = np.log(cube["energy_true"].values)
    expected = {
        "counts": cube["counts"].sum("energy").values,
        "background": cube["background"].sum("energy").values,
        "exposure": cube["exposure"][np.abs(energies - (energies[0] + energies[-1]) / 2).argmin()].values,
    }
    excess = run.maps["excess"]
    pixels = [name for name in excess.data_vars if excess[name].dims[-2:] == ("y", "x")]
    expected |= {f"excess_{name}": excess[name].values for name in pixels}
    assert len(pixels) > 5
    for name, values in expected.items():
        with fits.open(folder / f"{name}.fits") as hdus:
            np.testing.assert_array_equal(hdus[0].data, values.astype(hdus[0].data.dtype), err_msg=name)


def test_units_of_pictures_wait_for_all_that_they_show(settings, monkeypatch):
    monkeypatch.undo()
    units = {unit.slot: set(unit.after) for unit in units_of(make_plan(load_config(settings)))}
    tiles = {slot for slot in units if slot.startswith("tiles/")}
    background = {slot for slot in units if slot.startswith("background-tiles/")}
    assert units["pictures/counts"] == tiles
    assert units["pictures/background"] == tiles | background


def test_workers_are_sent_plain_values(settings):
    """What units of a plan hold comes from no class of the plan, which workers would have to import."""
    for unit in units_of(make_plan(load_config(settings))):
        assert b"survey.survey_plan" not in pickle.dumps(unit.keywords())


def test_the_source_stands_out_and_the_rest_is_flat(run):
    significance = run.maps["excess"]["sqrt_ts"].isel(energy=0).values
    y, x = np.unravel_index(np.nanargmax(significance), significance.shape)
    assert abs(y - 24.5) <= 2
    assert abs(x - 29.5) <= 2


def test_peaks_of_a_run_are_named_after_the_models_near_them(run, tmp_path):
    table = run.peaks(threshold=8.0, separation=1.0)
    assert len(table) == 1
    place = table["position"][0].icrs
    models = tmp_path / "models.yaml"
    models.write_text(
        "components:\n- name: target\n  type: SkyModel\n  spectral: {type: PowerLawSpectralModel}\n"
        "  spatial: {type: PointSpatialModel, frame: icrs, parameters: "
        f"[{{name: lon_0, value: {place.ra.deg}, unit: deg}}, {{name: lat_0, value: {place.dec.deg}, unit: deg}}]}}\n"
    )
    title, line = peaks_table(run.outdir, threshold=8.0, separation=1.0, band=0, models=str(models)).splitlines()
    assert title.split() == ["l", "b", "sigma", "near"]
    assert line.endswith("  target")
    assert "nothing stands out" in peaks_table(run.outdir, threshold=1e4, separation=1.0, band=0)
    with pytest.raises(Refusal, match="found band 7, the map excess has 4: expected 0 to 3"):
        run.peaks(band=7)


def test_nothing_is_done_twice(run, settings):
    again = quiet(settings)
    assert ran(again) == {}


def test_a_changed_exclusion_redoes_the_background_alone(run, settings):
    changed = copy.deepcopy(settings)
    changed["datasets"]["background"]["exclusion"][0]["radius"] = "0.6 deg"
    stages = ran(quiet(changed))
    assert stages["background"] == 6
    assert {"observations", "tiles"}.isdisjoint(stages)


def test_configurations_a_b_a_give_the_bytes_of_a(run, settings, digest):
    first = digest(run.layout.cube)
    changed = copy.deepcopy(settings)
    changed["datasets"]["background"]["exclusion"][0]["radius"] = "0.6 deg"
    changed["datasets"]["safe_mask"]["parameters"]["offset_max"] = "1.5 deg"
    second = digest(quiet(changed).layout.cube)
    assert first != second
    assert digest(quiet(settings).layout.cube) == first


def test_fewer_observations_leave_nothing_behind(run, settings, tmp_path, digest):
    fewer = copy.deepcopy(settings)
    fewer["observations"]["obs_ids"] = [1, 2]
    after = digest(quiet(fewer).layout.cube)
    fewer["general"]["outdir"] = str(tmp_path / "fresh")
    assert digest(quiet(fewer).layout.cube) == after


def test_workers_batches_and_listing_order_change_no_byte(run, settings, tmp_path, digest):
    other = copy.deepcopy(settings)
    other["general"]["outdir"] = str(tmp_path / "two")
    other["observations"]["obs_ids"] = [6, 3, 1, 2, 5, 4]
    other["cluster"] = {"kind": "local", "workers": 2}
    assert digest(quiet(other).layout.cube) == digest(run.layout.cube)


def test_an_archive_gives_the_bytes_of_the_files(run, settings, store, tmp_path, digest):
    archive = tmp_path / "archive.zarr"
    ingest([str(store)], str(archive), workers=1)
    other = copy.deepcopy(settings)
    other["general"]["outdir"] = str(tmp_path / "from-archive")
    other["observations"]["datastore"] = str(archive)
    assert digest(quiet(other).layout.cube) == digest(run.layout.cube)


def test_a_corrupt_file_is_set_aside_and_the_run_goes_on(settings, store, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(store, broken)
    victim = sorted(broken.rglob("*.fits*"))[0]
    victim.write_bytes(victim.read_bytes()[:20000])
    settings["observations"]["datastore"] = str(broken)
    run = quiet(settings)
    assert run.exit_status == 3
    assert run.n_set_aside == 1
    row = run.observations[run.observations["status"] != "used"][0]
    assert victim.name in row["reason"]
    assert "set aside" in run.summary()


def test_foreign_files_are_refused(settings, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(Refusal, match=r"thesis\.tex"):
        quiet(settings)
    assert quiet(settings, overwrite=True).exit_status == 0
    assert (tmp_path / "out" / "thesis.tex").exists()


def test_another_grid_is_refused_unless_overwritten(run, settings):
    settings["datasets"]["geom"]["wcs"]["binsize"] = "0.2 deg"
    with pytest.raises(Refusal, match="--overwrite"):
        quiet(settings)
    assert quiet(settings, overwrite=True).exit_status == 0


def test_no_observation_selected_is_refused(settings):
    settings["observations"]["obs_ids"] = [999]
    with pytest.raises(Refusal, match="999"):
        quiet(settings)


def test_a_deleted_cube_is_made_again(run, settings, digest):
    before = digest(run.layout.cube)
    shutil.rmtree(run.layout.cube)
    assert digest(quiet(settings).layout.cube) == before


def test_a_grid_that_no_observation_looks_at_is_refused(settings):
    settings["datasets"]["geom"]["wcs"]["skydir"]["lat"] = "40 deg"
    with pytest.raises(Refusal, match="none of the 6 observations selected looks at the grid"):
        quiet(settings)


def test_energy_bands_without_a_bin_are_refused_at_once(settings):
    settings["excess_map"]["energy_edges"] = ["30 TeV", "100 TeV"]
    settings["ts_map"] = {"energy_bands": [["1 TeV", "1.01 TeV"], ["1 TeV", "20 TeV"]]}
    with pytest.raises(Refusal) as refused:
        quiet(settings)
    assert [line.split(" TeV has")[0] for line in refused.value.lines] == [
        "excess_map: energy band 30 to 100",
        "ts_map: energy band 1 to 1.01",
    ]
    assert not Path(settings["general"]["outdir"]).exists()


@pytest.fixture
def gap(settings, store, tmp_path):
    """Settings of a run on a store from which the files of observations 3 and 4 are gone."""
    folder = tmp_path / "gap"
    shutil.copytree(store, folder)
    for obs_id in (3, 4):
        next(folder.rglob(f"*{obs_id:06d}.fits*")).unlink()
    settings["observations"]["datastore"] = str(folder)
    return settings


def test_problems_of_observations_that_are_not_asked_for_do_not_matter(gap):
    gap["observations"] |= {"obs_ids": [1, 2], "strict": True}
    run = quiet(gap)
    assert run.exit_status == 0
    assert list(run.observations["obs_id"]) == [1, 2]


def test_an_observation_that_cannot_be_opened_has_one_row(gap):
    run = quiet(gap)
    assert run.exit_status == 3
    assert list(run.observations["obs_id"]) == [1, 2, 3, 4, 5, 6]
    assert run.record["observations"] == {"used": 4, "set_aside": 2}


def test_all_that_is_asked_for_cannot_be_opened(gap):
    gap["observations"]["obs_ids"] = [3]
    with pytest.raises(Refusal, match=r"000003\.fits.*does not exist"):
        quiet(gap)


def test_pictures_that_are_not_asked_for_any_more_go(run):
    folder = Path(run.outdir) / "maps"
    (folder / "mine.png").write_bytes(b"")
    outcome = Outcome("done", "key", returned='{"files": ["counts.fits", "counts.png"]}')
    remove_old_pictures(run.layout, Outcomes({"pictures/counts": outcome}))
    assert {path.name for path in folder.iterdir()} == {"counts.fits", "counts.png", "mine.png"}


def test_every_picture_is_known(run):
    assert all(OWN_PICTURE.fullmatch(path.name) for path in (Path(run.outdir) / "maps").iterdir())
