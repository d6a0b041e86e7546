"""Gammapy 2.1's own fit of simulated sources gives back the truth."""

import json

import numpy as np
from astropy.coordinates import EarthLocation

from survey.events.gadf_writer import write_store
from survey.events.observation import Observation, Pointing, TimeReference
from survey.models.components import SkyModel
from survey.models.power_laws import PowerLaw
from survey.models.spatial import Point
from survey.simulation.array import ParametrisedArray
from survey.simulation.sampler import sample_events

N_SOURCES = 200
REFERENCE = TimeReference(mjdrefi=55927, mjdreff=0.0, scale="tt")
RA, DEC, OFFSET = 83.63, -22.0, 0.5
INDEX, AMPLITUDE = 2.3, 3.5e-7
ONTIME, LIVETIME = 3600.0, 3400.0


def observations():
    """Each a source of its own, at the same place."""
    tables = dict(ParametrisedArray().responses(20.0))
    model = SkyModel("source", PowerLaw(index=INDEX, amplitude=AMPLITUDE), Point(lon_0=RA, lat_0=DEC))
    pointing = Pointing("icrs", RA, DEC + OFFSET, 70.0, 180.0)
    for obs_id in range(1, N_SOURCES + 1):
        start = np.array([86400.0 * obs_id])
        stop = start + ONTIME
        events = sample_events(
            pointing, responses=tables, gti_start=start, gti_stop=stop, livetime=LIVETIME, reference=REFERENCE,
            models=[model], rng=np.random.default_rng([20261122, obs_id]),
        )  # fmt: skip
        yield Observation(
            identity=f"simulated-{obs_id}", obs_id=obs_id, pointing=pointing, reference=REFERENCE, gti_start=start,
            gti_stop=stop, ontime=ONTIME, livetime=LIVETIME, events=events, responses=tables,
            location=EarthLocation.from_geodetic(16.5, -23.27, 1835.0), zenith=20.0,
            metadata={"OBJECT": "source", "TELESCOP": "SIMULATED", "INSTRUME": "PARAMETRISED"},
        )  # fmt: skip


def test_fits_of_simulated_sources_give_back_the_truth(peer_once, tmp_path):
    """Index and amplitude: mean of the pulls 0 within 0.25, their standard deviation 1 within 0.15."""
    write_store(tmp_path / "store", observations())
    truth = {"ra": RA, "dec": DEC, "index": INDEX, "amplitude": AMPLITUDE}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    peer_once("peer_pulls.py", tmp_path / "out", str(tmp_path / "store"), str(tmp_path / "truth.json"))
    with np.load(tmp_path / "out" / "fits.npz") as archive:
        pulls = (archive["values"] - [INDEX, AMPLITUDE]) / archive["errors"]
    assert pulls.shape == (N_SOURCES, 2)
    print("pulls of index and amplitude: mean", pulls.mean(axis=0), "width", pulls.std(axis=0))
    assert np.all(np.abs(pulls.mean(axis=0)) < 0.25), pulls.mean(axis=0)
    assert np.all(np.abs(pulls.std(axis=0) - 1.0) < 0.15), pulls.std(axis=0)
