"""Camera axes on the sky: RADEC, reversed longitude, ALTAZ, files without FOVALIGN."""

from dataclasses import replace

import numpy as np
import pytest
from reduction_cases import AXES, GRID, INSTRUMENT, SETTINGS, observation

from survey.events.observation import ObservationRejected
from survey.reduction.alignment import HESS_WRITER, alignment_of
from survey.reduction.contribution import contribution
from survey.reduction.prepare import prepare

FULL = GRID.geometry(GRID.full_window)
STEEP = replace(INSTRUMENT, background_gradient=(0.25, 0.1))


def background(source, settings=SETTINGS):
    return contribution(prepare(source, GRID, AXES, settings), FULL, AXES, variables=("background",))["background"]


def gradient(image):
    """Mean position of an image, in pixels from its centre of symmetry."""
    y, x = np.indices(image.shape)
    return np.average(x, weights=image), np.average(y, weights=image)


@pytest.mark.parametrize("alignment", ["RADEC", "REVERSE_LON_RADEC", "ALTAZ"])
def test_background_lies_where_its_events_are(alignment):
    """The generator of synthetic events has its own geometry; a wrong sign would shift the two centroids apart."""
    source = observation(1, instrument=replace(STEEP, fov_alignment=alignment), n_events=40000)
    settings = replace(SETTINGS, safe_methods=(), mask_invalid_background=False, offset_max=2.2)
    one = prepare(source, GRID, AXES, settings)
    sums = contribution(one, FULL, AXES, variables=("counts", "background"))
    counts, expected = gradient(sums["counts"].sum(axis=0)), gradient(sums["background"].sum(axis=0))
    even = replace(INSTRUMENT, background_gradient=(0.0, 0.0))
    flat = gradient(background(observation(1, instrument=even), settings).sum(axis=0))
    assert np.hypot(expected[0] - flat[0], expected[1] - flat[1]) > 2.0
    np.testing.assert_allclose(counts, expected, atol=0.35)
    assert one.step_weight.size > 1 if alignment == "ALTAZ" else one.step_weight.size == 1


def test_steps_of_a_rotating_field_are_fine_enough():
    source = observation(1, instrument=replace(STEEP, fov_alignment="ALTAZ"))
    coarse, fine = (background(source, replace(SETTINGS, rotation_step=step)) for step in (2.0, 0.2))
    seen = fine > 1e-4 * fine.max()
    assert np.ptp(prepare(source, GRID, AXES, SETTINGS).step_roll) > 2.0
    np.testing.assert_allclose(coarse[seen], fine[seen], rtol=1e-3)


def test_a_radial_background_needs_no_steps():
    source = observation(1, instrument=replace(INSTRUMENT, bkg_form="bkg_2d", fov_alignment="ALTAZ"))
    assert prepare(source, GRID, AXES, SETTINGS).step_weight.size == 1


def without(source, **metadata):
    table = source.responses["bkg"]
    bare = {name: value for name, value in table.metadata.items() if name != "FOVALIGN"}
    responses = {**source.responses, "bkg": replace(table, metadata=bare)}
    return replace(source, responses=responses, metadata={**source.metadata, **metadata})


@pytest.mark.parametrize(
    ("missing", "creator", "rotates"),
    [("auto", "other", True), ("auto", HESS_WRITER, False), ("RADEC", "other", False), ("ALTAZ", HESS_WRITER, True)],
)
def test_a_missing_alignment_follows_the_settings_and_is_noted(missing, creator, rotates):
    source = without(observation(1), CREATOR=creator)
    one = prepare(source, GRID, AXES, replace(SETTINGS, fov_alignment=missing))
    assert (one.step_weight.size > 1) == rotates
    assert any("no FOVALIGN" in note and f"fov_alignment: {missing}" in note for note in one.notes)


def test_early_files_of_hess_are_mirrored_and_it_is_noted():
    source = observation(1, instrument=STEEP)
    early = replace(source, metadata={**source.metadata, "CREATOR": HESS_WRITER, "HDUVERS": "0.2"})
    late = replace(source, metadata={**source.metadata, "CREATOR": HESS_WRITER, "HDUVERS": "0.3"})
    reversed_ = observation(1, instrument=replace(STEEP, fov_alignment="REVERSE_LON_RADEC"))
    np.testing.assert_array_equal(background(early), background(reversed_))
    np.testing.assert_array_equal(background(late), background(source))
    assert any("longitude is reversed, corrected" in note for note in prepare(early, GRID, AXES, SETTINGS).notes)


def test_an_unknown_alignment_is_refused():
    source = observation(1)
    table = replace(source.responses["bkg"], metadata={"FOVALIGN": "GALACTIC"})
    with pytest.raises(ValueError, match="FOVALIGN is 'GALACTIC', expected RADEC or ALTAZ"):
        alignment_of(table, source, "auto")
    with pytest.raises(ObservationRejected, match="synthetic-1: response bkg: FOVALIGN"):
        prepare(replace(source, responses={**source.responses, "bkg": table}), GRID, AXES, SETTINGS)


def test_a_rotating_field_needs_a_place():
    source = replace(observation(1, instrument=replace(STEEP, fov_alignment="ALTAZ")), location=None)
    with pytest.raises(ObservationRejected, match="no location of the observatory"):
        prepare(source, GRID, AXES, SETTINGS)
