"""Source events: their number, PSF, migration, offsets and labels."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.wcs import WCS
from sampler_cases import CRAB, DEC, LIVETIME, ONTIME, RA, START, STOP, array_responses, events, point, responses

from survey.events.observation import Pointing
from survey.models.components import SkyModel
from survey.models.power_laws import PowerLaw
from survey.models.sky_template import SkyTemplate
from survey.models.spatial_disk import Disk
from survey.models.spatial_gauss import Gaussian
from survey.models.spatial_template import TemplateSpatial
from survey.response.effective_area import effective_area
from survey.response.energy_dispersion import energy_dispersion
from survey.response.psf import point_spread_function
from survey.simulation.detection import Detection
from survey.simulation.sampler import event_metadata
from survey.simulation.sky_index import SkyIndex
from survey.simulation.source_events import power_law_integrals
from survey.sky.energy import EnergyAxis
from survey.sky.frames import separation

FINE = EnergyAxis.from_bounds("energy_true", 0.03, 100.0, 700)
BRIGHT = 300.0 * CRAB


def expected_per_energy(model, offset, tables, livetime=LIVETIME):
    """Events expected per bin of `FINE` by the responses as the reduction evaluates them."""
    nodes, aeff = effective_area(tables["aeff"], FINE)
    at = np.array([np.interp(offset, nodes, column) for column in aeff.T])
    return model.spectral.integral(FINE.low, FINE.high) * at * livetime


def source_events(models, **options):
    """Events of sources alone, with their true values."""
    return events(models, background=False, truth=True, **options)


@pytest.mark.parametrize("offset", [0.0, 0.9, 2.2])
def test_number_and_energies_of_a_point_source(offset):
    model = point(north=offset, amplitude=BRIGHT)
    found = source_events([model], tables=array_responses())
    expected = expected_per_energy(model, offset, array_responses())
    total = expected.sum()
    assert total > 5e3
    assert abs(found["RA"].size - total) < 4.0 * np.sqrt(total)
    counts = np.histogram(found["MC_ENERGY"], bins=FINE.edges[::70])[0]
    bins = expected.reshape(-1, 70).sum(axis=1)
    used = bins > 20
    assert np.sum((counts[used] - bins[used]) ** 2 / bins[used]) < used.sum() + 5.0 * np.sqrt(2.0 * used.sum())


@pytest.mark.parametrize("psf", ["psf_table", "psf_3gauss", "psf_king"])
def test_containment_of_the_psf(psf):
    """Distances from the true place follow the PSF that the reduction has, energy by energy."""
    tables = responses(psf=psf)
    found = source_events([point(north=1.3, amplitude=BRIGHT)], tables=tables)
    away = separation(found["RA"], found["DEC"], found["MC_RA"], found["MC_DEC"])
    edges = np.linspace(0.0, 0.6, 61)
    nodes, psf_values = point_spread_function(tables["psf"], FINE, edges)
    low = int(np.searchsorted(nodes, 1.3, side="right") - 1)
    upper = (1.3 - nodes[low]) / (nodes[low + 1] - nodes[low])
    profile = (1.0 - upper) * psf_values[low] + upper * psf_values[low + 1]
    contained = np.cumsum(profile * np.pi * np.diff(np.radians(edges) ** 2), axis=1)
    bins = FINE.index(found["MC_ENERGY"])
    for radius in (0.05, 0.1, 0.2, 0.4):
        column = round(radius / 0.01) - 1
        fraction = contained[bins, column].mean()
        error = np.sqrt(fraction * (1.0 - fraction) / bins.size)
        np.testing.assert_allclose(np.mean(away < radius), fraction, atol=4.0 * error + 5e-4)


@pytest.mark.parametrize("offset", [0.3, 1.7])
def test_migration_is_that_of_the_dispersion(offset):
    tables = array_responses()
    found = source_events([point(north=offset, amplitude=BRIGHT)], tables=tables)
    energy = EnergyAxis.from_bounds("energy", 0.05, 50.0, 12)
    nodes, dispersion = energy_dispersion(tables["edisp"], FINE, energy)
    low = int(np.searchsorted(nodes, offset, side="right") - 1)
    upper = (offset - nodes[low]) / (nodes[low + 1] - nodes[low])
    at_offset = (1.0 - upper) * dispersion[low] + upper * dispersion[low + 1]
    bins = FINE.index(found["MC_ENERGY"])
    expected = at_offset[bins].sum(axis=0)
    counts = np.histogram(found["ENERGY"], bins=energy.edges)[0]
    used = expected > 20
    # given the true energies, numbers per bin scatter less than Poisson ones
    assert np.all(np.abs(counts - expected)[used] < 4.5 * np.sqrt(expected[used]))
    assert np.mean((counts - expected)[used] ** 2 / expected[used]) < 1.5


def test_components_are_told_apart():
    models = [point("a", east=0.5), point("b", north=-0.7, amplitude=20 * CRAB), point("far", east=30.0)]
    found = events(models)
    numbers, counts = np.unique(found["MC_ID"], return_counts=True)
    assert numbers.tolist() == [0, 1, 2]
    assert counts[2] > 10 * counts[1]
    header = event_metadata(models)
    assert header["NMCIDS"] == 4
    assert header["MID00000"] == 0
    assert header["MMN00000"] == "background"
    assert header["MMN00002"] == "b"
    assert header["MID00003"] == 3


def test_sources_beyond_the_field_of_view_give_nothing_but_shine_in_with_their_size():
    reach = Detection.of(responses()).area.reach
    assert source_events([point(north=reach + 0.05, amplitude=BRIGHT)])["RA"].size == 0
    wide = SkyModel("wide", PowerLaw(amplitude=BRIGHT), Disk(lon_0=RA, lat_0=DEC + reach + 0.5, r_0=1.0))
    found = source_events([wide])
    assert found["RA"].size > 100
    assert separation(found["MC_RA"], found["MC_DEC"], RA, DEC).max() <= reach + 1e-9


def test_number_of_an_extended_source_is_the_integral_over_its_shape():
    shape = Gaussian(lon_0=RA + 1.5, lat_0=DEC, sigma=0.6)
    model = SkyModel("wide", PowerLaw(index=2.3, amplitude=BRIGHT), shape)
    found = source_events([model], tables=array_responses())
    lon, lat = shape.sample(np.random.default_rng(5), 4000)
    offsets = separation(lon, lat, RA, DEC)
    nodes, aeff = effective_area(array_responses()["aeff"], FINE)
    flux = model.spectral.integral(FINE.low, FINE.high)
    at = np.interp(offsets, nodes, aeff @ flux)
    total = at.mean() * LIVETIME
    error = at.std() * LIVETIME / np.sqrt(offsets.size)
    assert abs(found["RA"].size - total) < 4.0 * np.hypot(error, np.sqrt(total))


def test_same_seed_same_events():
    models = [point("a", east=0.5, amplitude=10 * CRAB)]
    one, two = events(models, seed=3), events(SkyIndex(models), seed=3)
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_frames_are_the_same_sky():
    galactic = point("a", amplitude=BRIGHT)
    from survey.sky.frames import from_icrs

    lon, lat = from_icrs(RA, DEC, "galactic")
    turned = galactic.with_parts(spatial=Gaussian(frame="galactic", lon_0=float(lon), lat_0=float(lat), sigma=0.001))
    found = source_events([turned])
    assert separation(found["MC_RA"], found["MC_DEC"], RA, DEC).max() < 0.01


def test_responses_can_be_switched_off():
    sharp = replace(point(amplitude=BRIGHT), apply_irf={"psf": False, "edisp": False})
    found = source_events([sharp])
    np.testing.assert_allclose(found["RA"], found["MC_RA"], atol=1e-9)
    np.testing.assert_allclose(found["ENERGY"], found["MC_ENERGY"], rtol=1e-6)
    with pytest.raises(ValueError, match=r"source.*exposure"):
        source_events([replace(point(amplitude=BRIGHT), apply_irf={"exposure": False})])


def test_moving_pointing_sees_less_of_a_source():
    time = np.array([0.0, 1880.0])
    sweep = Pointing("table", RA, DEC, time=time, table_ra=np.array([RA, RA]), table_dec=np.array([DEC - 3, DEC + 3]))
    found = source_events([point(amplitude=BRIGHT)], pointing=sweep)
    track = DEC - 3 + 6 * found["TIME"] / 1880.0
    assert np.abs(track - DEC).max() < 3.0
    middle = np.abs(found["TIME"] - 940.0) < 300.0
    assert middle.sum() > 0.3 * middle.size
    assert found["RA"].size < 0.7 * source_events([point(amplitude=BRIGHT)])["RA"].size


class Burst:
    """A norm of 3 in the first interval and 0 in the second."""

    is_energy_dependent = False

    def integral(self, start, stop):
        """Fractions of the time, as `TemporalModel.integral`."""
        return np.array([3.0, 0.0]) * (stop - start) / np.sum(stop - start)

    def sample_time(self, rng, n, start, stop):
        """Even."""
        return rng.uniform(start, stop, n)


def test_time_dependence_scales_and_places_events():
    steady = source_events([point(amplitude=BRIGHT)])
    burst = SimpleNamespace(
        **{name: getattr(point(amplitude=BRIGHT), name) for name in ("name", "spectral", "spatial")}
    )
    burst.temporal = Burst()
    found = source_events([burst])
    expected = steady["RA"].size * 3.0 * 800.0 / ONTIME
    assert abs(found["RA"].size - expected) < 6.0 * np.sqrt(expected)
    assert found["TIME"].min() >= START[0]
    assert found["TIME"].max() < STOP[0]


def test_models_without_a_direction_or_a_finite_flux_are_named():
    model = SkyModel("nowhere", PowerLaw())
    with pytest.raises(ValueError, match="'nowhere' has no spatial model"):
        events([model])
    negative = point("sink", amplitude=-CRAB)
    with pytest.raises(ValueError, match="'sink' has the flux -"):
        events([negative])


def test_power_law_integrals():
    edges = np.geomspace(0.1, 10.0, 9)
    for index in (1.0, 2.3, 0.0):
        integral, slope = power_law_integrals(edges, 2.0 * edges**-index)
        np.testing.assert_allclose(integral, PowerLaw(index=index, amplitude=2.0).integral(edges[:-1], edges[1:]))
        np.testing.assert_allclose(slope, -index, atol=1e-12)
    integral, _ = power_law_integrals(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 2.0]))
    np.testing.assert_allclose(integral, [0.0, 1.0])


def test_a_cube_gives_every_energy_its_own_place_and_number():
    """Two planes at 1 and 10 TeV: the first shines in the west, the second, twice as bright, in the east."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [RA, DEC], [5.5, 5.5], [-0.1, 0.1]
    west = np.where(np.arange(10) >= 5, 1.0, 1e-9) * np.ones((10, 1))
    data = 3e2 * np.stack([west, 2.0 * west[:, ::-1]])
    header = wcs.to_header().tostring(sep="\n", endcard=False, padding=False)
    cube = SkyTemplate(data, header, np.array([1.0, 10.0]), np.array([0.0, 1.0]))
    model = SkyModel("cube", PowerLaw(index=2.0, amplitude=BRIGHT), TemplateSpatial(cube, normalize=False))
    found = source_events([model], tables=array_responses())
    left = found["MC_RA"] > RA
    low, high = found["MC_ENERGY"] < 1.3, found["MC_ENERGY"] > 8.0
    assert np.mean(left[low]) < 0.1
    assert np.mean(left[high]) > 0.9
    assert low.sum() > 100
    assert high.sum() > 20
