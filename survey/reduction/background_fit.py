"""The norm of an observation's background, on its whole field of view, outside an exclusion mask.

The model is ``norm x (energy / reference)^-tilt`` times the background, as Gammapy's FoVBackgroundModel with a PowerLawNorm.
Its factor depends on energy alone, so that the Cash statistic over pixels needs nothing but the totals of counts and
background in every bin of energy.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from survey.reduction import kernels_contribution as kernels
from survey.reduction.axes import Axes
from survey.reduction.contribution import BackgroundNorm, masks_and_background
from survey.reduction.prepared import PreparedObservation
from survey.sky.grid import SkyGrid
from survey.sky.pixels import PixelGeometry

N_STEPS = 200
TOLERANCE = 1e-7
"""Newton's method stops when the step is smaller than this, in units of the errors."""

FAR = 1e4
"""A norm further from 1 than by this factor says that the background is in other units, or damaged: it corrects nothing."""

NEAR = 1e-4
"""Below this the expected gain of a step, in twice the logarithm of the likelihood, is not checked any more."""


@dataclass(frozen=True, eq=False)
class FieldTotals:
    """Totals over the pixels of a field of view that are safe and not excluded.

    Parameters
    ----------
    counts, background : numpy.ndarray (e,)
        Events, and expected background before normalisation.
    n_pixels : int
        Pixels that are safe in any bin and not excluded.
    """

    counts: NDArray[np.int64]
    background: NDArray[np.float64]
    n_pixels: int


@dataclass(frozen=True)
class BackgroundFit:
    """Result of the fit of one observation.

    Parameters
    ----------
    method : str
        ``scale`` or ``fit``.
    norm, norm_err, tilt, tilt_err, reference : float
        Parameters and their errors; TeV. NaN errors where a parameter was not fitted.
    stat : float
        Cash statistic of the totals at the result.
    counts, npred : float
        Totals outside the exclusion mask, of the events and of the background before normalisation.
    flag : str
        Empty when all is well, else why the norm was left at 1.
    """

    method: str
    norm: float = 1.0
    norm_err: float = float("nan")
    tilt: float = 0.0
    tilt_err: float = float("nan")
    reference: float = 1.0
    stat: float = float("nan")
    counts: float = 0.0
    npred: float = 0.0
    flag: str = ""

    @property
    def ok(self) -> bool:
        """Whether the norm was found."""
        return not self.flag

    @property
    def background_norm(self) -> BackgroundNorm:
        """The factor for `survey.reduction.contribution`."""
        return BackgroundNorm(self.norm, self.tilt, self.reference)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def field_of_view(prepared: PreparedObservation, grid: SkyGrid) -> PixelGeometry | None:
    """Pixels of the whole field of view of an observation, on the grid or its continuation; None without any."""
    window = grid.window_around(prepared.ra, prepared.dec, prepared.radius, margin=True)
    return None if window.is_empty else grid.geometry(window, margin=True)


def field_of_view_totals(
    prepared: PreparedObservation,
    grid: SkyGrid,
    axes: Axes,
    geometry: PixelGeometry | None,
    excluded: NDArray[np.bool_] | None = None,
) -> FieldTotals:
    """Totals of counts and background on the field of view of an observation.

    Parameters
    ----------
    prepared : PreparedObservation
        On `axes`.
    grid : SkyGrid
        Of the survey.
    axes : Axes
        Of the survey.
    geometry : PixelGeometry or None
        From `field_of_view`.
    excluded : numpy.ndarray (y, x) bool, optional
        True where a pixel of `geometry` is excluded.
    """
    n_energy = axes.energy.size
    counts, background = np.zeros(n_energy, np.int64), np.zeros(n_energy)
    if geometry is None:
        return FieldTotals(counts, background, 0)
    excluded = np.zeros(geometry.shape, dtype=np.bool_) if excluded is None else excluded
    y, x, inside = grid.index_in(geometry.window, prepared.event_y.astype(np.int64), prepared.event_x.astype(np.int64))
    taken = inside.copy()
    taken[inside] = ~excluded[y[inside], x[inside]]
    counts += np.bincount(prepared.event_energy[taken], minlength=n_energy)
    rates = np.zeros((n_energy, *geometry.shape))
    # quanta so small that nothing is rounded: a norm needs no exact sums
    tiny = np.full(n_energy, 2.0**-60)
    masks = masks_and_background(prepared, geometry, np.ones(n_energy), tiny, rates)
    if masks is None:
        return FieldTotals(counts, background, 0)
    box, safe_pixels, safe_bins, _ = masks
    kernels.sum_background(safe_bins, rates, excluded, box, background)
    return FieldTotals(counts, background, int(np.count_nonzero(safe_pixels & ~excluded)))


