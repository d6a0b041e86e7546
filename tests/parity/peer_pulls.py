"""Fits of simulated sources by the peer: one-dimensional, a circle around each, on the background of the response."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.data import DataStore
from gammapy.datasets import SpectrumDataset
from gammapy.makers import SpectrumDatasetMaker
from gammapy.maps import MapAxis, RegionGeom
from gammapy.modeling import Fit
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from regions import CircleSkyRegion

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


def main() -> None:
    """Dump values and errors of all fits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("truth", type=Path)
    arguments = parser.parse_args()
    truth = json.loads(arguments.truth.read_text())
    store = DataStore.from_dir(arguments.store)
    energy = MapAxis.from_energy_bounds(0.5, 30, 12, unit="TeV")
    energy_true = MapAxis.from_energy_bounds(0.1, 120, 60, unit="TeV", name="energy_true")
    region = CircleSkyRegion(SkyCoord(truth["ra"], truth["dec"], unit="deg"), 0.3 * u.deg)
    empty = SpectrumDataset.create(RegionGeom.create(region, axes=[energy]), energy_axis_true=energy_true)
    maker = SpectrumDatasetMaker(
        selection=["counts", "exposure", "edisp", "background"], containment_correction=True, background_oversampling=10
    )
    values, errors = [], []
    for obs_id in store.obs_ids:
        dataset = maker.run(empty.copy(name=str(obs_id)), store.obs(obs_id))
        spectrum = PowerLawSpectralModel(
            index=truth["index"], amplitude=truth["amplitude"] * u.Unit("TeV-1 s-1 m-2"), reference=1 * u.TeV
        )
        spectrum.amplitude.quantity = spectrum.amplitude.quantity.to("TeV-1 s-1 cm-2")
        dataset.models = [SkyModel(spectral_model=spectrum, name="source")]
        Fit().run([dataset])
        values.append([spectrum.index.value, spectrum.amplitude.quantity.to_value("TeV-1 s-1 m-2")])
        errors.append(
            [spectrum.index.error, (spectrum.amplitude.error * spectrum.amplitude.unit).to_value("TeV-1 s-1 m-2")]
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.out / "fits.npz", values=values, errors=errors)


if __name__ == "__main__":
    main()
