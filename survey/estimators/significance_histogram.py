"""The distribution of significance outside the exclusion regions, with a fitted normal distribution.

Without sources and with a right background it has mean 0 and width 1. Excluded pixels and pixels without data are left
out, not set to zero. Pixels closer than the correlation radius are not independent, so the errors are too small by
about the number of pixels in a circle; they say how well the histogram is described, not more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from iminuit import Minuit
from iminuit.cost import BinnedNLL
from numpy.typing import NDArray
from scipy.special import ndtr

LIMIT = 8.0
"""The histogram ends at this significance on both sides, in standard deviations; what lies beyond is not drawn."""
FIT_LIMIT = 4.0
"""The normal distribution is fitted up to this significance: sources that were not excluded lie beyond it."""
EDGES = np.linspace(-LIMIT, LIMIT, 129)
"""Of the bins, standard deviations."""


@dataclass(frozen=True, eq=False)
class SignificanceHistogram:
    """Distribution of significance.

    Parameters
    ----------
    centers : numpy.ndarray
        Bin centres, standard deviations.
    counts, counts_all : numpy.ndarray
        Pixels per bin outside the exclusion regions, and in all.
    mean, mean_err, width, width_err : float
        Of the fitted normal distribution; NaN when fewer than ten pixels are left.
    """

    centers: NDArray[np.float64]
    counts: NDArray[np.int64]
    counts_all: NDArray[np.int64]
    mean: float
    mean_err: float
    width: float
    width_err: float


def significance_counts(
    values: NDArray[np.floating], excluded: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels per bin of a significance map: outside the exclusion regions, and in all; those of parts of a map add up.

    Parameters
    ----------
    values : numpy.ndarray
        (y, x), standard deviations; NaN where there are no data.
    excluded : numpy.ndarray
        (y, x), pixels to leave out.
    """
    there = np.isfinite(values)
    outside, everywhere = (np.histogram(values[chosen], EDGES)[0] for chosen in (there & ~excluded, there))
    return outside, everywhere


def significance_histogram(counts: NDArray[np.int64], counts_all: NDArray[np.int64]) -> SignificanceHistogram:
    """Histogram of a significance map with its normal distribution.

    Parameters
    ----------
    counts, counts_all : numpy.ndarray
        What `significance_counts` gives.

    Returns
    -------
    SignificanceHistogram
    """
    centers = 0.5 * (EDGES[1:] + EDGES[:-1])
    first, last = np.searchsorted(EDGES, [-FIT_LIMIT, FIT_LIMIT])
    inner, n = EDGES[first : last + 1], counts[first:last]
    if n.sum() < 10:
        return SignificanceHistogram(centers, counts, counts_all, *[float("nan")] * 4)
    mean = float(np.average(centers[first:last], weights=n))
    width = float(np.sqrt(np.average((centers[first:last] - mean) ** 2, weights=n)))

    def cumulative(x: NDArray[np.float64], mean: float, width: float) -> NDArray[np.float64]:
        return (ndtr((x - mean) / width) - ndtr((inner[0] - mean) / width)) / (
            ndtr((inner[-1] - mean) / width) - ndtr((inner[0] - mean) / width)
        )

    fit = Minuit(BinnedNLL(n, inner, cumulative), mean=mean, width=max(width, 0.05))
    fit.limits["width"] = (0.01, None)
    fit.migrad()
    return SignificanceHistogram(
        centers,
        counts,
        counts_all,
        fit.values["mean"],
        fit.errors["mean"],
        fit.values["width"],
        fit.errors["width"],
    )
