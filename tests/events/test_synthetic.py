"""Synthetic observations are deterministic, and their events follow the responses that they carry."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import ICRS, AltAz, SkyCoord
from astropy.coordinates.erfa_astrom import ErfaAstromInterpolator, erfa_astrom
from astropy.time import TimeDelta
from astropy.utils import iers

from survey.events.synthetic import SyntheticSource, make_observation, make_observations
from survey.events.synthetic_response import SyntheticInstrument


def same_bits(one, two):
    assert one.events.keys() == two.events.keys()
    for name, column in one.events.items():
        assert column.dtype == two.events[name].dtype
        np.testing.assert_array_equal(column, two.events[name])
    assert {k: t.content_hash for k, t in one.responses.items()} == {
        k: t.content_hash for k, t in two.responses.items()
    }


@pytest.mark.parametrize("pointing", ["icrs", "altaz", "table"])
@pytest.mark.parametrize("alignment", ["RADEC", "ALTAZ", "REVERSE_LON_RADEC"])
def test_equal_arguments_give_equal_bits(pointing, alignment):
    source = SyntheticSource(10.0, -20.0)
    one, two = (
        make_observation(
            3,
            10.0,
            -20.0,
            pointing=pointing,
            sources=[source],
            instrument=SyntheticInstrument(fov_alignment=alignment),
            extra_columns=True,
        )
        for _ in range(2)
    )
    same_bits(one, two)
    assert one.pointing.mode == pointing
    assert (one.pointing.time is None) == (pointing != "table")


def test_seed_and_obs_id_change_the_events():
    times = {make_observation(i, 10.0, -20.0, n_events=3, seed=s).events["TIME"][0] for i in (1, 2) for s in (0, 1)}
    assert len(times) == 4


@pytest.mark.parametrize("n_gti", [1, 3])
def test_events_lie_in_the_good_times(n_gti):
    observation = make_observation(5, 10.0, -20.0, n_gti=n_gti)
    time = observation.events["TIME"]
    inside = [(a <= time) & (time <= b) for a, b in zip(observation.gti_start, observation.gti_stop, strict=True)]
    assert np.any(inside, axis=0).all()
    assert np.all(np.diff(time) >= 0)
    assert observation.livetime == pytest.approx(1600.0)


@pytest.mark.parametrize("form", ["bkg_2d", "bkg_3d"])
def test_background_table_predicts_its_events(form):
    instrument = SyntheticInstrument(bkg_form=form, background_rate=20.0)
    observation = make_observation(1, 10.0, -20.0, instrument=instrument)
    table = observation.responses["bkg"]
    energy = table.axis("energy")
    values = table.values["BKG"].astype(float)
    if form == "bkg_3d":
        step = np.radians(table.axis("detx").high - table.axis("detx").low)
        rate = values.sum(axis=(0, 1)) * step[0] ** 2
    else:
        offset = table.axis("offset")
        ring = 2 * np.pi * (np.cos(np.radians(offset.low)) - np.cos(np.radians(offset.high)))
        rate = (values * ring[:, None]).sum(axis=0)
    # A power law from its value at the geometric centre of each bin.
    index = instrument.background_index
    low, high, centre = energy.low, energy.high, energy.nodes
    integral = centre**index * (low ** (1 - index) - high ** (1 - index)) / (index - 1)
    expected = (rate * 1e6 * integral).sum() * observation.ontime
    assert observation.n_events == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("pointing", ["icrs", "altaz"])
@pytest.mark.parametrize("alignment", ["RADEC", "ALTAZ", "REVERSE_LON_RADEC"])
def test_background_is_aligned_as_it_says(alignment, pointing):
    instrument = SyntheticInstrument(background_gradient=(0.2, -0.1), fov_alignment=alignment)
    observation = make_observation(1, 83.6, -22.0, n_events=4000, instrument=instrument, pointing=pointing)
    events, track = observation.events, observation.pointing
    when = observation.reference.time + TimeDelta(events["TIME"], format="sec")
    frame = AltAz(obstime=when, location=observation.location)
    sky = SkyCoord(events["RA"], events["DEC"], unit="deg")
    if pointing == "icrs":
        center = SkyCoord(np.full(4000, track.ra), np.full(4000, track.dec), unit="deg")
    else:
        center = SkyCoord(AltAz(np.full(4000, track.az) * u.deg, np.full(4000, track.alt) * u.deg, **vars_of(frame)))
    with iers.conf.set_temp("auto_download", False), erfa_astrom.set(ErfaAstromInterpolator(300 * u.s)):
        target = frame if alignment == "ALTAZ" else ICRS()
        sky, center = sky.transform_to(target), center.transform_to(target)
    lon, lat = offsets(center.spherical, sky.spherical)
    # The field-of-view longitude grows with falling azimuth, or to the west.
    x = lon if alignment == "REVERSE_LON_RADEC" else -lon
    expected = instrument.background_width**2 * np.array(instrument.background_gradient)
    assert abs(x).max() < 3.01
    np.testing.assert_allclose([x.mean(), lat.mean()], expected, rtol=0.2)


def vars_of(frame):
    return {"obstime": frame.obstime, "location": frame.location}


def offsets(center, sky):
    """Longitude and latitude (deg) of `sky` in the frame with `center` at its origin."""
    turn = (sky.lon - center.lon).rad
    lat, base = sky.lat.rad, center.lat.rad
    x = np.cos(lat) * np.cos(turn)
    y = np.cos(lat) * np.sin(turn)
    z = np.sin(lat)
    ahead = x * np.cos(base) + z * np.sin(base)
    up = z * np.cos(base) - x * np.sin(base)
    return np.degrees(np.arctan2(y, ahead)), np.degrees(np.arcsin(up))


def test_source_follows_effective_area():
    source = SyntheticSource(10.0, -20.0, amplitude=3e-6)
    near, far = (make_observation(1, 10.0 + d, -20.0, sources=[source], n_events=0).n_events for d in (0.0, 2.0))
    assert near > 2000
    assert far / near == pytest.approx(np.exp(-0.5 * (2.0 * np.cos(np.radians(20)) / 1.8) ** 2), rel=0.06)


@pytest.mark.parametrize("form", ["psf_table", "psf_3gauss", "psf_king"])
def test_point_source_has_the_width_of_the_psf(form):
    instrument = SyntheticInstrument(psf_form=form)
    source = SyntheticSource(10.0, 60.0, amplitude=3e-6, index=2.0)
    events = make_observation(1, 10.0, 60.3, sources=[source], n_events=0, instrument=instrument, zenith=20.0).events
    x = (events["RA"] - 10.0) * np.cos(np.radians(60.0))
    radius = np.median(np.hypot(x, events["DEC"] - 60.0))
    assert 0.06 < radius < 0.12
    assert abs(np.median(x)) < 0.01


def test_responses_are_normalised():
    tables = make_observation(1, 10.0, -20.0, n_events=0).responses
    migra = tables["edisp"].axis("migra")
    rows = (tables["edisp"].values["MATRIX"] * (migra.high - migra.low)[:, None]).sum(axis=1)
    np.testing.assert_allclose(rows, 1.0, rtol=1e-5)
    rad = tables["psf"].axis("rad")
    ring = 2 * np.pi * (np.cos(np.radians(rad.low)) - np.cos(np.radians(rad.high)))
    np.testing.assert_allclose((tables["psf"].values["RPSF"] * ring[:, None, None]).sum(axis=0), 1.0, rtol=1e-5)


def test_observations_share_responses_at_like_zenith():
    observations = make_observations(4)
    assert len({o.responses["aeff"].content_hash for o in observations}) == 1
    low = make_observation(9, 83.0, 30.0, n_events=0)
    assert low.responses["aeff"].content_hash != observations[0].responses["aeff"].content_hash
    assert low.responses["psf"].content_hash == observations[0].responses["psf"].content_hash


@pytest.mark.parametrize("pattern", ["wobble", "grid", "line"])
def test_patterns_surround_the_centre(pattern):
    observations = make_observations(4, ra=0.1, dec=-60.0, pattern=pattern, livetime=10.0)
    ra = np.array([o.pointing.ra for o in observations])
    offset = (ra - 0.1 + 180) % 360 - 180
    assert abs(offset.mean()) < 1e-9
    assert len({(o.pointing.ra, o.pointing.dec) for o in observations}) == 4
