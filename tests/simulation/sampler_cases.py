"""What the tests of the sampler share: an array, pointings, a place."""

from functools import lru_cache

import numpy as np
from astropy.coordinates import EarthLocation

from survey.events.observation import Observation, Pointing, TimeReference
from survey.events.synthetic_response import SyntheticInstrument
from survey.models.components import SkyModel
from survey.models.power_laws import PowerLaw
from survey.models.spatial import Point
from survey.simulation.array import ParametrisedArray
from survey.simulation.sampler import sample_events

REFERENCE = TimeReference(mjdrefi=55927, mjdreff=0.0, scale="tt")
LOCATION = EarthLocation.from_geodetic(16.5002222, -23.2717778, 1835.0)
RA, DEC = 83.63, -22.0
START, STOP = np.array([0.0, 1000.0]), np.array([800.0, 1880.0])
ONTIME = 1680.0
LIVETIME = 1600.0
CRAB = 3.5e-7


@lru_cache(maxsize=8)
def responses(alignment="RADEC", form="bkg_3d", psf="psf_table"):
    """Tables of a synthetic instrument with a steep background."""
    instrument = SyntheticInstrument(
        background_gradient=(0.2, 0.1), bkg_form=form, fov_alignment=alignment, psf_form=psf, background_rate=20.0
    )
    return dict(instrument.responses(20.0))


@lru_cache(maxsize=2)
def array_responses():
    """Tables of the parametrised array."""
    return dict(ParametrisedArray().responses(20.0))


def point(name="source", *, east=0.0, north=0.0, amplitude=CRAB, index=2.4):
    """A point source at an offset from the pointing, deg."""
    lon = RA + east / np.cos(np.radians(DEC))
    return SkyModel(name, PowerLaw(index=index, amplitude=amplitude), Point(lon_0=lon, lat_0=DEC + north))


def events(models=(), *, seed=1, tables=None, pointing=None, start=START, stop=STOP, livetime=LIVETIME, **options):
    """Events of one observation."""
    return sample_events(
        Pointing("icrs", RA, DEC) if pointing is None else pointing,
        responses=responses() if tables is None else tables,
        gti_start=start,
        gti_stop=stop,
        livetime=livetime,
        reference=REFERENCE,
        models=models,
        rng=np.random.default_rng(seed),
        **options,
    )


def observation(
    models=(), *, obs_id=1, pointing=None, tables=None, start=START, stop=STOP, livetime=LIVETIME, **options
):
    """The same as an observation."""
    pointing = Pointing("icrs", RA, DEC) if pointing is None else pointing
    tables = responses() if tables is None else tables
    found = events(
        models, seed=obs_id, tables=tables, pointing=pointing, start=start, stop=stop, livetime=livetime,
        location=LOCATION, **options,
    )  # fmt: skip
    return Observation(
        identity=f"simulated-{obs_id}", obs_id=obs_id, pointing=pointing, reference=REFERENCE, gti_start=start,
        gti_stop=stop, ontime=float((stop - start).sum()), livetime=livetime, events=found, responses=tables,
        location=LOCATION, zenith=20.0,
    )  # fmt: skip
