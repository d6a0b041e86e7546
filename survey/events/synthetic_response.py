"""The synthetic instrument: small parametrised responses, for tests and demonstrations that have no real data.

``survey.events.synthetic`` draws the observations that belong to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from survey.response.table import ResponseAxis, ResponseKind, ResponseTable

PsfForm = Literal["psf_table", "psf_3gauss", "psf_king"]
BackgroundForm = Literal["bkg_2d", "bkg_3d"]
Alignment = Literal["RADEC", "ALTAZ", "REVERSE_LON_RADEC"]
MEV_PER_TEV = 1e6
# The core of the PSF holds this fraction of the events; the rest lies in a tail twice as wide.
CORE_FRACTION = 0.8
TAIL_WIDTH = 2.0
KING_GAMMA = 2.5


@dataclass(frozen=True)
class SyntheticInstrument:
    """A telescope array in a few numbers; equal ones give identical response tables.

    Parameters
    ----------
    aeff_peak : float
        Effective area on axis far above the threshold, m2.
    energy_turn : float
        True energy at which the effective area at zenith is half of `aeff_peak`, TeV; it rises as 1 / cos^2(zenith).
    aeff_width, background_width : float
        Standard deviation of the fall with offset of effective area and background, deg.
    psf_sigma : float
        Standard deviation of the core of the PSF at 1 TeV on axis, deg.
    energy_resolution : float
        Standard deviation of ln(reconstructed / true energy) at 1 TeV.
    energy_bias : float
        Mean of ln(reconstructed / true energy) at the lowest energy; it falls as 1 / energy.
    background_rate : float
        Background events a second of ontime above `background_energy_min`, at any offset.
    background_index : float
        The background falls as energy to the minus this.
    background_gradient : tuple of float
        Relative change of the 3D background a degree along ``DETX`` and ``DETY``.
    background_energy_min : float
        Lower end of the background's energies, TeV.
    psf_form, bkg_form : str
        HDU classes of PSF and background.
    fov_alignment : str
        FOVALIGN of the background.
    offset_max : float
        Largest offset of the tables, deg.
    n_energy, n_offset : int
        Number of true energies from 0.03 to 100 TeV and of offset nodes.
    lo_thres, hi_thres : float or None
        Safe range in the header of the effective area, TeV.
    rad_max : float or None
        Radius of a point-like cut, deg; None for full enclosure.
    """

    aeff_peak: float = 3e5
    energy_turn: float = 0.4
    aeff_width: float = 1.8
    background_width: float = 1.3
    psf_sigma: float = 0.06
    energy_resolution: float = 0.12
    energy_bias: float = 0.15
    background_rate: float = 0.6
    background_index: float = 2.7
    background_gradient: tuple[float, float] = (0.0, 0.0)
    background_energy_min: float = 0.1
    psf_form: PsfForm = "psf_table"
    bkg_form: BackgroundForm = "bkg_3d"
    fov_alignment: Alignment = "RADEC"
    offset_max: float = 3.0
    n_energy: int = 20
    n_offset: int = 5
    lo_thres: float | None = None
    hi_thres: float | None = None
    rad_max: float | None = None

    def effective_area(self, energy_true: NDArray, offset: NDArray, zenith: float) -> NDArray[np.float64]:
        """Effective area, m2, at `energy_true` (TeV), `offset` and `zenith` (deg)."""
        turn = self.energy_turn / np.cos(np.radians(min(zenith, 70.0))) ** 2
        rise = 1.0 / (1.0 + (energy_true / turn) ** -3)
        return self.aeff_peak * rise * np.exp(-0.5 * (offset / self.aeff_width) ** 2)

    def migration(self, energy_true: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of ln(reconstructed / true energy) at `energy_true` (TeV)."""
        mean = self.energy_bias * 0.03 / energy_true
        return mean, self.energy_resolution * energy_true**-0.1

    def psf_width(self, energy_true: NDArray, offset: NDArray) -> NDArray[np.float64]:
        """Standard deviation of the core of the PSF, deg."""
        return self.psf_sigma * energy_true**-0.15 * (1.0 + 0.1 * offset)

    def background_density(self, energy: NDArray) -> NDArray[np.float64]:
        """Background events a second and TeV in the whole field of view at `energy` (TeV), zero below the minimum."""
        low, index = self.background_energy_min, self.background_index
        norm = self.background_rate * (index - 1.0) * low ** (index - 1.0)
        return np.where(energy >= low, norm * energy**-index, 0.0)

    @property
    def background_inside(self) -> float:
        """Background events a second of ontime inside the table's `offset_max`."""
        edge = self.offset_max / self.background_width
        inside = 1.0 - math.exp(-0.5 * edge**2) if self.bkg_form == "bkg_2d" else math.erf(edge / math.sqrt(2.0)) ** 2
        return self.background_rate * inside

    def responses(self, zenith: float) -> dict[ResponseKind, ResponseTable]:
        """Response tables at `zenith` (deg), rounded to tens of degrees so that observations share them."""
        return dict(_responses(self, round(zenith / 10.0) * 10.0))


