"""Small observations and grids that the tests of this room share."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from survey.events.synthetic import make_observation
from survey.events.synthetic_response import SyntheticInstrument
from survey.reduction.axes import Axes
from survey.reduction.prepare import prepare
from survey.reduction.settings import ReductionSettings
from survey.sky.energy import EnergyAxis
from survey.sky.grid import SkyGrid

AXES = Axes(
    EnergyAxis.from_bounds("energy", 0.3, 30.0, 6),
    EnergyAxis.from_bounds("energy_true", 0.1, 80.0, 7),
    np.linspace(0.0, 0.5, 11),
)
GRID = SkyGrid.create(
    proj="CAR", frame="galactic", lon=10.0, lat=1.0, binsize=0.1, width=(6.3, 5.2), binsize_irf=0.5, tile_chunks=1
)
GRID = replace(GRID, chunk=15, tile=15)
SETTINGS = ReductionSettings(safe_methods=("aeff-default", "offset-max"), safe_offset_max=2.0)
INSTRUMENT = SyntheticInstrument(background_gradient=(0.1, 0.05), lo_thres=0.5, n_energy=12, n_offset=4)


def center(grid=GRID):
    """Centre of a grid, ICRS, deg."""
    y, x = (grid.ny - 1) / 2, (grid.nx - 1) / 2
    ra, dec = grid.pixel_to_world(y, x)
    return float(ra), float(dec)


@lru_cache(maxsize=64)
def observation(number=1, *, east=0.0, north=0.0, instrument=INSTRUMENT, n_events=400, pointing="icrs"):
    """An observation near the centre of the grid."""
    ra, dec = center()
    return make_observation(
        number, ra + east / np.cos(np.radians(dec)), dec + north, instrument=instrument, n_events=n_events,
        livetime=1600.0, pointing=pointing,
    )  # fmt: skip


def prepared(number=1, settings=SETTINGS, **options):
    """The same, prepared."""
    return prepare(observation(number, **options), GRID, AXES, settings)


@lru_cache(maxsize=1)
def several():
    """Observations with different thresholds, pointings and forms."""
    return [
        prepared(1),
        prepared(2, east=0.7, north=-0.4, instrument=replace(INSTRUMENT, lo_thres=1.2)),
        prepared(3, east=-2.4, north=1.5, instrument=replace(INSTRUMENT, bkg_form="bkg_2d", psf_form="psf_king")),
        prepared(4, north=2.6, instrument=replace(INSTRUMENT, fov_alignment="ALTAZ"), n_events=0),
        prepared(5, east=0.3, pointing="altaz"),
    ]
