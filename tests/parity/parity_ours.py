"""Our side of the comparisons: the fields of `parity_fields` through the product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from parity_fields import PREDICTION_AMPLITUDE, PREDICTION_INDEX, Field

from survey.estimators.response_at import Responses
from survey.events.datastore import DataStore, open_datastore
from survey.events.fits_file import FitsFile
from survey.events.gadf_responses import read_response
from survey.events.observation import Observation
from survey.events.problems import Report
from survey.models import PowerLaw
from survey.reduction.axes import Axes
from survey.reduction.contribution import VARIABLES, accumulate, contribution
from survey.reduction.prepare import prepare
from survey.reduction.prepared import PreparedObservation
from survey.reduction.settings import ReductionSettings
from survey.response.table import ResponseTable
from survey.sky.energy import RAD_EDGES, EnergyAxis
from survey.sky.grid import SkyGrid
from survey.sky.pixels import Window
from survey.store.variables import CUBE


@lru_cache(maxsize=2)
def store(data: Path) -> DataStore:
    """H.E.S.S. DL3 DR1."""
    return open_datastore(str(data / "hess-dl3-dr1"))


def read(data: Path, obs_id: int) -> Observation:
    """One observation with all its responses."""
    (source,) = [source for source in store(data).sources if source.obs_id == obs_id]
    return source.load()


def grid(field: Field) -> SkyGrid:
    """The field's pixels."""
    return SkyGrid.create(
        proj="CAR",
        frame=field.frame,
        lon=field.lon,
        lat=field.lat,
        binsize=field.binsize,
        width=field.width,
        binsize_irf=field.binsize_irf,
    )


def axes(field: Field) -> Axes:
    """The field's energies."""
    return Axes(
        EnergyAxis.from_bounds("energy", *field.energy),
        EnergyAxis.from_bounds("energy_true", *field.energy_true),
        RAD_EDGES,
    )


def settings(field: Field) -> ReductionSettings:
    """The field's safe range and offset cut."""
    return ReductionSettings(
        safe_methods=field.safe_methods,
        aeff_percent=field.aeff_percent,
        bias_percent=field.bias_percent,
        safe_offset_max=field.offset_max,
        offset_max=field.offset_max,
    )


def prepared(field: Field, observation: Observation, **changes) -> PreparedObservation:
    """An observation on the field's axes."""
    return prepare(observation, grid(field), axes(field), replace(settings(field), **changes))


def of_observation(
    field: Field,
    observation: PreparedObservation,
    window: Window | None = None,
    variables: tuple[str, ...] | None = None,
) -> tuple[Window, dict[str, NDArray]]:
    """What an observation adds to the part of the grid that it sees, and which part that is."""
    pixels = grid(field)
    if window is None:
        window = pixels.window_around(observation.ra, observation.dec, observation.radius)
    options = {} if variables is None else {"variables": variables}
    return window, contribution(observation, pixels.geometry(window), axes(field), **options)


def containment_radius(profile: NDArray[np.float64], fraction: float = 0.68) -> NDArray[np.float64]:
    """Radius (deg) that holds a fraction of a PSF's content inside `RAD_EDGES`, as the peer's is normalised.

    Parameters
    ----------
    profile : numpy.ndarray (..., rad)
        sr-1.
    """
    annuli = np.pi * np.deg2rad(1.0) ** 2 * np.diff(RAD_EDGES**2)
    inside = np.cumsum(profile * annuli, axis=-1)
    inside = np.concatenate([np.zeros((*inside.shape[:-1], 1)), inside], axis=-1)
    radii = np.full(profile.shape[:-1], np.nan)
    for index in np.ndindex(radii.shape):
        total = inside[index][-1]
        if total > 0:
            radii[index] = np.interp(fraction * total, inside[index], RAD_EDGES)
    return radii


def exclusion(field: Field) -> tuple[dict, ...]:
    """The field's excluded circles."""
    return tuple({"frame": f, "lon": lon, "lat": lat, "radius": radius} for f, lon, lat, radius in field.exclusion)


