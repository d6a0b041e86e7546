"""A synthetic population of Galactic sources, for simulated surveys that have no catalogue at hand.

Places
    The surface density of sources goes with the distance from the Galactic centre as that of pulsars (Yusifov and Kucuk
    2004, A&A 422, 545, eq. 15), and they lie on the four logarithmic arms of Faucher-Giguere and Kaspi (2006, ApJ 643, 332,
    table 2) with their scatter: 7 % of the distance in the plane, angles blurred near the centre by
    ``exp(-0.35 r / kpc)``. Heights are exponential. The Sun is 8.5 kpc from the centre.
Luminosities
    Photons a second above 1 TeV, a power law between two limits. Steppa and Egberts (2020, A&A 643, A137) find powers of
    -1.6 to -1.9, and -1.1 to -1.6 for the radii, from the sources of the H.E.S.S. Galactic plane survey corrected for
    what it could not see, with 800 to 7000 sources and a total of (1.6 to 6.3) x 1e36 photons a second in the Galaxy. The
    defaults here lie in these ranges.
Sizes
    Physical radii are a power law between two limits. The size on the sky is radius / distance; it is the standard deviation
    of a Gaussian or, for one source in eight, the outer radius of a shell. Sources smaller than `POINT_SIZE` are points.
Spectra
    Power laws, for a part of the sources with a cut-off, whose indices scatter about a mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survey.models.collection import Models
from survey.models.components import SkyModel
from survey.models.cutoff_power_laws import ExpCutoffPowerLaw
from survey.models.power_laws import PowerLaw
from survey.models.spatial import Point, SpatialModel
from survey.models.spatial_disk import Shell
from survey.models.spatial_gauss import Gaussian
from survey.models.spectral import SpectralModel

Array = NDArray[np.float64]

SUN = 8.5
"""Distance of the Sun from the Galactic centre, kpc, that of the arms' parametrisation."""

ARMS: tuple[tuple[str, float, float, float], ...] = (
    ("Norma", 4.25, 3.48, 1.57),
    ("Carina-Sagittarius", 4.25, 3.48, 4.71),
    ("Perseus", 4.89, 4.90, 4.09),
    ("Crux-Scutum", 4.89, 4.90, 0.95),
)
"""Name, winding (rad), inner distance (kpc) and angle there (rad): the angle at r is winding x log(r / inner) + angle."""

ARM_SCATTER = 0.07
BLUR_LENGTH = 2.857
"""kpc, over which the arms emerge from the centre."""

RADIAL = (1.64, 4.01, 0.55)
"""Rise, fall and shift (kpc) of the surface density of pulsars."""

RADIUS_MAX = 20.0
POINT_SIZE = 0.01
"""Sources of a smaller size, deg, are points: a tenth of the PSF of such an array."""

SHELL_PART = 8
"""One extended source in so many is a shell."""

SHELL_WIDTH = 0.2
"""Thickness of a shell in parts of its outer radius."""

M2_PER_KPC2 = 3.0856775814913673e19**2


@dataclass(frozen=True)
class PopulationSettings:
    """What a population is made of.

    Parameters
    ----------
    size : int
        Sources in the whole Galaxy.
    height : float
        Scale height above the plane, kpc.
    luminosity_min, luminosity_max : float
        Photons a second above 1 TeV.
    luminosity_index : float
        Sources per luminosity fall with this power, positive.
    radius_min, radius_max : float
        Physical radii, pc.
    radius_index : float
        Sources per radius fall with this power, positive.
    spectral_index, spectral_scatter : float
        Mean and standard deviation of the photon index; kept between 1.5 and 3.5.
    cutoff_part : float
        Part of the sources that have a cut-off, between 5 and 50 TeV, even in its logarithm.
    flux_min : float
        Fainter sources are left out, s-1 m-2 above 1 TeV; 1e-10 is half a thousandth of the Crab nebula.
    """

    size: int = 1000
    height: float = 0.05
    luminosity_min: float = 1e32
    luminosity_max: float = 1e36
    luminosity_index: float = 1.7
    radius_min: float = 1.0
    radius_max: float = 40.0
    radius_index: float = 1.3
    spectral_index: float = 2.4
    spectral_scatter: float = 0.25
    cutoff_part: float = 0.2
    flux_min: float = 1e-10

    def __post_init__(self) -> None:
        for name in ("size", "flux_min"):
            if getattr(self, name) < 0:
                raise ValueError(f"population.{name}: {getattr(self, name)}, expected zero or more")
        for name in ("height", "luminosity_min", "radius_min"):
            if not getattr(self, name) > 0:
                raise ValueError(f"population.{name}: {getattr(self, name)}, expected more than zero")
        for kind in ("luminosity", "radius"):
            low, high = getattr(self, f"{kind}_min"), getattr(self, f"{kind}_max")
            if not low < high:
                raise ValueError(f"population.{kind}_max: {high:g}, expected more than {kind}_min, {low:g}")
        if not 0 <= self.cutoff_part <= 1:
            raise ValueError(f"population.cutoff_part: {self.cutoff_part}, expected a number from 0 to 1")


