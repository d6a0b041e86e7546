"""Templates of predicted counts: a FITS map in reconstructed energy on the pixels of the cube, times a norm and a tilt."""

from __future__ import annotations

import numpy as np
import xarray as xr
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from survey.models.components import TemplateNPredModel
from survey.sky.grid import SkyGrid
from survey.sky.pixels import Window

Array = NDArray[np.float64]

PLACE_TOLERANCE = 1e-2
"""Pixels that the centres of template and cube may be apart."""


def template_counts(dataset: xr.Dataset, model: TemplateNPredModel) -> tuple[Array, Window]:
    """Counts of a template in the safe bins of a dataset, and the pixels that they belong to.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the attribute ``grid``, the edges of its energies, and ``n_safe`` if there is one.
    model : TemplateNPredModel
        Its file holds Gammapy's FITS map: an image in the first HDU with data, its energies in the table ``BANDSHDU``.

    Raises
    ------
    ValueError
        When the file has no such map, or one that is not on the pixels and energies of the dataset.
    """
    if model.spatial is not None:
        raise ValueError(
            f"model {model.name}.spatial: {model.spatial.tag[0]}, expected none: templates are predicted as they are"
        )
    values, wcs, edges = _read(model)
    expected = np.asarray(dataset["energy_edges"].values, dtype=float)
    if edges.shape != expected.shape or not np.allclose(edges, expected, rtol=1e-4):
        raise ValueError(
            f"model {model.name}.filename: {model.filename} has {edges.size - 1} energies from {edges[0]:g} to "
            f"{edges[-1]:g} TeV, expected the {expected.size - 1} of the cube from {expected[0]:g} to {expected[-1]:g} TeV"
        )
    first = int(dataset.attrs.get("y_first", 0)), int(dataset.attrs.get("x_first", 0))
    grid = SkyGrid.from_key(dataset.attrs["grid"])
    ny, nx = values.shape[1:]
    corners = np.array([[0, 0], [0, nx - 1], [ny - 1, 0], [ny - 1, nx - 1]])
    sky = wcs.pixel_to_world(corners[:, 1], corners[:, 0]).icrs
    y, x = grid.world_to_pixel(sky.ra.deg, sky.dec.deg)
    start = np.rint(np.array([y[0], x[0]]))
    away = np.abs(np.stack([y, x], axis=1) - corners - start).max()
    if not away <= PLACE_TOLERANCE:
        raise ValueError(
            f"model {model.name}.filename: {model.filename} is not on the pixels of the cube (up to {away:.3g} pixels away), "
            "expected the cube's own grid or a part of it"
        )
    y0, x0 = int(start[0]) - first[0], int(start[1]) - first[1]
    whole = Window(y0, y0 + ny, x0, x0 + nx)
    target = whole.intersection(Window(0, dataset.sizes["y"], 0, dataset.sizes["x"]))
    inner = target.relative_to(whole).slices
    factors = np.asarray(model.spectral.value(np.sqrt(expected[1:] * expected[:-1])))
    counts = values[:, *inner] * factors[:, None, None]
    if "n_safe" in dataset:
        rows, columns = target.slices
        counts[dataset["n_safe"].transpose("energy", "y", "x").values[:, rows, columns] <= 0] = 0.0
    return counts, target


def _read(model: TemplateNPredModel) -> tuple[Array, WCS, Array]:
    """Values (energy, y, x), celestial WCS and edges in TeV of a template's file."""
    try:
        with fits.open(model.filename) as hdus:
            image = next((hdu for hdu in hdus if hdu.is_image and hdu.data is not None and hdu.data.ndim == 3), None)
            if image is None or str(image.header.get("BANDSHDU", "")) not in hdus:
                raise ValueError(
                    f"model {model.name}.filename: {model.filename} has no image with energies, expected a map of Gammapy's "
                    "with the keyword BANDSHDU"
                )
            bands = hdus[image.header["BANDSHDU"]]
            scale = {"TeV": 1.0, "GeV": 1e-3, "MeV": 1e-6, "keV": 1e-9}[bands.columns["E_MIN"].unit or "TeV"]
            edges = np.append(bands.data["E_MIN"], bands.data["E_MAX"][-1]).astype(float) * scale
            return np.asarray(image.data, dtype=float), WCS(image.header).celestial, edges
    except OSError as error:
        raise ValueError(f"model {model.name}.filename: {model.filename} cannot be read ({error})") from None