def config(field: Field, data: Path, outdir: Path) -> dict:
    """The field as a configuration file would have it, run in this process."""

    def deg(value: float) -> str:
        return f"{value} deg"

    energies = {"energy": field.energy, "energy_true": field.energy_true}
    exclusion = [
        {"frame": frame, "lon": deg(lon), "lat": deg(lat), "radius": deg(radius)}
        for frame, lon, lat, radius in field.exclusion
    ]
    return {
        "general": {"outdir": str(outdir)},
        "observations": {"datastore": str(data / "hess-dl3-dr1"), "obs_ids": list(field.obs_ids)},
        "datasets": {
            "geom": {
                "wcs": {
                    "skydir": {"frame": field.frame, "lon": deg(field.lon), "lat": deg(field.lat)},
                    "proj": "CAR",
                    "binsize": deg(field.binsize),
                    "binsize_irf": deg(field.binsize_irf),
                    "width": {"width": deg(field.width), "height": deg(field.width)},
                },
                "selection": {"offset_max": deg(field.offset_max)},
                "axes": {
                    name: {"min": f"{low} TeV", "max": f"{high} TeV", "nbins": size}
                    for name, (low, high, size) in energies.items()
                },
            },
            "safe_mask": {
                "methods": list(field.safe_methods),
                "parameters": {
                    "offset_max": deg(field.offset_max),
                    "aeff_percent": field.aeff_percent,
                    "bias_percent": field.bias_percent,
                },
            },
            "background": {
                "method": "fov_background",
                "parameters": {"method": "scale"},
                "exclusion": exclusion,
            },
        },
        "cluster": {"kind": "none"},
    }


def cube(
    field: Field, observations: Iterable[PreparedObservation], variables: tuple[str, ...] = VARIABLES
) -> xr.Dataset:
    """The stacked cube of a field on its whole grid, in memory."""
    pixels, bins = grid(field), axes(field)
    sums = accumulate(observations, pixels.geometry(pixels.full_window), bins, variables=variables)
    return xr.Dataset(
        {name: (CUBE[name].dims, values) for name, values in sums.items()},
        coords={
            "energy_edges": ("energy_edge", bins.energy.edges),
            "energy_true_edges": ("energy_true_edge", bins.energy_true.edges),
            "rad_edges": ("rad_edge", bins.rad_edges),
        },
        attrs={"binsize": field.binsize, "cell": pixels.cell},
    )


def predicted_counts(dataset: xr.Dataset, y: int, x: int) -> NDArray[np.float64]:
    """Counts of the test source at a pixel of a cube, in its safe range, before the PSF, by bin of energy."""
    spectrum = PowerLaw(index=PREDICTION_INDEX, amplitude=PREDICTION_AMPLITUDE * 1e4)
    size = dataset.sizes["energy"]
    return Responses(dataset, spectrum, slice(0, size)).exposure(y, y + 1, x, x + 1)[0, 0]


def response_file(path: Path, kind: str) -> ResponseTable:
    """The response of a kind in a file of its own, read as if an index listed it."""
    report = Report(obs_id=0)
    file = FitsFile.open(str(path))
    for hdu in file.tables:
        table = read_response(hdu, report=report)
        if table is not None and table.kind == kind:
            return table
    raise LookupError(f"{path} has no response {kind!r}: {report.problems}")


def window_of_peer(inputs: Mapping[str, NDArray], field: Field, *, uniform_response: bool) -> xr.Dataset:
    """The peer's stacked dataset in the layout of a window of our cube.

    Parameters
    ----------
    inputs : mapping
        What `peer_maps` dumps.
    field : Field
        Its field.
    uniform_response : bool
        Put the dispersion of the map's centre everywhere: the peer folds exposures with that one.
    """
    edisp = inputs["edisp"]
    if uniform_response:
        # The peer's centre lies between four cells; it takes the nearest one, rounded up.
        middle = np.array(edisp.shape[2:]) // 2
        edisp = np.broadcast_to(edisp[:, :, middle[0], middle[1]][:, :, None, None], edisp.shape)
    exposure = inputs["edisp_exposure"][:, 0]
    safe = inputs["safe"]
    return xr.Dataset(
        {
            "counts": (("energy", "y", "x"), np.where(safe, inputs["counts"], 0)),
            "background": (("energy", "y", "x"), np.where(safe, inputs["background"], 0)),
            "n_safe": (("energy", "y", "x"), safe.astype(np.int64)),
            "exposure": (("energy_true", "y", "x"), inputs["exposure"]),
            "irf_exposure": (("energy_true", "y_irf", "x_irf"), exposure),
            "edisp_exposure": (("energy_true", "energy", "y_irf", "x_irf"), edisp * exposure[:, None]),
            "psf_exposure": (("energy_true", "rad", "y_irf", "x_irf"), inputs["psf"] * exposure[:, None]),
        },
        coords={
            "energy_edges": ("energy_edge", inputs["energy_edges"]),
            "energy_true_edges": ("energy_true_edge", inputs["energy_true_edges"]),
            "rad_edges": ("rad_edge", inputs["rad_edges"]),
        },
        attrs={"binsize": field.binsize, "cell": grid(field).cell},
    )
