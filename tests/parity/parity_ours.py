"""Our side of the comparisons: the fields of `parity_fields` through the product."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from parity_fields import Field

from survey.events.datastore import DataStore, open_datastore
from survey.events.observation import Observation
from survey.events.source import load
from survey.reduction.axes import Axes
from survey.reduction.contribution import contribution
from survey.reduction.prepare import prepare
from survey.reduction.prepared import PreparedObservation
from survey.reduction.settings import ReductionSettings
from survey.sky.energy import RAD_EDGES, EnergyAxis
from survey.sky.grid import SkyGrid
from survey.sky.pixels import Window


@lru_cache(maxsize=2)
def store(data: Path) -> DataStore:
    """H.E.S.S. DL3 DR1."""
    return open_datastore(str(data / "hess-dl3-dr1"))


def read(data: Path, obs_id: int) -> Observation:
    """One observation with all its responses."""
    (source,) = [source for source in store(data).sources if source.obs_id == obs_id]
    return load(source)


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
