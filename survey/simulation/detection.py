"""Detection: effective area, energy dispersion and PSF in the form in which events are drawn from them.

The densities are those that `survey.response` brings to the axes of a survey, in the limit of fine axes: linear in the
logarithm of the energy and in offset between the nodes of the tables, extrapolated to their outer edges, nothing beyond.
The tables of a response are made once and kept, since many observations share it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from survey.response.interpolation import (
    ResponseError,
    axis_edges,
    checked_values,
    interpolate,
    offset_nodes,
    unit_factor,
)
from survey.response.psf import REFINED_STEP
from survey.response.table import ResponseAxis, ResponseTable
from survey.simulation import kernels_sampling as kernels

Array = NDArray[np.float64]

BINS_PER_DECADE = 60
"""Bins of true energy, and of the background's energy, that densities are tabulated in; power laws inside."""

RAD_STEPS = 400
"""Annuli that a tabulated PSF is brought to; even inside."""

SR_PER_DEG2 = float(np.deg2rad(1.0) ** 2)


@dataclass(frozen=True)
class Shared:
    """A response table that is known by its content: equal ones are prepared once."""

    content: str
    table: ResponseTable = field(compare=False)

    @classmethod
    def of(cls, table: ResponseTable) -> Shared:
        """The key of a table."""
        return cls(table.content_hash, table)


def subdivided(cuts: Array) -> Array:
    """Energies `cuts` and so many between them that no bin is wider than a part `BINS_PER_DECADE` of a decade."""
    cuts = np.unique(cuts)
    cuts = cuts[np.append(True, np.diff(cuts) > 1e-9 * cuts[1:])]
    parts = [cuts[:1]]
    for low, high in itertools.pairwise(cuts):
        parts.append(np.geomspace(low, high, max(int(np.ceil(np.log10(high / low) * BINS_PER_DECADE)), 1) + 1)[1:])
    return np.concatenate(parts)


def _energy_nodes(axis: ResponseAxis) -> Array:
    """Nodes of an energy axis and the outer edges that it extrapolates to."""
    edges = axis_edges(axis)
    nodes = np.unique(np.concatenate([edges[:1], axis.nodes, edges[-1:]]))
    return nodes if nodes.size > 1 else nodes * np.array([1.0 - 1e-6, 1.0 + 1e-6])


@dataclass(frozen=True, eq=False)
class Area:
    """Effective area.

    Parameters
    ----------
    nodes : numpy.ndarray (o,)
        Offsets, deg.
    log_nodes : numpy.ndarray (t,)
        Logarithms of true energies in TeV.
    area : numpy.ndarray (o, t)
        m2, linear in between and cut at zero.
    edges : numpy.ndarray (g + 1,)
        Edges of a fine grid of true energies, TeV, which has the nodes among them.
    """

    nodes: Array
    log_nodes: Array
    area: Array
    edges: Array

    @property
    def reach(self) -> float:
        """Offset beyond which nothing is detected, deg."""
        return float(self.nodes[-1])

    def ceiling(self, low: float, high: float) -> Array:
        """Largest area between two offsets (deg) in every bin of the fine grid, m2, shape (g,)."""
        low, high = max(low, float(self.nodes[0])), min(high, float(self.nodes[-1]))
        inner = self.nodes[(self.nodes > low) & (self.nodes < high)]
        at = np.concatenate([[low], inner, [high]])
        index = np.clip(np.searchsorted(self.nodes, at, side="right") - 1, 0, self.nodes.size - 2)
        upper = ((at - self.nodes[index]) / (self.nodes[index + 1] - self.nodes[index]))[:, None]
        # linear in between: the largest value of an interval is at one of its ends
        largest = ((1.0 - upper) * self.area[index] + upper * self.area[index + 1]).max(axis=0).clip(min=0.0)
        at_edges = np.interp(np.log(self.edges), self.log_nodes, largest)
        return np.maximum(at_edges[:-1], at_edges[1:])

    def keep(self, rng: np.random.Generator, energy: Array, offset: Array, ceiling: Array, kept: NDArray) -> None:
        """Keep photons (n,) that were drawn for areas `ceiling` in proportion to the area; changes `kept`."""
        random = rng.random(energy.size)
        kernels.keep_detected(random, np.log(energy), offset, ceiling, self.nodes, self.log_nodes, self.area, kept)


