"""Predicted counts of a point source by the peer's responses, observation by observation, each with its own safe range.

This is what the prediction from a stacked cube has to equal. The peer's own stacked file does not serve: see
docs/parity.md. A source's counts anywhere on the sky, without the PSF: flux x exposure, folded with the dispersion at
the source, times the safe range in energy; zero where the source lies beyond the offset cut.
"""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.makers import MapDatasetMaker, SafeMaskMaker
from gammapy.modeling.models import PowerLawSpectralModel
from parity_fields import FIELDS, SOURCE_OFFSETS, Field
from peer_common import axes, data_store, empty_dataset, output_folder


def positions(field: Field) -> SkyCoord:
    """Places around the field's centre, in its own frame."""
    lon, lat = np.array(SOURCE_OFFSETS).T
    stretch = np.cos(np.deg2rad(field.lat + lat))
    return SkyCoord(field.lon + lon / stretch, field.lat + lat, unit="deg", frame=field.frame)


def predict(field: Field, store) -> dict[str, np.ndarray]:
    """Predictions (observation, position, energy) and distances to the pointings."""
    energy, energy_true = axes(field)
    flux = PowerLawSpectralModel(index=2.3, amplitude="1e-11 cm-2 s-1 TeV-1").integral(
        energy_true.edges[:-1], energy_true.edges[1:]
    )
    places = positions(field)
    whole = empty_dataset(field)
    maker = MapDatasetMaker(selection=["exposure", "edisp"])
    safe = SafeMaskMaker(
        methods=[name for name in field.safe_methods if name != "offset-max"],
        aeff_percent=field.aeff_percent,
        bias_percent=field.bias_percent,
        fixed_offset=0 * u.deg,
    )
    predicted = np.zeros((len(field.obs_ids), len(places), energy.nbin))
    separations = np.zeros(predicted.shape[:2])
    allowed = np.zeros((len(field.obs_ids), energy.nbin), dtype=bool)
    for i, obs_id in enumerate(field.obs_ids):
        observation = store.obs(obs_id)
        pointing = observation.get_pointing_icrs(observation.tmid)
        dataset = maker.run(whole.cutout(pointing, width="1 deg", name=f"run-{obs_id}"), observation)
        dataset.background = None
        allowed[i] = safe.run(dataset, observation).mask_safe.data.any(axis=(1, 2))
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
