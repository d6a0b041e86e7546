"""Predicted counts of sources on a cube that we exported, by the peer: ``peer_npred.py OUT CUBE.fits SOURCES.json``."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from gammapy.datasets import MapDataset
from gammapy.modeling.models import (
    DiskSpatialModel,
    GaussianSpatialModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    ShellSpatialModel,
    SkyModel,
)
from parity_predictions import SPECTRUM

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

SHAPES = {
    "point": PointSpatialModel,
    "gauss": GaussianSpatialModel,
    "disk": DiskSpatialModel,
    "shell": ShellSpatialModel,
}


def model_of(source: dict, lon: float) -> SkyModel:
    """The peer's model of a source on a grid around (`lon`, 0)."""
    values = {key: value * u.deg for key, value in source.items() if key not in ("type", "east", "north")}
    spatial = SHAPES[source["type"]](
        lon_0=(lon + source["east"]) * u.deg, lat_0=source["north"] * u.deg, frame="icrs", **values
    )
    spectral = PowerLawSpectralModel(
        index=SPECTRUM["index"], amplitude=SPECTRUM["amplitude"] * u.Unit("TeV-1 s-1 cm-2")
    )
    return SkyModel(spectral_model=spectral, spatial_model=spatial, name="source")


def main() -> None:
    """Dump the counts of every source, one at a time."""
    out, cube, sources = (Path(argument) for argument in sys.argv[1:4])
    dataset = MapDataset.read(cube, name="cube")
    content = json.loads(sources.read_text())
    found = {}
    for name, source in content["sources"].items():
        dataset.models = [model_of(source, content["lon"])]
        found[name] = dataset.npred_signal().data
        dataset.models = None
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "npred.npz", **found)


if __name__ == "__main__":
    main()
