"""What the peer's scripts share: data store, geometry, makers. Runs in the peer's environment only."""

from __future__ import annotations

import argparse
import logging
import os
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.data import DataStore
from gammapy.datasets import MapDataset
from gammapy.makers import MapDatasetMaker, SafeMaskMaker
from gammapy.maps import MapAxis, WcsGeom
from parity_fields import Field
from regions import CircleSkyRegion

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


def output_folder() -> Path:
    """The folder named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def data_folder() -> Path:
    """The real data."""
    return Path(os.environ["SURVEY_DATA"])


def data_store() -> DataStore:
    """H.E.S.S. DL3 DR1."""
    return DataStore.from_dir(data_folder() / "hess-dl3-dr1")


def axes(field: Field) -> tuple[MapAxis, MapAxis]:
    """Reconstructed and true energy axes."""
    low, high, size = field.energy
    energy = MapAxis.from_energy_bounds(low, high, size, unit="TeV")
    low, high, size = field.energy_true
    return energy, MapAxis.from_energy_bounds(low, high, size, unit="TeV", name="energy_true")


def geometry(field: Field) -> WcsGeom:
    """The field's geometry, with its energy axis."""
    return WcsGeom.create(
        skydir=(field.lon, field.lat),
        frame=field.frame,
        proj="CAR",
        binsz=field.binsize,
        width=field.width,
        axes=[axes(field)[0]],
    )


def empty_dataset(field: Field) -> MapDataset:
    """A dataset of zeros on the field's geometry."""
    return MapDataset.create(
        geometry(field), energy_axis_true=axes(field)[1], binsz_irf=field.binsize_irf, name=field.name
    )


def exclusion_mask(field: Field):
    """Map that is True outside the excluded circles."""
    regions = [
        CircleSkyRegion(SkyCoord(lon, lat, unit="deg", frame=frame), radius * u.deg)
        for frame, lon, lat, radius in field.exclusion
    ]
    return geometry(field).to_image().region_mask(regions, inside=False)


def cutout_width(field: Field) -> u.Quantity:
    """Width of the part of a grid that holds every pixel centre within `offset_max` of a pointing.

    The grid's centre is the reference point of its projection, so that pixels hardly shrink in a field of 9 degrees.
    """
    return (2.02 * field.offset_max + 0.1) * u.deg


def safe_energies(field: Field, observation, place: SkyCoord | None = None, methods=None, **options) -> np.ndarray:
    """Bins of reconstructed energy that are safe by the responses at one place, the pointing unless told otherwise.

    The peer takes the dispersion of the nearest response cell and the background of the whole map; on a map of three
    pixels around the place, with response cells as fine, these are those of the place.
    """
    if place is None:
        place = observation.get_pointing_icrs(observation.tmid)
    if methods is None:
        methods = [name for name in field.safe_methods if name != "offset-max"]
        options = {"aeff_percent": field.aeff_percent, "bias_percent": field.bias_percent}
    if not methods:
        return np.ones(field.energy[2], dtype=bool)
    energy, energy_true = axes(field)
    geom = WcsGeom.create(skydir=place, frame="icrs", proj="TAN", binsz=0.01, npix=(3, 3), axes=[energy])
    dataset = MapDataset.create(geom, energy_axis_true=energy_true, binsz_irf=0.01, name="place")
    maker = MapDatasetMaker(selection=["exposure", "background", "edisp"], background_oversampling=10)
    dataset = maker.run(dataset, observation)
    safe = SafeMaskMaker(methods=methods, position=place, **options)
    return safe.run(dataset, observation).mask_safe.data[:, 1, 1]


def reduce_to(field: Field, whole: MapDataset, observation, maker: MapDatasetMaker) -> MapDataset:
    """One observation on its part of a field's grid, with its safe range."""
    pointing = observation.get_pointing_icrs(observation.tmid)
    dataset = whole.cutout(pointing, width=cutout_width(field), name=f"run-{observation.obs_id}")
    dataset = maker.run(dataset, observation)
    dataset = SafeMaskMaker(methods=["offset-max"], offset_max=field.offset_max * u.deg).run(dataset, observation)
    dataset.mask_safe.data &= safe_energies(field, observation)[:, None, None]
    return dataset
