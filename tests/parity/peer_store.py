"""A store of the writer, opened by the peer: a warning or a line of its log is an error."""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np

warnings.simplefilter("error")


class _Strict(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(record.getMessage())


def main() -> None:
    """Dump events, times and responses at fixed places."""
    from gammapy.data import DataStore

    logging.getLogger().addHandler(_Strict(level=logging.WARNING))
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("store", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    arrays = {}
    store = DataStore.from_dir(arguments.store)
    for obs_id in store.obs_table["OBS_ID"]:
        observation = store.obs(obs_id)
        events = observation.events
        energy = np.geomspace(0.2, 20.0, 7) * u.TeV
        offset = 0.75 * u.deg
        center = {"offset": 1 * u.deg}
        if observation.bkg.tag == "bkg_3d":
            center = {"fov_lon": 1 * u.deg, "fov_lat": -0.2 * u.deg}
        found = {
            "ra": events.radec.ra.deg,
            "dec": events.radec.dec.deg,
            "energy": events.energy.to_value("TeV"),
            "time": events.time.tt.mjd,
            "livetime": observation.observation_live_time_duration.to_value("s"),
            "gti": observation.gti.time_sum.to_value("s"),
            "location": np.array([x.to_value("m") for x in observation.observatory_earth_location.geocentric]),
            "aeff": observation.aeff.evaluate(energy_true=energy, offset=offset).to_value("m2"),
            "edisp": observation.edisp.evaluate(energy_true=energy, migra=1.0, offset=offset).value,
            "psf": np.asarray(observation.psf.containment(energy_true=energy, offset=offset, rad=0.1 * u.deg)),
            "bkg": observation.bkg.evaluate(energy=energy, **center).to_value("s-1 MeV-1 sr-1"),
        }
        arrays.update({f"{obs_id}_{name}": np.squeeze(values) for name, values in found.items()})
    np.savez(arguments.out / "store.npz", **arrays)


if __name__ == "__main__":
    main()