def make_population(settings: PopulationSettings | None = None, seed: int = 0) -> Models:
    """A population; equal settings and seeds give equal ones.

    Parameters
    ----------
    settings : PopulationSettings, optional
    seed : int

    Returns
    -------
    Models
        From the brightest to the faintest above 1 TeV, called ``source-0001`` and so on; positions are Galactic.
    """
    settings = PopulationSettings() if settings is None else settings
    rng = np.random.default_rng(seed)
    x, y, z = galactic_places(rng, settings.size, settings.height)
    luminosity = power_law(
        rng, settings.size, settings.luminosity_min, settings.luminosity_max, settings.luminosity_index
    )
    radius = power_law(rng, settings.size, settings.radius_min, settings.radius_max, settings.radius_index)
    lon, lat, distance = from_the_sun(x, y, z)
    index = np.clip(rng.normal(settings.spectral_index, settings.spectral_scatter, settings.size), 1.5, 3.5)
    has_cutoff = rng.random(settings.size) < settings.cutoff_part
    cutoff = np.where(has_cutoff, np.exp(rng.uniform(np.log(5.0), np.log(50.0), settings.size)), np.inf)
    is_shell = rng.integers(SHELL_PART, size=settings.size) == 0
    flux = luminosity / (4.0 * np.pi * distance**2 * M2_PER_KPC2)
    size = np.degrees(np.arctan(radius * 1e-3 / distance))
    order = np.argsort(-flux, kind="stable")
    order = order[flux[order] >= settings.flux_min]

    def models() -> Iterator[SkyModel]:
        for number, n in enumerate(order, start=1):
            yield SkyModel(
                f"source-{number:04d}",
                _spectrum(flux[n], index[n], cutoff[n]),
                _shape(lon[n], lat[n], size[n], shell=bool(is_shell[n])),
            )

    return Models(tuple(models()))


def galactic_places(rng: np.random.Generator, count: int, height: float) -> tuple[Array, Array, Array]:
    """Places of `count` sources, kpc: x towards longitude 90, y away from the centre at the Sun, z to the north."""
    rise, fall, shift = RADIAL
    grid = np.linspace(0.0, RADIUS_MAX, 4001)
    density = grid * ((grid + shift) / (SUN + shift)) ** rise * np.exp(-fall * (grid - SUN) / (SUN + shift))
    cumulative = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1])))
    radius = np.interp(rng.random(count) * cumulative[-1], cumulative, grid).clip(min=1e-3)
    winding, inner, start = np.array([arm[1:] for arm in ARMS]).T[:, rng.integers(len(ARMS), size=count)]
    angle = winding * np.log(radius / inner) + start
    angle += rng.random(count) * 2.0 * np.pi * np.exp(-radius / BLUR_LENGTH)
    away, towards = np.abs(rng.normal(0.0, ARM_SCATTER, count)) * radius, rng.random(count) * 2.0 * np.pi
    x = radius * np.cos(angle) + away * np.cos(towards)
    y = radius * np.sin(angle) + away * np.sin(towards)
    return x, y, rng.exponential(height, count) * rng.choice([-1.0, 1.0], count)


def from_the_sun(x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Galactic longitude and latitude, deg, and distance, kpc, of places as `galactic_places` gives them."""
    ahead = SUN - y
    ground = np.hypot(x, ahead)
    return np.degrees(np.arctan2(x, ahead)) % 360.0, np.degrees(np.arctan2(z, ground)), np.hypot(ground, z)


def power_law(rng: np.random.Generator, count: int, low: float, high: float, index: float) -> Array:
    """Values between two limits whose density is their power ``-index``."""
    exponent = 1.0 - index
    uniform = rng.random(count)
    if abs(exponent) < 1e-9:
        return np.asarray(low * (high / low) ** uniform)
    return np.asarray(low * (1.0 + uniform * ((high / low) ** exponent - 1.0)) ** (1.0 / exponent))


def _spectrum(flux: float, index: float, cutoff: float) -> SpectralModel:
    """A spectrum with a flux above 1 TeV, s-1 m-2."""
    if np.isinf(cutoff):
        return PowerLaw(index=float(index), amplitude=float(flux * (index - 1.0)))
    shape = ExpCutoffPowerLaw(index=float(index), amplitude=1.0, lambda_=float(1.0 / cutoff))
    return shape.replaced(amplitude=float(flux / shape.integral(1.0, 1000.0)))


def _shape(lon: float, lat: float, size: float, *, shell: bool) -> SpatialModel:
    place = {"lon_0": float(lon), "lat_0": float(lat)}
    if size < POINT_SIZE:
        return Point(frame="galactic", **place)
    if shell:
        return Shell(
            frame="galactic", radius=float(size * (1.0 - SHELL_WIDTH)), width=float(size * SHELL_WIDTH), **place
        )
    return Gaussian(frame="galactic", sigma=float(size), **place)
