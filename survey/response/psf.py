"""Point spread function on the survey's axes: tables, three Gaussians, King profiles.

A profile is given by its values at the centres of the bins in distance, scaled so that its sum over the axis,
``sum(psf x 2 pi rad drad)``, is the fraction of events that the file's PSF has inside the axis. It is not normalised to
one: a PSF that is wider than the axis keeps its loss.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from survey.response.interpolation import (
    ResponseError,
    axis_edges,
    checked_values,
    inside,
    interpolate,
    offset_nodes,
    unit_factor,
)
from survey.response.table import ResponseAxis, ResponseTable
from survey.sky.energy import EnergyAxis

REFINED_STEP = 0.05
"""Largest step between the offsets at which a parametrised PSF is evaluated, deg: it is not linear in offset."""

SR_PER_DEG2 = float(np.deg2rad(1.0) ** 2)


def point_spread_function(
    table: ResponseTable, energy_true: EnergyAxis, rad_edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """PSF at the centres of the bins of true energy and of distance.

    Parameters
    ----------
    table : ResponseTable
        Of form ``psf_table``, ``psf_3gauss`` or ``psf_king``.
    energy_true : EnergyAxis
        With ``t`` bins.
    rad_edges : numpy.ndarray (r + 1,)
        deg.

    Returns
    -------
    offset : numpy.ndarray (o,)
        deg.
    psf : numpy.ndarray (o, t, r)
        sr-1.

    Raises
    ------
    ResponseError
        When a value is not finite.
    """
    if table.form == "psf_table":
        return _from_table(table, energy_true, rad_edges)
    if table.form == "psf_3gauss":
        return _from_gaussians(table, energy_true, rad_edges)
    if table.form == "psf_king":
        return _from_king(table, energy_true, rad_edges)
    raise ResponseError(f"HDU class {table.form} found, expected psf_table, psf_3gauss or psf_king")


def annuli(rad_edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solid angles of the bins in distance, sr, in the flat approximation."""
    return np.pi * SR_PER_DEG2 * np.diff(rad_edges**2)


def _scaled(
    profile: NDArray[np.float64], containment: NDArray[np.float64], rad_edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`profile` (o, t, r) scaled to the containment (o, t)."""
    total = np.sum(profile * annuli(rad_edges), axis=-1)
    scale = np.where(total > 0, containment / np.where(total > 0, total, 1.0), 0.0)
    return np.ascontiguousarray(profile * scale[:, :, None])


def _from_table(
    table: ResponseTable, energy_true: EnergyAxis, rad_edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = checked_values(table, "RPSF", ("offset", "energy_true", "rad"), canonical="sr-1", negative=True)
    energy, offset, rad = table.axis("energy_true"), table.axis("offset"), table.axis("rad")
    nodes = offset_nodes(offset)
    at_energy = interpolate(values, energy, energy_true.centers, along=1)
    at_energy[:, ~inside(energy, energy_true.centers)] = 0.0
    density = interpolate(at_energy, offset, nodes)
    centers = 0.5 * (rad_edges[:-1] + rad_edges[1:])
    profile = interpolate(density, rad, centers, along=2).clip(min=0.0)
    profile[:, :, ~inside(rad, centers)] = 0.0
    edges = axis_edges(rad).clip(min=0.0)
    within = np.pi * SR_PER_DEG2 * np.diff(np.minimum(edges, rad_edges[-1]) ** 2)
    return nodes, _scaled(profile, np.sum(density.clip(min=0.0) * within, axis=-1), rad_edges)


def _refined_offsets(axis: ResponseAxis) -> NDArray[np.float64]:
    nodes = offset_nodes(axis)
    parts = [nodes[:1]]
    for low, high in itertools.pairwise(nodes):
        n_steps = max(int(np.ceil((high - low) / REFINED_STEP - 1e-9)), 1) if np.isfinite(high) else 1
        parts.append(np.array([high]) if n_steps == 1 else np.linspace(low, high, n_steps + 1)[1:])
    return np.concatenate(parts)


def _parameters(
    table: ResponseTable, energy_true: EnergyAxis, columns: dict[str, str]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Parameters at the centres of true energy and at refined offsets, (o, t) by column.

    An energy outside the table has the parameters of its nearest end inside; there is no effective area there.
    """
    energy, offset = table.axis("energy_true"), table.axis("offset")
    nodes = _refined_offsets(offset)
    edges = axis_edges(energy)
    energies = np.clip(energy_true.centers, edges[0], edges[-1])
    result = {}
    for column, canonical in columns.items():
        values = checked_values(table, column, ("offset", "energy_true"), canonical=canonical, negative=True)
        if column.startswith("SIGMA"):  # zero marks a component that is not there, in files without one
            values = np.where(values == 0, unit_factor("deg", canonical), values)
        result[column] = interpolate(interpolate(values, energy, energies, along=1), offset, nodes)
    return nodes, result


def _from_gaussians(
    table: ResponseTable, energy_true: EnergyAxis, rad_edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    columns = {"SCALE": "sr-1", "SIGMA_1": "deg", "AMPL_2": "", "SIGMA_2": "deg", "AMPL_3": "", "SIGMA_3": "deg"}
    nodes, values = _parameters(table, energy_true, columns)
    ones = np.ones_like(values["SCALE"])
    amplitudes = np.stack([ones, values["AMPL_2"], values["AMPL_3"]])
    variances = np.stack([values["SIGMA_1"], values["SIGMA_2"], values["SIGMA_3"]]) ** 2
    norms = values["SCALE"] * amplitudes * variances
    total = norms.sum(axis=0)
    norms = np.where(total > 0, norms / np.where(total > 0, total, 1.0), 0.0)
    centers = 0.5 * (rad_edges[:-1] + rad_edges[1:])
    exponent = -0.5 * centers**2 / variances[..., None]
    density = norms[..., None] * np.exp(exponent) / (2 * np.pi * SR_PER_DEG2 * variances[..., None])
    within = norms * -np.expm1(-0.5 * rad_edges[-1] ** 2 / variances)
    return nodes, _scaled(density.sum(axis=0).clip(min=0.0), within.sum(axis=0).clip(0.0, 1.0), rad_edges)


def _from_king(
    table: ResponseTable, energy_true: EnergyAxis, rad_edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, values = _parameters(table, energy_true, {"GAMMA": "", "SIGMA": "deg"})
    gamma, sigma = values["GAMMA"], values["SIGMA"]
    valid = (gamma > 1) & (sigma > 0)
    gamma, sigma = np.where(valid, gamma, 2.0), np.where(valid, sigma, 1.0)
    centers = 0.5 * (rad_edges[:-1] + rad_edges[1:])
    base = 2.0 * gamma * sigma**2
    density = (1.0 + centers**2 / base[..., None]) ** -gamma[..., None]
    density *= ((1.0 - 1.0 / gamma) / (2 * np.pi * SR_PER_DEG2 * sigma**2))[..., None]
    within = 1.0 - (1.0 + rad_edges[-1] ** 2 / base) ** (1.0 - gamma)
    return nodes, _scaled(density, np.where(valid, within, 0.0), rad_edges)