@dataclass(frozen=True, eq=False)
class Migration:
    """Energy dispersion: normalised densities of reconstructed over true energy at nodes of offset and energy."""

    nodes: Array
    log_nodes: Array
    totals: Array
    cumulative: Array
    edges: Array

    def draw(self, rng: np.random.Generator, energy: Array, offset: Array) -> Array:
        """Reconstructed energies, TeV, of photons (n,); NaN for those that have none."""
        migration = np.empty(energy.size)
        random = rng.random((energy.size, 3))
        kernels.draw_migration(
            random,
            np.log(energy),
            offset,
            self.nodes,
            self.log_nodes,
            self.totals,
            self.cumulative,
            self.edges,
            migration,
        )
        migration[offset > self.nodes[-1]] = np.nan
        return migration * energy


@dataclass(frozen=True, eq=False)
class Spread:
    """PSF: a table (`totals`, `cumulative`, `edges`), or the parameters of a profile (`values`)."""

    form: str
    nodes: Array
    log_nodes: Array
    totals: Array = field(default_factory=lambda: np.ones((0, 0)))
    cumulative: Array = field(default_factory=lambda: np.ones((0, 0, 0)))
    edges: Array = field(default_factory=lambda: np.ones(0))
    values: Array = field(default_factory=lambda: np.ones((0, 0, 0)))

    @property
    def excess(self) -> float:
        """Largest integral of the PSF, at least 1: so many photons have to be drawn for one."""
        return max(1.0, float(self.totals.max())) if self.totals.size else 1.0

    def draw(self, rng: np.random.Generator, energy: Array, offset: Array) -> Array:
        """Distances, deg, of photons (n,) from their true directions; NaN for those outside the PSF's table."""
        radius = np.empty(energy.size)
        random = rng.random((energy.size, 3))
        at = (random, np.log(energy), offset, self.nodes, self.log_nodes)
        if self.form == "psf_table":
            kernels.draw_radius_of_table(*at, self.totals, self.cumulative, self.edges, self.excess, radius)
        elif self.form == "psf_3gauss":
            kernels.draw_radius_of_gaussians(*at, self.values, radius)
        else:
            kernels.draw_radius_of_king(*at, self.values, radius)
        radius[offset > self.nodes[-1]] = np.nan
        return radius


@dataclass(frozen=True, eq=False)
class Detection:
    """What turns photons into events; without `migration` or `spread` these are exact.

    Parameters
    ----------
    area : Area
    migration : Migration or None
    spread : Spread or None
    """

    area: Area
    migration: Migration | None
    spread: Spread | None

    @classmethod
    def of(cls, responses: Mapping[str, ResponseTable]) -> Detection:
        """From the responses of an observation by kind; ResponseError when there is no effective area."""
        if "aeff" not in responses:
            raise ResponseError(f"no response aeff to draw sources with, there are {sorted(responses)}")
        edisp, psf = responses.get("edisp"), responses.get("psf")
        return cls(
            _area(Shared.of(responses["aeff"])),
            None if edisp is None else _migration(Shared.of(edisp)),
            None if psf is None else _spread(Shared.of(psf)),
        )


@lru_cache(maxsize=64)
def _area(shared: Shared) -> Area:
    table = shared.table
    values = checked_values(table, "EFFAREA", ("offset", "energy_true"), canonical="m2", negative=True).clip(min=0.0)
    energy, offset = table.axis("energy_true"), table.axis("offset")
    energies, nodes = _energy_nodes(energy), offset_nodes(offset)
    area = interpolate(interpolate(values, energy, energies, along=1), offset, nodes)
    return Area(nodes, np.log(energies), np.ascontiguousarray(area), subdivided(energies))


