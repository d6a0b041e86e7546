"""Our side of `parity_predictions`: its cube as a dataset, its sources as models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from parity_predictions import SPECTRUM, Responses

from survey.models import Disk, Gaussian, Point, PowerLaw
from survey.models.components import SkyModel
from survey.models.spatial_disk import Shell
from survey.sky.grid import SkyGrid

SHAPES = {shape.tag[1]: shape for shape in (Point, Gaussian, Disk, Shell)}


def grid_of(responses: Responses) -> SkyGrid:
    """Grid around (longitude, 0)."""
    width = responses.size * responses.binsize
    return SkyGrid(
        proj="CAR", frame="icrs", lon=responses.lon, lat=0.0, binsize=responses.binsize, width_x=width, width_y=width,
        cell=responses.cell, chunk=responses.cell * 5, tile=responses.cell * 25,
    )  # fmt: skip


def cube_of(responses: Responses) -> xr.Dataset:
    """The cube without counts and background, safe everywhere."""
    y, x = np.indices((responses.size, responses.size))
    exposure = responses.exposure(responses.pixel_offset(y, x))
    n_cells = responses.size // responses.cell
    mean = exposure.reshape(responses.n_true, n_cells, responses.cell, n_cells, responses.cell).mean(axis=(2, 4))
    v, u = np.indices((n_cells, n_cells)) * responses.cell + 0.5 * (responses.cell - 1)
    offset = responses.pixel_offset(v, u)
    sigma = np.radians(responses.psf_sigma(offset))[:, None]
    rad = np.radians(0.5 * (responses.rad[1:] + responses.rad[:-1]))[None, :, None, None]
    psf = np.exp(-0.5 * (rad / sigma) ** 2) / (2 * np.pi * sigma**2)
    grid = grid_of(responses)
    zero = np.zeros((responses.n_energy, responses.size, responses.size))
    return xr.Dataset(
        {
            "counts": (("energy", "y", "x"), zero.astype(np.int32)),
            "background": (("energy", "y", "x"), zero),
            "exposure": (("energy_true", "y", "x"), exposure),
            "psf_exposure": (("energy_true", "rad", "y_irf", "x_irf"), mean[:, None] * psf),
            "edisp_exposure": (
                ("energy_true", "energy", "y_irf", "x_irf"),
                mean[:, None] * responses.dispersion(offset),
            ),
            "irf_exposure": (("energy_true", "y_irf", "x_irf"), mean),
            "n_safe": (("energy", "y", "x"), np.ones(zero.shape, dtype=np.int32)),
        },
        {
            "energy_edges": ("energy_edge", responses.energy),
            "energy_true_edges": ("energy_true_edge", responses.energy_true),
            "rad_edges": ("rad_edge", responses.rad),
        },
        {"binsize": responses.binsize, "cell": responses.cell, "grid": grid.key()},
    )


def model_of(source: Mapping[str, Any], lon: float) -> SkyModel:
    """The model of a source on a grid around (`lon`, 0)."""
    values = {key: value for key, value in source.items() if key not in ("type", "east", "north")}
    shape = SHAPES[source["type"]](lon_0=lon + source["east"], lat_0=source["north"], **values)
    return SkyModel("source", PowerLaw(index=SPECTRUM["index"], amplitude=SPECTRUM["amplitude"] * 1e4), shape)
