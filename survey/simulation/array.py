"""The parametrised array: the responses of an imaging Cherenkov array in a few numbers, with nothing to download.

It is like a four-telescope array of the 12 m class. With ``E`` the true energy (TeV), ``o`` the offset from the pointing (deg),
``z`` the zenith angle and ``c = cos z``:

====================  =================================================================================================
threshold             ``t = threshold c^-2.5``: a shower seen through more air gives less light a telescope
effective area        ``area c^-1.2 (E / 10 TeV)^0.1 / (1 + (E / t)^-3) exp(-(o / a)^2 / 2)`` with ``a = 1.5 E^0.05`` deg:
                      the pool of light is wider at large zenith angles, and images far from the axis are cut off
energy dispersion     ln(reconstructed / true energy) is Gaussian, mean ``0.2 / (1 + (E / t)^2) - 0.01 o^2``, standard
                      deviation ``energy_resolution (0.75 + 0.25 (E / t)^-1 + 0.03 o^2)``, at most 0.4
PSF                   two Gaussians, 80 % of the events in the narrow one and the rest in one twice as wide;
                      r68 is ``psf_radius sqrt((0.75 + 0.25 E^-0.6) / c^0.5) (1 + (o / 2.5)^2)``
background            a second, TeV and sr: ``background_rate c^-1.2`` x a spectrum ``E^-2.7 / (1 + (E / t)^-4)`` x
                      ``exp(-(o / b)^2 / 2)`` with ``b = 1.35 + 0.1 log10(E)`` deg, x a slope along the altitude, which only
                      an ``ALTAZ`` background has
====================  =================================================================================================

The numbers follow the published performance of such arrays (Aharonian et al. 2006, A&A 457, 899; Berge et al. 2007,
A&A 466, 1219) within some ten per cent. Tables follow the GADF; equal arrays give identical ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.response.table import ResponseAxis, ResponseKind, ResponseTable

Alignment = Literal["RADEC", "ALTAZ"]
LARGEST_ZENITH = 75.0
"""The formulas are not meant beyond this zenith angle, deg; the responses there are those here."""
OFFSET_MAX = 4.0
"""Where the tables end, deg."""
ENERGY_MIN, ENERGY_MAX = 0.05, 150.0
MEV_PER_TEV = 1e6
CORE, TAIL_WIDTH = 0.8, 2.0
"""Fraction of the events in the narrow Gaussian of the PSF, and how much wider the other one is."""
R68_IN_SIGMA = 1.72115482
"""Radius that holds 68 % of such a PSF, in standard deviations of the narrow Gaussian."""
BACKGROUND_INDEX = 2.7
GRADIENT = 0.05
"""Slope of an ``ALTAZ`` background along the altitude, 1 / deg at a zenith angle of 45 deg; it goes as tan(zenith)."""


@dataclass(frozen=True)
class ParametrisedArray:
    """A telescope array in a few numbers; see the module for the formulas that they enter.

    Parameters
    ----------
    area : float
        Effective area on axis at 10 TeV and zenith, m2.
    threshold : float
        True energy at which the effective area at zenith is half of what it would be without a threshold, TeV.
    psf_radius : float
        Radius that contains 68 % of the events at 1 TeV on axis at zenith, deg.
    energy_resolution : float
        Standard deviation of ln(reconstructed / true energy) far above the threshold, over 0.75.
    background_rate : float
        Background events a second in the whole field of view at zenith.
    alignment : str
        FOVALIGN of the background: ``RADEC`` (round) or ``ALTAZ`` (with a slope along the altitude).
    """

    area: float = 2.0e5
    threshold: float = 0.25
    psf_radius: float = 0.07
    energy_resolution: float = 0.15
    background_rate: float = 2.0
    alignment: Alignment = "RADEC"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; ``ParametrisedArray(**values)`` is the inverse."""
        return asdict(self)

    def threshold_at(self, zenith: float) -> float:
        """The threshold of the effective area, TeV, at a zenith angle in deg."""
        return self.threshold * _cosine(zenith) ** -2.5

    def effective_area(self, energy_true: ArrayLike, offset: ArrayLike, zenith: float) -> NDArray[np.float64]:
        """Effective area, m2, at true energies (TeV) and offsets (deg), broadcast."""
        energy, offset = np.asarray(energy_true, np.float64), np.asarray(offset, np.float64)
        rise = 1.0 / (1.0 + (energy / self.threshold_at(zenith)) ** -3)
        width = 1.5 * energy**0.05
        return (
            self.area * _cosine(zenith) ** -1.2 * (energy / 10.0) ** 0.1 * rise * np.exp(-0.5 * (offset / width) ** 2)
        )

    def migration(
        self, energy_true: ArrayLike, offset: ArrayLike, zenith: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of ln(reconstructed / true energy)."""
        ratio = np.asarray(energy_true, np.float64) / self.threshold_at(zenith)
        square = np.asarray(offset, np.float64) ** 2
        mean = 0.2 / (1.0 + ratio**2) - 0.01 * square
        sigma = self.energy_resolution * (0.75 + 0.25 / ratio + 0.03 * square)
        return mean, np.minimum(sigma, 0.4)

    def psf_width(self, energy_true: ArrayLike, offset: ArrayLike, zenith: float) -> NDArray[np.float64]:
        """Radius that contains 68 % of the events, deg."""
        energy, offset = np.asarray(energy_true, np.float64), np.asarray(offset, np.float64)
        on_axis = np.sqrt((0.75 + 0.25 * energy**-0.6) / _cosine(zenith) ** 0.5)
        return self.psf_radius * on_axis * (1.0 + (offset / 2.5) ** 2)

    def background(self, energy: ArrayLike, x: ArrayLike, y: ArrayLike, zenith: float) -> NDArray[np.float64]:
        """Background rate, s-1 TeV-1 sr-1, at reconstructed energies (TeV) and field-of-view coordinates (deg)."""
        energy, x, y = (np.asarray(value, np.float64) for value in (energy, x, y))
        shape = np.exp(-0.5 * (x**2 + y**2) / _background_width(energy) ** 2)
        if self.alignment == "ALTAZ":
            shape = shape * np.maximum(1.0 + GRADIENT * _tangent(zenith) * y, 0.0)
        norm = self.background_rate * _background_norm(self.threshold) * _cosine(zenith) ** -1.2
        return norm * self._spectrum(energy, zenith) * shape

    def _spectrum(self, energy: NDArray[np.float64], zenith: float) -> NDArray[np.float64]:
        return energy**-BACKGROUND_INDEX / (1.0 + (energy / self.threshold_at(zenith)) ** -4)

    def responses(self, zenith: float) -> dict[ResponseKind, ResponseTable]:
        """Response tables at a zenith angle, deg: ``aeff_2d``, ``edisp_2d``, ``psf_3gauss``, ``bkg_3d``."""
        return dict(_responses(self, float(zenith)))


def _cosine(zenith: float) -> float:
    return float(np.cos(np.radians(min(zenith, LARGEST_ZENITH))))


def _tangent(zenith: float) -> float:
    return float(np.tan(np.radians(min(zenith, LARGEST_ZENITH))))


def _background_width(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.35 + 0.1 * np.log10(energy)


@lru_cache(maxsize=16)
def _background_norm(threshold: float) -> float:
    """What makes the rate of the whole field of view at zenith 1 a second."""
    edges = np.geomspace(ENERGY_MIN, ENERGY_MAX, 2001)
    energy = np.sqrt(edges[1:] * edges[:-1])
    field = 2.0 * np.pi * np.radians(_background_width(energy)) ** 2
    rate = energy**-BACKGROUND_INDEX / (1.0 + (energy / threshold) ** -4) * field
    return 1.0 / float((rate * np.diff(edges)).sum())


@lru_cache(maxsize=64)
def _responses(array: ParametrisedArray, zenith: float) -> dict[ResponseKind, ResponseTable]:
    return {
        "aeff": _effective_area(array, zenith),
        "edisp": _energy_dispersion(array, zenith),
        "psf": _psf(array, zenith),
        "bkg": _background_table(array, zenith),
    }


def _axis(name: str, edges: NDArray[np.float64]) -> ResponseAxis:
    return ResponseAxis(name, edges[:-1].copy(), edges[1:].copy())


def _energies() -> ResponseAxis:
    return _axis("energy_true", np.geomspace(ENERGY_MIN, ENERGY_MAX, 57))


def _offsets() -> ResponseAxis:
    nodes = np.linspace(0.0, OFFSET_MAX, 9)
    return ResponseAxis("offset", nodes, nodes.copy())


def _metadata(**more: str | float) -> dict[str, str | float | int | bool]:
    return {"HDUCLAS3": "FULL-ENCLOSURE", "TELESCOP": "SIMULATED", "INSTRUME": "PARAMETRISED", **more}


def _effective_area(array: ParametrisedArray, zenith: float) -> ResponseTable:
    energy, offset = _energies(), _offsets()
    values = array.effective_area(energy.nodes[None, :], offset.nodes[:, None], zenith).astype(np.float32)
    metadata = _metadata(LO_THRES=array.threshold_at(zenith), HI_THRES=ENERGY_MAX)
    return ResponseTable("aeff_2d", (offset, energy), {"EFFAREA": values}, {"EFFAREA": "m2"}, metadata)


def _energy_dispersion(array: ParametrisedArray, zenith: float) -> ResponseTable:
    energy, offset = _energies(), _offsets()
    migra = _axis("migra", np.geomspace(0.2, 5.0, 162))
    mean, sigma = array.migration(energy.nodes[None, None, :], offset.nodes[:, None, None], zenith)
    density = np.exp(-0.5 * ((np.log(migra.nodes[None, :, None]) - mean) / sigma) ** 2) / migra.nodes[None, :, None]
    density /= (density * (migra.high - migra.low)[None, :, None]).sum(axis=1, keepdims=True)
    return ResponseTable(
        "edisp_2d", (offset, migra, energy), {"MATRIX": density.astype(np.float32)}, {"MATRIX": ""}, _metadata()
    )


def _psf(array: ParametrisedArray, zenith: float) -> ResponseTable:
    energy, offset = _energies(), _offsets()
    sigma = array.psf_width(energy.nodes[None, :], offset.nodes[:, None], zenith) / R68_IN_SIGMA
    tail = (1.0 - CORE) / CORE / TAIL_WIDTH**2
    columns = {
        "SCALE": CORE / (2.0 * np.pi * np.radians(sigma) ** 2),
        "SIGMA_1": sigma,
        "AMPL_2": np.full(sigma.shape, tail),
        "SIGMA_2": TAIL_WIDTH * sigma,
        "AMPL_3": np.zeros(sigma.shape),
        "SIGMA_3": np.ones(sigma.shape),
    }
    units = {"SCALE": "sr-1", "SIGMA_1": "deg", "AMPL_2": "", "SIGMA_2": "deg", "AMPL_3": "", "SIGMA_3": "deg"}
    single = {name: column.astype(np.float32) for name, column in columns.items()}
    return ResponseTable("psf_3gauss", (offset, energy), single, units, _metadata())


def _background_table(array: ParametrisedArray, zenith: float) -> ResponseTable:
    energy = _axis("energy", np.geomspace(ENERGY_MIN, ENERGY_MAX, 29))
    edges = np.linspace(-OFFSET_MAX, OFFSET_MAX, 33)
    x, y = _axis("detx", edges), _axis("dety", edges)
    rate = array.background(energy.nodes, x.nodes[None, :, None], y.nodes[:, None, None], zenith) / MEV_PER_TEV
    units = {"BKG": "s-1 MeV-1 sr-1"}
    metadata = _metadata(FOVALIGN=array.alignment)
    return ResponseTable("bkg_3d", (y, x, energy), {"BKG": rate.astype(np.float32)}, units, metadata)
