"""Safe ranges of energy by every method of the peer, at the pointing unless an offset is asked for."""

from __future__ import annotations

from dataclasses import replace

import astropy.units as u
import numpy as np
from parity_fields import FIELDS, SAFE_ENERGY, SAFE_RANGES
from peer_common import data_store, output_folder, safe_energies


def main() -> None:
    """Dump which bins are safe, (range, energy)."""
    folder = output_folder()
    store = data_store()
    masks = []
    for obs_id, method, parameters in SAFE_RANGES:
        observation = store.obs(obs_id)
        (field,) = [field for field in FIELDS.values() if obs_id in field.obs_ids]
        pointing = observation.get_pointing_icrs(observation.tmid)
        options = dict(parameters)
        place = pointing.directional_offset_by(0 * u.deg, options.pop("fixed_offset", 0.0) * u.deg)
        field = replace(field, energy=SAFE_ENERGY)
        masks.append(safe_energies(field, observation, place, methods=[method], **options))
    np.savez(folder / "safe.npz", safe_energy=np.array(masks))


if __name__ == "__main__":
    main()
