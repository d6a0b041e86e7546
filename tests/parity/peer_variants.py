"""Reduces one observation with other kinds of responses in place of its own, and dumps results and responses.

``background_2d``, ``background_altaz``, ``background_reversed``: its background made lopsided (the real one is nearly
round, so that a wrong sign would not show), as a 2D table, and as a 3D one in the other alignments. ``king``: a King
PSF. ``prod5``: all responses of CTA Prod5 (3-Gaussian PSF, 300 true energies, DETX/DETY background).
"""

from __future__ import annotations

import astropy.units as u
import numpy as np
from gammapy.data import Observation
from gammapy.irf import Background3D, PSFKing, load_irf_dict_from_file
from parity_fields import LOPSIDED, PROD5_FILE, VARIANTS
from peer_common import data_folder, data_store, output_folder
from peer_reduction import reduce_observation

ALIGNMENTS = {
    "background_radec": "RADEC",
    "background_altaz": "ALTAZ",
    "background_reversed": "REVERSE_LON_RADEC",
}


def lopsided(background: Background3D, alignment: str) -> Background3D:
    """The background times a plane, so that every reflection of it differs."""
    axes = background.axes
    assert axes.names == ["energy", "fov_lon", "fov_lat"], axes.names
    x = axes["fov_lon"].center.to_value("deg")[:, None]
    y = axes["fov_lat"].center.to_value("deg")
    weight = 1 + LOPSIDED[0] * x + LOPSIDED[1] * y
    return Background3D(axes=axes, data=background.data * weight, unit=background.unit, fov_alignment=alignment)


def altered(name: str, observation: Observation) -> Observation:
    """`observation` with the responses of a variant."""
    responses = {kind: getattr(observation, kind) for kind in ("aeff", "edisp", "psf", "bkg")}
    if name == "background_2d":
        responses["bkg"] = observation.bkg.to_2d()
    elif name in ALIGNMENTS:
        responses["bkg"] = lopsided(observation.bkg, ALIGNMENTS[name])
    elif name == "king":
        responses["psf"] = PSFKing.read(data_folder() / "tests" / "hess_psf_king_023523.fits.gz")
    elif name == "prod5":
        responses.update(load_irf_dict_from_file(data_folder() / "cta-caldb" / PROD5_FILE))
    meta = observation.meta.model_copy(deep=True)
    if name in ALIGNMENTS:
        # By its writer the peer would know this for a file with reversed longitudes.
        meta.optional = {**meta.optional, "CREATOR": "tests"}
    return Observation(
        meta=meta,
        obs_id=observation.obs_id,
        gti=observation.gti,
        events=observation.events,
        pointing=observation.pointing,
        location=observation.observatory_earth_location,
        **responses,
    )


def main() -> None:
    """Dump all variants."""
    folder = output_folder()
    store = data_store()
    for name, field in VARIANTS.items():
        observation = altered(name, store.obs(field.obs_ids[0]))
        reduce_observation(field, observation, folder / f"{name}.npz", fov_rotation_step=0.1 * u.deg)
        if name == "background_2d":
            table = observation.bkg
            np.savez(
                folder / "background_2d_table.npz",
                energy_edges=table.axes["energy"].edges.to_value("TeV"),
                offset_edges=table.axes["offset"].edges.to_value("deg"),
                values=table.quantity.to_value("s-1 MeV-1 sr-1"),
            )


if __name__ == "__main__":
    main()