def fit_background(
    totals: FieldTotals,
    axes: Axes,
    *,
    method: Literal["scale", "fit"] = "scale",
    tilt: bool = False,
    reference: float = 1.0,
    min_counts: float = 0.0,
    min_npred_background: float = 0.0,
) -> BackgroundFit:
    """Find the norm, or norm and tilt, of a background.

    Parameters
    ----------
    totals : FieldTotals
        Of the observation.
    axes : Axes
        The model is evaluated at the centres of the bins of reconstructed energy.
    method : str
        ``scale``: ratio of the totals. ``fit``: maximum of the likelihood.
    tilt : bool
        Whether ``fit`` fits the tilt as well.
    reference : float
        Energy at which the factor is the norm, TeV.
    min_counts, min_npred_background : float
        More than these are required outside the exclusion mask.

    Returns
    -------
    BackgroundFit
        With norm 1 and a flag when a requirement is not met or the fit fails.
    """
    n_counts, npred = float(totals.counts.sum()), float(totals.background.sum())
    common: dict[str, Any] = {"method": method, "reference": reference, "counts": n_counts, "npred": npred}
    flag = ""
    if not (math.isfinite(npred) and npred > 0):
        flag = "no background outside the exclusion mask"
    elif npred <= min_npred_background:
        flag = f"{npred:.1f} background counts outside the exclusion mask, more than {min_npred_background:g} required"
    elif n_counts <= min_counts or n_counts <= 0:
        flag = f"{n_counts:.0f} counts outside the exclusion mask, more than {max(min_counts, 0):g} required"
    if flag:
        return BackgroundFit(**common, flag=flag)
    if method == "scale" or not tilt:
        norm = n_counts / npred
        found = BackgroundFit(**common, norm=norm, norm_err=math.sqrt(n_counts) / npred)
    else:
        solution = _fit_tilt(totals, axes.energy.centers / reference)
        if solution is None:
            return BackgroundFit(**common, flag="the fit of norm and tilt did not converge")
        norm, norm_err, slope, slope_err = solution
        found = BackgroundFit(**common, norm=norm, norm_err=norm_err, tilt=slope, tilt_err=slope_err)
    if not 1 / FAR < found.norm < FAR:
        advice = "look at the unit and the values of the response bkg"
        return BackgroundFit(**common, flag=f"a norm of {found.norm:.3g}, expected within {FAR:g} of 1: {advice}")
    factors = found.background_norm.factors(axes.energy.centers)
    return BackgroundFit(**{**found.as_dict(), "stat": _cash(totals, factors)})


def _cash(totals: FieldTotals, factors: NDArray[np.float64]) -> float:
    """Cash statistic of the totals, up to what does not depend on the factors."""
    usable = totals.background > 0
    predicted = (factors * totals.background)[usable]
    return float(2.0 * np.sum(predicted - totals.counts[usable] * np.log(predicted)))


def _fit_tilt(totals: FieldTotals, energy: NDArray[np.float64]) -> tuple[float, float, float, float] | None:
    """Norm, its error, tilt, its error by Newton's method in (ln norm, tilt), in which the statistic is convex."""
    usable = totals.background > 0
    log_energy, counts = np.log(energy[usable]), totals.counts[usable].astype(np.float64)
    background = totals.background[usable]
    if np.count_nonzero(counts) < 2:
        return None
    log_norm, tilt = math.log(counts.sum() / background.sum()), 0.0

    def likelihood(log_norm: float, tilt: float) -> float:
        exponent = log_norm - tilt * log_energy
        return float(np.sum(counts * exponent - background * np.exp(np.minimum(exponent, 300.0))))

    current = likelihood(log_norm, tilt)
    for _ in range(N_STEPS):
        predicted = background * np.exp(log_norm - tilt * log_energy)
        excess = counts - predicted
        gradient = np.array([excess.sum(), -(excess * log_energy).sum()])
        a, b, c = predicted.sum(), -(predicted * log_energy).sum(), (predicted * log_energy**2).sum()
        determinant = a * c - b * b
        if not determinant > 0:
            return None
        step = np.array([c * gradient[0] - b * gradient[1], a * gradient[1] - b * gradient[0]]) / determinant
        decrement = float(step @ gradient)
        if decrement < TOLERANCE**2:
            norm = math.exp(log_norm)
            # errors in (norm, tilt): the inverse of the second derivatives of half the Cash statistic
            return norm, norm * math.sqrt(c / determinant), tilt, math.sqrt(a / determinant)
        scale = 1.0
        # near the maximum the likelihood has no digits left to judge a step by, and Newton's own is right
        while (
            decrement > NEAR
            and likelihood(log_norm + scale * step[0], tilt + scale * step[1]) < current
            and scale > 1e-9
        ):
            scale *= 0.5
        log_norm, tilt = log_norm + scale * float(step[0]), tilt + scale * float(step[1])
        current = likelihood(log_norm, tilt)
    return None