@lru_cache(maxsize=64)
def _responses(instrument: SyntheticInstrument, zenith: float) -> dict[ResponseKind, ResponseTable]:
    tables = {
        "aeff": _effective_area(instrument, zenith),
        "edisp": _energy_dispersion(instrument),
        "psf": _psf(instrument),
        "bkg": _background(instrument),
    }
    if instrument.rad_max is not None:
        tables["rad_max"] = _rad_max(instrument, instrument.rad_max)
    return tables  # type: ignore[return-value]


def _axis(name: str, edges: NDArray) -> ResponseAxis:
    return ResponseAxis(name, edges[:-1].copy(), edges[1:].copy())


def _energies(instrument: SyntheticInstrument) -> ResponseAxis:
    return _axis("energy_true", np.geomspace(0.03, 100.0, instrument.n_energy + 1))


def _offsets(instrument: SyntheticInstrument) -> ResponseAxis:
    nodes = np.linspace(0.0, instrument.offset_max, instrument.n_offset)
    return ResponseAxis("offset", nodes, nodes.copy())


def _class(instrument: SyntheticInstrument) -> dict[str, str | float | int | bool]:
    return {"HDUCLAS3": "FULL-ENCLOSURE" if instrument.rad_max is None else "POINT-LIKE"}


def _effective_area(instrument: SyntheticInstrument, zenith: float) -> ResponseTable:
    energy, offset = _energies(instrument), _offsets(instrument)
    values = instrument.effective_area(energy.nodes[None, :], offset.nodes[:, None], zenith)
    metadata = _class(instrument)
    if instrument.lo_thres is not None:
        metadata["LO_THRES"] = instrument.lo_thres
    if instrument.hi_thres is not None:
        metadata["HI_THRES"] = instrument.hi_thres
    return ResponseTable(
        "aeff_2d", (offset, energy), {"EFFAREA": values.astype(np.float32)}, {"EFFAREA": "m2"}, metadata
    )


def _energy_dispersion(instrument: SyntheticInstrument) -> ResponseTable:
    energy, offset = _energies(instrument), _offsets(instrument)
    migra = _axis("migra", np.linspace(0.2, 3.0, 57))
    mean, sigma = instrument.migration(energy.nodes[None, :])
    density = np.exp(-0.5 * ((np.log(migra.nodes[:, None]) - mean) / sigma) ** 2) / migra.nodes[:, None]
    density /= (density * (migra.high - migra.low)[:, None]).sum(axis=0)
    values = np.broadcast_to(density.astype(np.float32), (offset.size, *density.shape)).copy()
    return ResponseTable("edisp_2d", (offset, migra, energy), {"MATRIX": values}, {"MATRIX": ""}, _class(instrument))


