"""Reads a dataset that we exported and dumps what the peer makes of it: arrays, PSF radii, predicted counts.

The second argument is the file, the third a JSON list of places, ``[ra, dec]`` in deg, ICRS.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.datasets import MapDataset
from gammapy.modeling.models import GaussianSpatialModel, PointSpatialModel, PowerLawSpectralModel, SkyModel
from parity_fields import GAUSSIAN_SIGMA, PREDICTION_AMPLITUDE, PREDICTION_INDEX


def main() -> None:
    """Dump one file."""
    out, path, places = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    dataset = MapDataset.read(path, name="exported")
    frame = dataset.counts.geom.frame
    energy_true = dataset.exposure.geom.axes["energy_true"].center
    spectral = PowerLawSpectralModel(index=PREDICTION_INDEX, amplitude=f"{PREDICTION_AMPLITUDE} TeV-1 cm-2 s-1")
    radii, predicted = [], {"point": [], "gaussian": []}
    dataset.mask_safe.data[...] = dataset.mask_safe.data.astype(bool)
    for lon, lat in places:
        position = SkyCoord(lon, lat, unit="deg", frame="icrs").transform_to(frame)
        radii.append(dataset.psf.containment_radius(0.68, energy_true, position).to_value("deg"))
        for name, spatial in (
            ("point", PointSpatialModel.from_position(position)),
            ("gaussian", GaussianSpatialModel.from_position(position)),
        ):
            if name == "gaussian":
                spatial.sigma.value = GAUSSIAN_SIGMA
            dataset.models = [SkyModel(spectral_model=spectral, spatial_model=spatial, name=name)]
            predicted[name].append(dataset.npred_signal().data.sum(axis=(1, 2)))
    dataset.models = None
    np.savez(
        out / "export.npz",
        counts=dataset.counts.data,
        background=dataset.npred_background().data,
        exposure=dataset.exposure.quantity.to_value("m2 s"),
        safe=dataset.mask_safe.data,
        header=dataset.counts.geom.to_image().wcs.to_header_string(),
        energy_edges=dataset.counts.geom.axes["energy"].edges.to_value("TeV"),
        energy_true_edges=dataset.exposure.geom.axes["energy_true"].edges.to_value("TeV"),
        psf_r68=np.array(radii),
        livetime=dataset.gti.time_sum.to_value("s"),
        **{f"predicted_{name}": np.array(values) for name, values in predicted.items()},
    )


if __name__ == "__main__":
    main()
