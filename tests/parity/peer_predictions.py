"""Predicted counts of a point source by the peer's responses, observation by observation, each with its own safe range.

This is what the prediction from a stacked cube has to equal. The peer's own stacked file does not serve: see
docs/parity.md. A source's counts anywhere on the sky, without the PSF: flux x exposure, folded with the dispersion at
the source, times the safe range in energy; zero where the source lies beyond the offset cut.
"""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import PowerLawSpectralModel
from parity_fields import FIELDS, PREDICTION_AMPLITUDE, PREDICTION_INDEX, SOURCE_OFFSETS, Field
from peer_common import axes, data_store, output_folder, safe_energies


def positions(field: Field) -> SkyCoord:
    """Places around the field's centre, in its own frame."""
    lon, lat = np.array(SOURCE_OFFSETS).T
    stretch = np.cos(np.deg2rad(field.lat + lat))
    return SkyCoord(field.lon + lon / stretch, field.lat + lat, unit="deg", frame=field.frame)


def predict(field: Field, store) -> dict[str, np.ndarray]:
    """Predictions (observation, position, energy) and distances to the pointings."""
    energy, energy_true = axes(field)
    flux = PowerLawSpectralModel(index=PREDICTION_INDEX, amplitude=f"{PREDICTION_AMPLITUDE} cm-2 s-1 TeV-1").integral(
        energy_true.edges[:-1], energy_true.edges[1:]
    )
    places = positions(field)
    predicted = np.zeros((len(field.obs_ids), len(places), energy.nbin))
    separations = np.zeros(predicted.shape[:2])
    allowed = np.zeros((len(field.obs_ids), energy.nbin), dtype=bool)
    for i, obs_id in enumerate(field.obs_ids):
        observation = store.obs(obs_id)
        pointing = observation.get_pointing_icrs(observation.tmid)
        allowed[i] = safe_energies(field, observation)
        livetime = observation.observation_live_time_duration
        offsets = separations[i] = places.separation(pointing).to_value("deg")
        for j, offset in enumerate(offsets * u.deg):
            if offset >= field.offset_max * u.deg:
                continue
            exposure = observation.aeff.evaluate(energy_true=energy_true.center, offset=offset) * livetime
            kernel = observation.edisp.to_edisp_kernel(offset=offset, energy_axis_true=energy_true, energy_axis=energy)
            counts = (flux * exposure).to_value("")
            predicted[i, j] = (counts @ kernel.pdf_matrix) * allowed[i]
    return {
        "predicted": predicted,
        "separation": separations,
        "safe_energy": allowed,
        "lon": places.spherical.lon.deg,
        "lat": places.spherical.lat.deg,
        "ra": places.icrs.ra.deg,
        "dec": places.icrs.dec.deg,
    }


def main() -> None:
    """Dump all fields."""
    folder = output_folder()
    store = data_store()
    for field in FIELDS.values():
        np.savez(folder / f"{field.name}.npz", **predict(field, store))


if __name__ == "__main__":
    main()
