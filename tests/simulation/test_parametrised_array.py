"""The parametrised array: deterministic, realistic, and what its tables say is what its formulas say."""

from __future__ import annotations

import numpy as np
import pytest

from survey.events.gadf_shared import write_response_file
from survey.response.background import camera_background
from survey.simulation.array import MEV_PER_TEV, OFFSET_MAX, ParametrisedArray
from survey.simulation.responses import ResponseChoice, ResponsesError
from survey.sky.energy import EnergyAxis

ARRAY = ParametrisedArray()


def test_equal_arrays_give_identical_tables() -> None:
    one, two = ParametrisedArray().responses(25.0), ParametrisedArray().responses(25.0)
    assert {kind: table.content_hash for kind, table in one.items()} == {
        kind: table.content_hash for kind, table in two.items()
    }
    other = ParametrisedArray(psf_radius=0.08).responses(25.0)
    assert [kind for kind in one if one[kind].content_hash != other[kind].content_hash] == ["psf"]


def test_the_effective_area_is_that_of_such_an_array() -> None:
    assert 1e5 < ARRAY.effective_area(10.0, 0.0, 20.0) < 3e5
    assert ARRAY.effective_area(0.1, 0.0, 0.0) < 0.1 * ARRAY.effective_area(1.0, 0.0, 0.0)
    assert ARRAY.effective_area(1.0, 2.0, 20.0) < 0.6 * ARRAY.effective_area(1.0, 0.0, 20.0)


def test_the_threshold_rises_with_the_zenith_angle() -> None:
    thresholds = [ARRAY.threshold_at(zenith) for zenith in (0.0, 20.0, 40.0, 60.0)]
    assert np.all(np.diff(thresholds) > 0)
    assert ARRAY.effective_area(0.3, 0.0, 60.0) < 0.05 * ARRAY.effective_area(0.3, 0.0, 0.0)
    assert ARRAY.effective_area(50.0, 0.0, 60.0) > ARRAY.effective_area(50.0, 0.0, 0.0)


@pytest.mark.parametrize(("energy", "offset"), [(1.0, 0.0), (0.5, 1.0), (10.0, 2.5)])
def test_the_psf_holds_68_per_cent_in_its_radius(energy: float, offset: float) -> None:
    radius = float(ARRAY.psf_width(energy, offset, 0.0))
    table = ARRAY.responses(0.0)["psf"]
    t = np.argmin(np.abs(np.log(table.axis("energy_true").nodes / energy)))
    o = np.argmin(np.abs(table.axis("offset").nodes - offset))
    column = {name: float(values[o, t]) for name, values in table.values.items()}
    square = radius**2
    held = sum(
        2 * np.pi * column["SCALE"] * a * np.radians(s) ** 2 * (1 - np.exp(-0.5 * square / s**2))
        for a, s in ((1.0, column["SIGMA_1"]), (column["AMPL_2"], column["SIGMA_2"]))
    )
    assert held == pytest.approx(0.68, abs=0.02)
    assert float(ARRAY.psf_width(1.0, 0.0, 0.0)) == pytest.approx(0.07)
    assert np.all(np.diff(ARRAY.psf_width(1.0, np.linspace(0.0, 3.0, 7), 0.0)) > 0)


@pytest.mark.parametrize("zenith", [0.0, 45.0, 70.0])
def test_tables_are_normalised_and_finite(zenith: float) -> None:
    tables = ARRAY.responses(zenith)
    migra = tables["edisp"].axis("migra")
    sums = (tables["edisp"].values["MATRIX"] * (migra.high - migra.low)[None, :, None]).sum(axis=1)
    np.testing.assert_allclose(sums, 1.0, rtol=1e-5)
    for table in tables.values():
        for name, values in table.values.items():
            assert np.isfinite(values).all(), name
            assert (values >= 0).all(), name


def test_the_background_has_its_rate_and_falls_with_the_offset() -> None:
    axis = EnergyAxis.from_bounds("energy", 0.05, 150.0, 60)
    camera = camera_background(ARRAY.responses(0.0)["bkg"], axis)
    pixel = np.radians(2 * OFFSET_MAX / camera.x.size) ** 2
    assert (camera.rate.sum(axis=0) * pixel).sum() == pytest.approx(ARRAY.background_rate, rel=0.03)
    profile = ARRAY.background(1.0, np.array([0.0, 1.0, 2.0]), 0.0, 20.0)
    assert np.all(np.diff(profile) < 0)


def test_only_a_horizontal_background_has_a_slope_and_it_grows_with_the_zenith_angle() -> None:
    up, down = (ARRAY.background(1.0, 0.0, y, 45.0) for y in (1.0, -1.0))
    assert up == down
    array = ParametrisedArray(alignment="ALTAZ")
    ratios = [
        float(array.background(1.0, 0.0, 1.0, z) / array.background(1.0, 0.0, -1.0, z)) for z in (0.0, 30.0, 60.0)
    ]
    assert ratios[0] == 1.0
    assert np.all(np.diff(ratios) > 0)
    table = array.responses(45.0)["bkg"]
    assert table.metadata["FOVALIGN"] == "ALTAZ"
    row = table.values["BKG"][:, 16, 10]
    assert row[20] > row[11]
    found = array.background(
        table.axis("energy").nodes[10], table.axis("detx").nodes[16], table.axis("dety").nodes, 45.0
    )
    np.testing.assert_allclose(row * MEV_PER_TEV, found, rtol=1e-6)


def test_runs_of_a_zenith_band_share_responses() -> None:
    choice = ResponseChoice(zenith_step=10.0)
    assert choice.name(20.1) == choice.name(29.9)
    assert choice.name(20.1) != choice.name(30.1)
    assert choice.tables(20.1)["aeff"] is choice.tables(29.0)["aeff"]
    assert ResponseChoice.from_dict(choice.as_dict()) == choice


def test_a_file_without_responses_is_refused(tmp_path) -> None:
    path = tmp_path / "no.fits"
    path.write_text("no")
    with pytest.raises(ResponsesError, match="is no FITS file"):
        ResponseChoice(path=str(path)).tables(20.0)


def test_responses_of_a_file_are_read(tmp_path) -> None:

    tables = ARRAY.responses(25.0)
    write_response_file(str(tmp_path), "mine", tables)
    read = ResponseChoice(path=str(tmp_path / "responses" / "mine.fits")).tables(55.0)
    assert list(read) == list(tables)
    for kind, table in tables.items():
        for name, values in table.values.items():
            np.testing.assert_array_equal(read[kind].values[name], values)
