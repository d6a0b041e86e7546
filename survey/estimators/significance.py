"""Significance, errors, upper limits and sensitivity of an excess: on a known background (Cash), or ON/OFF (Li & Ma).

Arrays of any one shape in, arrays of that shape out. The definitions are those of Gammapy's counts statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from survey.estimators import kernels_excess as kernels

Array = NDArray[np.float64]

FLOOR = 1e-25
"""A known background is never less, so that everything stays finite."""


class ExcessStatistic(Protocol):
    """What the excess map needs of a statistic."""

    @property
    def excess(self) -> Array: ...
    @property
    def ts(self) -> Array: ...
    @property
    def error(self) -> Array: ...
    def error_down(self, n_sigma: float) -> Array: ...
    def error_up(self, n_sigma: float) -> Array: ...
    def upper_limit(self, n_sigma: float) -> Array: ...
    def sensitivity(self, n_sigma: float) -> Array: ...


def signed_sqrt(ts: Array, excess: Array) -> Array:
    """Square root of a TS that is not negative, with the sign of the excess."""
    return np.where(excess < 0, -1.0, 1.0) * np.sqrt(ts)


@dataclass(frozen=True, eq=False)
class KnownBackground:
    """Counts on a background that is known.

    Parameters
    ----------
    counts : numpy.ndarray
        Whole numbers.
    background : numpy.ndarray
        Expected counts, same shape.
    """

    counts: Array
    background: Array

    @property
    def excess(self) -> Array:
        """Counts less background."""
        return self.counts - self.background

    @property
    def ts(self) -> Array:
        """Twice the logarithm of the likelihood ratio of the best excess to none; not negative."""
        background = np.maximum(self.background, FLOOR)
        logarithm = np.log(np.maximum(self.counts, FLOOR) / background)
        return 2 * np.maximum(np.where(self.counts > 0, self.counts * logarithm, 0.0) - self.counts + background, 0.0)

    @property
    def error(self) -> Array:
        """Symmetric error of the excess: square root of the counts."""
        return np.sqrt(self.counts)

    def _distance(self, n_sigma: float, upward: bool) -> Array:
        # counts are whole numbers: each is solved for once
        if self.counts.size == 0:
            return np.zeros_like(self.counts)
        index = self.counts.astype(np.int64)
        if not np.array_equal(index, self.counts):
            table, index = np.unique(self.counts, return_inverse=True)
        else:
            table = np.arange(index.max() + 1, dtype=float)
        out = np.empty_like(table)
        kernels.fill_poisson_distance(table, n_sigma**2, upward, out)
        return out[index.reshape(self.counts.shape)]

    def error_down(self, n_sigma: float) -> Array:
        """Distance down to where the statistic has risen by n_sigma**2; zero without counts."""
        return self._distance(n_sigma, False)

    def error_up(self, n_sigma: float) -> Array:
        """Distance up to where the statistic has risen by n_sigma**2."""
        return self._distance(n_sigma, True)

    def upper_limit(self, n_sigma: float) -> Array:
        """Excess above the best one where the statistic has risen by n_sigma**2.

        Without counts it is taken from no excess, as in Gammapy: an empty place tells nothing of a negative signal.
        """
        return self.error_up(n_sigma) + np.where(self.counts > 0, self.excess, 0.0)

    def sensitivity(self, n_sigma: float) -> Array:
        """Excess that would be `n_sigma` significant."""
        out = np.empty(self.background.size)
        kernels.fill_poisson_excess(np.maximum(self.background, FLOOR).ravel(), n_sigma, out)
        return out.reshape(self.background.shape)


@dataclass(frozen=True, eq=False)
class OnOff:
    """ON counts on a background that OFF counts measure.

    Parameters
    ----------
    n_on, n_off : numpy.ndarray
        Counts.
    alpha : numpy.ndarray
        Ratio of the acceptances, ON over OFF, same shape. Zero means that there is no background.

    References
    ----------
    Li & Ma (1983), ApJ 272, 317, equation 17.
    """

    n_on: Array
    n_off: Array
    alpha: Array

    @property
    def background(self) -> Array:
        """OFF counts times alpha."""
        return self.alpha * self.n_off

    @property
    def excess(self) -> Array:
        """ON counts less background."""
        return self.n_on - self.background

    def _flat(self) -> tuple[Array, Array, Array]:
        return self.n_on.ravel(), self.n_off.ravel(), self.alpha.ravel()

    @property
    def ts(self) -> Array:
        """Twice the logarithm of the likelihood ratio of the best excess to none; not negative."""
        out = np.empty(self.n_on.size)
        kernels.fill_on_off(*self._flat(), np.zeros(self.n_on.size), out)
        # the best excess makes the statistic zero
        return np.maximum(out, 0.0).reshape(self.n_on.shape)

    @property
    def error(self) -> Array:
        """Symmetric error of the excess."""
        return np.sqrt(self.n_on + self.alpha**2 * self.n_off)

    def _distance(self, n_sigma: float, upward: bool) -> Array:
        out = np.empty(self.n_on.size)
        kernels.fill_on_off_distance(*self._flat(), n_sigma**2, upward, out)
        return out.reshape(self.n_on.shape)

    def error_down(self, n_sigma: float) -> Array:
        """Distance down to where the statistic has risen by n_sigma**2, at most the ON counts."""
        return self._distance(n_sigma, False)

    def error_up(self, n_sigma: float) -> Array:
        """Distance up to where the statistic has risen by n_sigma**2."""
        return self._distance(n_sigma, True)

    def upper_limit(self, n_sigma: float) -> Array:
        """Excess above the best one where the statistic has risen by n_sigma**2."""
        return self.excess + self.error_up(n_sigma)

    def sensitivity(self, n_sigma: float) -> Array:
        """Excess that would be `n_sigma` significant with these OFF counts."""
        out = np.empty(self.n_on.size)
        kernels.fill_on_off_excess(self._flat()[1], self._flat()[2], n_sigma, out)
        return out.reshape(self.n_on.shape)
