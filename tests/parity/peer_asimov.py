"""Predicted counts of a point source by the peer, observation by observation in its own safe range, added up.

Images (place, energy, y, x) around pixels near the centre of a field and 1.5 degrees off: what our TS map has to give
back the flux of. The peer's PSF kernel holds 99.9 % of the PSF, normalised to one.
"""

from __future__ import annotations

import numpy as np
from gammapy.makers import MapDatasetMaker
from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel
from parity_fields import ASIMOV, ASIMOV_HALF, FIELDS, PREDICTION_AMPLITUDE, PREDICTION_INDEX
from peer_common import data_store, empty_dataset, output_folder, reduce_to


def main() -> None:
    """Dump all fields."""
    folder = output_folder()
    store = data_store()
    maker = MapDatasetMaker()
    spectral = PowerLawSpectralModel(index=PREDICTION_INDEX, amplitude=f"{PREDICTION_AMPLITUDE} TeV-1 cm-2 s-1")
    for name, (obs_ids, places) in ASIMOV.items():
        whole = empty_dataset(FIELDS[name])
        image = whole.counts.geom.to_image()
        total = np.zeros((len(places), *whole.counts.data.shape))
        for obs_id in obs_ids:
            dataset = reduce_to(FIELDS[name], whole, store.obs(obs_id), maker)
            window = dataset.counts.geom.cutout_slices(whole.counts.geom)
            for number, (y, x) in enumerate(places):
                coordinates = image.pix_to_coord((x, y))
                spatial = PointSpatialModel(lon_0=coordinates[0], lat_0=coordinates[1], frame=image.frame)
                dataset.models = [SkyModel(spectral_model=spectral, spatial_model=spatial, name="source")]
                predicted = dataset.npred_signal().data * dataset.mask_safe.data
                total[number][:, *window["parent-slices"]] += predicted[:, *window["cutout-slices"]]
                dataset.models = None
        size = ASIMOV_HALF
        np.savez(
            folder / f"{name}.npz",
            predicted=[
                total[number][:, y - size : y + size + 1, x - size : x + size + 1]
                for number, (y, x) in enumerate(places)
            ],
        )


if __name__ == "__main__":
    main()