def _psf(instrument: SyntheticInstrument) -> ResponseTable:
    energy, offset = _energies(instrument), _offsets(instrument)
    sigma = instrument.psf_width(energy.nodes[None, :], offset.nodes[:, None])
    metadata = _class(instrument)
    if instrument.psf_form == "psf_king":
        king = {"GAMMA": np.full(sigma.shape, KING_GAMMA, np.float32), "SIGMA": sigma.astype(np.float32)}
        return ResponseTable("psf_king", (offset, energy), king, {"GAMMA": "", "SIGMA": "deg"}, metadata)
    tail = (1.0 - CORE_FRACTION) / CORE_FRACTION / TAIL_WIDTH**2
    scale = CORE_FRACTION / (2.0 * np.pi * np.radians(sigma) ** 2)
    if instrument.psf_form == "psf_3gauss":
        gauss = {
            "SCALE": scale,
            "SIGMA_1": sigma,
            "AMPL_2": np.full(sigma.shape, tail),
            "SIGMA_2": TAIL_WIDTH * sigma,
            "AMPL_3": np.zeros(sigma.shape),
            "SIGMA_3": np.ones(sigma.shape),
        }
        units = {"SCALE": "sr-1", "SIGMA_1": "deg", "AMPL_2": "", "SIGMA_2": "deg", "AMPL_3": "", "SIGMA_3": "deg"}
        single = {name: column.astype(np.float32) for name, column in gauss.items()}
        return ResponseTable("psf_3gauss", (offset, energy), single, units, metadata)
    rad = _axis("rad", np.linspace(0.0, 0.8, 81))
    radius = rad.nodes[:, None, None]
    density = np.exp(-0.5 * (radius / sigma) ** 2) + tail * np.exp(-0.5 * (radius / (TAIL_WIDTH * sigma)) ** 2)
    rings = 2.0 * np.pi * (np.cos(np.radians(rad.low)) - np.cos(np.radians(rad.high)))
    density /= (density * rings[:, None, None]).sum(axis=0)
    return ResponseTable(
        "psf_table", (rad, offset, energy), {"RPSF": density.astype(np.float32)}, {"RPSF": "sr-1"}, metadata
    )


def _background(instrument: SyntheticInstrument) -> ResponseTable:
    energy = _axis("energy", np.geomspace(instrument.background_energy_min, 100.0, 13))
    rate = instrument.background_density(energy.nodes) / MEV_PER_TEV
    # The density at the centre of a Gaussian of unit integral over the sphere's tangent plane, sr-1.
    peak = 1.0 / (2.0 * np.pi * np.radians(instrument.background_width) ** 2)
    units = {"BKG": "s-1 MeV-1 sr-1"}
    metadata = {**_class(instrument), "FOVALIGN": instrument.fov_alignment}
    if instrument.bkg_form == "bkg_2d":
        offset = _axis("offset", np.linspace(0.0, instrument.offset_max, 2 * instrument.n_offset + 1))
        shape = np.exp(-0.5 * (offset.nodes / instrument.background_width) ** 2)
        values = (peak * shape[:, None] * rate).astype(np.float32)
        return ResponseTable("bkg_2d", (offset, energy), {"BKG": values}, units, metadata)
    edges = np.linspace(-instrument.offset_max, instrument.offset_max, 6 * instrument.n_offset + 1)
    x, y = _axis("detx", edges), _axis("dety", edges)
    shape = np.exp(
        -0.5 * (x.nodes[None, :] ** 2 + y.nodes[:, None] ** 2) / instrument.background_width**2
    ) * background_slope(instrument, x.nodes[None, :], y.nodes[:, None])
    values = (peak * shape[:, :, None] * rate).astype(np.float32)
    return ResponseTable("bkg_3d", (y, x, energy), {"BKG": values}, units, metadata)


def background_slope(instrument: SyntheticInstrument, x: NDArray, y: NDArray) -> NDArray[np.float64]:
    """Factor of the background's gradient at field-of-view coordinates `x`, `y` (deg)."""
    slope_x, slope_y = instrument.background_gradient
    return np.maximum(1.0 + slope_x * x + slope_y * y, 0.0)


def _rad_max(instrument: SyntheticInstrument, radius: float) -> ResponseTable:
    energy, offset = _energies(instrument), _offsets(instrument)
    reconstructed = ResponseAxis("energy", energy.low, energy.high)
    values = np.full((offset.size, energy.size), radius, np.float32)
    return ResponseTable(
        "rad_max_2d", (offset, reconstructed), {"RAD_MAX": values}, {"RAD_MAX": "deg"}, _class(instrument)
    )