@lru_cache(maxsize=64)
def _migration(shared: Shared) -> Migration:
    table = shared.table
    values = checked_values(table, "MATRIX", ("offset", "energy_true", "migra"), canonical="", negative=True)
    energy, offset, migra = table.axis("energy_true"), table.axis("offset"), table.axis("migra")
    energies, nodes, edges = _energy_nodes(energy), offset_nodes(offset), axis_edges(migra)
    density = interpolate(interpolate(values, energy, energies, along=1), offset, nodes).clip(min=0.0)
    totals, cumulative = _normalised(density * np.diff(edges))
    return Migration(nodes, np.log(energies), totals, cumulative, edges)


def _normalised(parts: Array) -> tuple[Array, Array]:
    """Sums over the last axis, and cumulative fractions at the edges of its bins."""
    cumulative = np.zeros((*parts.shape[:-1], parts.shape[-1] + 1))
    np.cumsum(parts, axis=-1, out=cumulative[..., 1:])
    totals = np.ascontiguousarray(cumulative[..., -1])
    return totals, cumulative / np.where(totals > 0, totals, 1.0)[..., None]


@lru_cache(maxsize=64)
def _spread(shared: Shared) -> Spread:
    form = shared.table.form
    if form == "psf_table":
        return _spread_of_table(shared.table)
    if form == "psf_3gauss":
        columns = {"SCALE": "sr-1", "AMPL_2": "", "AMPL_3": "", "SIGMA_1": "deg", "SIGMA_2": "deg", "SIGMA_3": "deg"}
    elif form == "psf_king":
        columns = {"GAMMA": "", "SIGMA": "deg"}
    else:
        raise ResponseError(f"HDU class {form} found, expected psf_table, psf_3gauss or psf_king")
    energy, offset = shared.table.axis("energy_true"), shared.table.axis("offset")
    energies, nodes = _energy_nodes(energy), _refined(offset_nodes(offset))
    values = []
    for column, canonical in columns.items():
        found = checked_values(shared.table, column, ("offset", "energy_true"), canonical=canonical, negative=True)
        if column.startswith("SIGMA"):  # zero marks a component that is not there, in files without one
            found = np.where(found == 0, unit_factor("deg", canonical), found)
        values.append(interpolate(interpolate(found, energy, energies, along=1), offset, nodes))
    return Spread(form, nodes, np.log(energies), values=np.stack(values))


def _refined(nodes: Array) -> Array:
    """Offsets between which a parametrised PSF is linear: those at which `survey.response.psf` evaluates it."""
    parts = [nodes[:1]]
    for low, high in itertools.pairwise(nodes):
        n_steps = max(int(np.ceil((high - low) / REFINED_STEP - 1e-9)), 1) if np.isfinite(high) else 1
        parts.append(np.linspace(low, high, n_steps + 1)[1:] if n_steps > 1 else np.array([high]))
    return np.concatenate(parts)


def _spread_of_table(table: ResponseTable) -> Spread:
    values = checked_values(table, "RPSF", ("offset", "energy_true", "rad"), canonical="sr-1", negative=True)
    energy, offset, rad = table.axis("energy_true"), table.axis("offset"), table.axis("rad")
    energies, nodes = _energy_nodes(energy), offset_nodes(offset)
    density = interpolate(interpolate(values, energy, energies, along=1), offset, nodes)
    own = axis_edges(rad).clip(min=0.0)
    # as many events as the table's own annuli hold, spread as the profile that is linear between their centres
    totals = np.pi * SR_PER_DEG2 * np.sum(density.clip(min=0.0) * np.diff(own**2), axis=-1)
    edges = np.linspace(0.0, own[-1], RAD_STEPS + 1)
    inside = np.minimum(0.5 * (edges[:-1] + edges[1:]), own[-1])
    profile = interpolate(density, rad, inside, along=2).clip(min=0.0)
    profile[..., inside < own[0]] = 0.0
    _, cumulative = _normalised(profile * np.diff(edges**2))
    return Spread("psf_table", nodes, np.log(energies), totals=totals, cumulative=cumulative, edges=edges)
