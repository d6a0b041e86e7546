"""The H.E.S.S. Galactic plane survey catalogue: its 78 sources and the large-scale emission as sky models.

The catalogue and the model of the large-scale emission are those of H.E.S.S. Collaboration 2018 (A&A 612, A1), read from the
published FITS table. Conventions are Gammapy's: a source of several Gaussian components, or one with an upper limit of its
size only, is a model a component, named as the component, whose share of the source's flux is that of the map; shells
have 5 % of their outer radius as thickness, since the catalogue gives none. Errors are carried.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from survey.models.collection import Models
from survey.models.components import SkyModel
from survey.models.cutoff_power_laws import ExpCutoffPowerLaw
from survey.models.parameters import Parameter
from survey.models.power_laws import PowerLaw
from survey.models.sky_template import SkyTemplate
from survey.models.spatial import Point, SpatialModel
from survey.models.spatial_disk import Shell
from survey.models.spatial_gauss import Gaussian
from survey.models.spatial_template import TemplateSpatial
from survey.models.spectral import SpectralModel

Row = Mapping[str, Any]
Which = Literal["best", "pl", "ecpl"]

SOURCES, COMPONENTS, LARGE_SCALE = "HGPS_SOURCES", "HGPS_GAUSS_COMPONENTS", "HGPS_LARGE_SCALE_COMPONENT"

SHELL_WIDTH = 0.05
"""Thickness of a shell in parts of its outer radius."""

LARGE_SCALE_NAME = "hgps-large-scale"
LARGE_SCALE_FILE = "hgps-large-scale.fits"
"""File name that the template has; it is made from the table, and written where the models are."""

LARGE_SCALE_INDEX = 2.3
"""Photon index that the survey's flux maps, and with them the brightness of the table, assume."""

LARGE_SCALE_PIXEL = 0.05
"""deg; the band is 0.1 to 0.5 deg wide (standard deviation)."""

LARGE_SCALE_WIDTHS = 5.0
"""Standard deviations after which the band ends."""

PER_M2 = 1e4
"""cm2 in a m2."""


def models_of_hgps(path: str | os.PathLike[str], *, large_scale: bool = True, which: Which = "best") -> Models:
    """All sources of the catalogue, and the large-scale emission.

    Parameters
    ----------
    path : path-like
        The published table, ``hgps_catalog_v1.fits.gz``; ``$NAME`` and ``~`` are expanded.
    large_scale : bool
        Whether the large-scale emission is among them; it comes last.
    which : str
        Spectra: the ``best`` of power law and cut-off power law, or one of them.

    Returns
    -------
    Models
        In the order of the table.

    Raises
    ------
    ValueError
        When there is no such table; the message names file and HDU.
    """
    file, tables = _read(path)
    models = list(_source_models(tables[SOURCES], tables[COMPONENTS], which, str(file)))
    if large_scale:
        models.append(_large_scale(tables[LARGE_SCALE]))
    return Models(models)


def _read(path: str | os.PathLike[str]) -> tuple[Path, dict[str, NDArray[Any]]]:
    file = Path(os.path.expandvars(str(path))).expanduser()
    if not file.is_file():
        raise ValueError(f"HGPS catalogue: no file {file}; give the path of hgps_catalog_v1.fits.gz")
    try:
        with fits.open(file, memmap=False) as hdus:
            missing = [name for name in (SOURCES, COMPONENTS, LARGE_SCALE) if name not in hdus]
            if missing:
                raise ValueError(
                    f"HGPS catalogue: {file} has no HDU {', '.join(missing)}, only "
                    f"{', '.join(hdu.name for hdu in hdus)}; expected the published table"
                )
            return file, {name: np.asarray(hdus[name].data) for name in (SOURCES, COMPONENTS, LARGE_SCALE)}
    except OSError as error:
        raise ValueError(f"HGPS catalogue: {file} is no FITS file: {error}") from None


def _source_models(sources: NDArray[Any], components: NDArray[Any], which: Which, where: str) -> Iterator[SkyModel]:
    by_name = {_text(row["Component_ID"]): row for row in components}
    for row in sources:
        name = _text(row["Source_Name"])
        spectral = _spectrum(row, name, which, where)
        shape = _text(row["Spatial_Model"])
        no_size = shape == "Gaussian" and not float(row["Size"]) > 0
        if shape not in ("2-Gaussian", "3-Gaussian") and not no_size:
            yield SkyModel(name, spectral, _shape(row, shape, name, where))
            continue
        for part in _text(row["Components"]).split(", "):
            component = by_name[part]
            share = float(component["Flux_Map"]) / float(row["Flux_Map"])
            amplitude = spectral.parameters["amplitude"]
            yield SkyModel(
                part,
                spectral.replaced(amplitude=amplitude.with_value(share * amplitude.value)),
                _shape(component, "Gaussian", part, where),
            )


def _text(value: Any) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _parameter(default: Parameter, row: Row, column: str, error: str = "", factor: float = 1.0) -> Parameter:
    """A parameter with the value and error of a row; an error that is not known is zero."""
    known = float(row[error]) if error else 0.0
    return default.with_value(factor * float(row[column]), factor * known if np.isfinite(known) else 0.0)


