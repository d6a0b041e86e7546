"""What the peer's scripts share: data store, geometry, makers. Runs in the peer's environment only."""

from __future__ import annotations

import argparse
import logging
import os
import warnings
from pathlib import Path

import astropy.units as u
from astropy.coordinates import SkyCoord
from gammapy.data import DataStore
from gammapy.datasets import MapDataset
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