def _spectrum(row: Row, name: str, which: Which, where: str) -> SpectralModel:
    kind = _text(row["Spectral_Model"]).upper() if which == "best" else which.upper()
    if kind not in ("PL", "ECPL"):
        raise ValueError(f"HGPS catalogue: {where}, source {name}: Spectral_Model {kind!r}, expected PL or ECPL")
    model: SpectralModel = PowerLaw() if kind == "PL" else ExpCutoffPowerLaw()
    defaults = model.parameters
    flux = f"Flux_Spec_{kind}_Diff_Pivot"
    values = {
        "index": _parameter(defaults["index"], row, f"Index_Spec_{kind}", f"Index_Spec_{kind}_Err"),
        "amplitude": _parameter(defaults["amplitude"], row, flux, f"{flux}_Err", PER_M2),
        "reference": _parameter(defaults["reference"], row, f"Energy_Spec_{kind}_Pivot"),
    }
    if kind == "ECPL":
        values["lambda_"] = _parameter(defaults["lambda_"], row, "Lambda_Spec_ECPL", "Lambda_Spec_ECPL_Err")
    return model.replaced(**values)


def _shape(row: Row, kind: str, name: str, where: str) -> SpatialModel:
    classes: dict[str, type[SpatialModel]] = {"Point-Like": Point, "Gaussian": Gaussian, "Shell": Shell}
    if kind not in classes:
        raise ValueError(
            f"HGPS catalogue: {where}, source {name}: Spatial_Model {kind!r}, expected one of {', '.join(classes)}"
        )
    model = classes[kind](frame="galactic")
    defaults = model.parameters
    values = {
        "lon_0": _parameter(defaults["lon_0"], row, "GLON", "GLON_Err"),
        "lat_0": _parameter(defaults["lat_0"], row, "GLAT", "GLAT_Err"),
    }
    if kind == "Gaussian":
        values["sigma"] = _parameter(defaults["sigma"], row, "Size", "Size_Err")
    elif kind == "Shell":
        values["radius"] = _parameter(defaults["radius"], row, "Size", "Size_Err")
        outer = values["radius"].value
        values["radius"] = values["radius"].with_value((1.0 - SHELL_WIDTH) * outer)
        values["width"] = defaults["width"].with_value(SHELL_WIDTH * outer)
    return model.replaced(**values)


def _large_scale(table: NDArray[Any]) -> SkyModel:
    image = large_scale_brightness(table)
    flux = float(np.sum(image.data * image.solid_angle))
    return SkyModel(
        LARGE_SCALE_NAME,
        PowerLaw(index=LARGE_SCALE_INDEX, amplitude=(LARGE_SCALE_INDEX - 1.0) * flux),
        TemplateSpatial(image, filename=LARGE_SCALE_FILE),
    )


def large_scale_brightness(table: NDArray[Any]) -> SkyTemplate:
    """Image of the large-scale emission above 1 TeV, s-1 m-2 sr-1, Galactic.

    At every longitude it is a Gaussian in latitude, whose peak, place and width are linear between the rows of the table;
    it ends where the table ends.

    Parameters
    ----------
    table : structured numpy.ndarray
        Columns ``GLON``, ``GLAT``, ``Width`` (deg), ``Surface_Brightness`` (cm-2 s-1 sr-1).
    """
    lon = (table["GLON"].astype(np.float64) + 180.0) % 360.0 - 180.0
    order = np.argsort(lon)
    lon = lon[order]
    peak, place, width = (table[name].astype(np.float64)[order] for name in ("Surface_Brightness", "GLAT", "Width"))
    half = np.max(np.abs(place) + LARGE_SCALE_WIDTHS * width)
    nx, ny = int((lon[-1] - lon[0]) // LARGE_SCALE_PIXEL), 2 * int(np.ceil(half / LARGE_SCALE_PIXEL)) + 1
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-CAR", "GLAT-CAR"]
    wcs.wcs.crval = [float(0.5 * (lon[0] + lon[-1])) % 360.0, 0.0]
    wcs.wcs.crpix = [0.5 * (nx + 1), 0.5 * (ny + 1)]
    wcs.wcs.cdelt = [-LARGE_SCALE_PIXEL, LARGE_SCALE_PIXEL]
    wcs.wcs.cunit = ["deg", "deg"]
    at = 0.5 * (lon[0] + lon[-1]) - LARGE_SCALE_PIXEL * (np.arange(nx) - 0.5 * (nx - 1))
    lat = LARGE_SCALE_PIXEL * (np.arange(ny) - 0.5 * (ny - 1))[:, None]
    pull = (lat - np.interp(at, lon, place)) / np.interp(at, lon, width)
    data = PER_M2 * np.interp(at, lon, peak) * np.exp(-0.5 * pull**2) * (np.abs(pull) < LARGE_SCALE_WIDTHS)
    header = wcs.to_header().tostring(sep="\n", endcard=False, padding=False)
    return SkyTemplate(data, header, unit="s-1 m-2 sr-1")
