"""The engine of the TS map: prepares a window for the kernels and goes through its rows.

It knows arrays only: where templates and exposures come from is the matter of `survey.estimators.ts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from survey.estimators import kernels_ts as kernels
from survey.estimators import kernels_window
from survey.fitting.cash import FLOOR

Array = NDArray[np.float64]


class RowTemplates(NamedTuple):
    """Templates that belong to one row of pixels, from cell to cell along x."""

    values: Array
    """Shape (cell, 2 half + 1, 2 half + 1, energy)."""
    sums: Array
    """Sum of each over its pixels, shape (cell, energy)."""
    maxima: Array
    """No less than the greatest value of each, shape (cell, energy)."""
    scale: Array
    """Factor at every pixel of the row, shape (x, energy)."""


class CellsAlongX(NamedTuple):
    """Cells on both sides of every pixel of a row, and the share of the right one."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    share: Array


@dataclass(frozen=True)
class Choice:
    """Numbers that the fit of a pixel follows; see `survey.estimators.settings.TSMapSettings`."""

    rtol: float
    max_niter: int
    n_sigma: float
    n_sigma_ul: float
    n_sigma_sensitivity: float
    threshold: float
    both_sides: bool
    limits: bool
    sensitivity: bool


@dataclass(frozen=True, eq=False)
class FitWindow:
    """Counts and background of a core of pixels with half a template around it, as the kernels want them.

    Parameters
    ----------
    half : int
        Pixels of a template on each side of its middle.
    counts, background : numpy.ndarray
        Shape (y, x, energy), zero where not safe.
    weight : numpy.ndarray
        What a template is multiplied by in a bin: one where safe and zero elsewhere, or an exposure.
    plain : bool
        Whether weights are ones and zeros only.
    """

    half: int
    counts: Array
    background: Array
    weight: Array
    plain: bool

    @classmethod
    def around(
        cls,
        counts: Array,
        background: Array,
        weight: Array,
        core: tuple[int, int, int, int],
        half: int,
        *,
        plain: bool,
    ) -> FitWindow:
        """Cut the core with `half` pixels around it out of cubes of shape (energy, y, x).

        Where a cube ends there are no bins: they are left out of the fit, as those that are not safe.
        """
        y0, y1, x0, x1 = core
        ny, nx = counts.shape[1:]
        y = slice(max(y0 - half, 0), min(y1 + half, ny))
        x = slice(max(x0 - half, 0), min(x1 + half, nx))
        missing = (
            (max(half - y0, 0), max(y1 + half - ny, 0)),
            (max(half - x0, 0), max(x1 + half - nx, 0)),
            (0, 0),
        )

        def cut(cube: Array) -> Array:
            inner = np.ascontiguousarray(np.moveaxis(cube[:, y, x], 0, -1), dtype=float)
            return np.pad(inner, missing) if np.any(missing) else inner

        weight = cut(weight)
        safe = weight > 0
        return cls(half, np.where(safe, cut(counts), 0.0), np.where(safe, cut(background), 0.0), weight, plain)

    @property
    def core_shape(self) -> tuple[int, int]:
        """Pixels of the core (y, x)."""
        return self.counts.shape[0] - 2 * self.half, self.counts.shape[1] - 2 * self.half

    def window_sum(self, values: Array) -> Array:
        """Sums of (y, x) values over each core pixel's window, shape (y, x)."""
        size = 2 * self.half + 1
        total = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
        total[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
        return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]

    def fit(
        self,
        valid: NDArray[np.bool_],
        templates: Callable[[int], RowTemplates],
        cells: CellsAlongX,
        choice: Choice,
    ) -> dict[str, Array]:
        """Fit the norm at every pixel of the core.

        Parameters
        ----------
        valid : numpy.ndarray
            Pixels to fit, shape (y, x).
        templates : callable
            Templates of a row of the core; called for rows with valid pixels, in order.
        cells : CellsAlongX
            Of the columns of the core.
        choice : Choice
            Precision and quantities.

        Returns
        -------
        dict of numpy.ndarray
            Quantities of shape (y, x), NaN where not fitted: `norm`, `norm_err`, `ts` (not negative), `total` (counts
            of a norm of one), `niter`, `success`, `stat_null`, `background`, and the optional ones.
        """
        inverse = np.empty_like(self.counts)
        expected, stat = np.empty(inverse.shape[:2]), np.empty(inverse.shape[:2])
        kernels_window.prepare(self.counts, self.background, self.weight, FLOOR, inverse, expected, stat)
        inverse_peak = self._window_maximum(inverse)
        ny, nx, ne = self.counts.shape
        safe = np.zeros((ny + 1, nx + 1, ne), dtype=np.int32)
        if self.plain:
            kernels_window.cumulate(self.weight, safe)
        filled = self._filled(inverse)
        result = np.full((kernels.N_RESULTS, *self.core_shape), np.nan)
        options = (
            choice.rtol,
            choice.max_niter,
            choice.n_sigma,
            choice.n_sigma_ul,
            choice.n_sigma_sensitivity,
            choice.threshold,
            choice.both_sides,
            choice.limits,
            choice.sensitivity,
        )
        for y in range(valid.shape[0]):
            if not valid[y].any():
                continue
            row = templates(y)
            kernels.fit_row(
                y,
                np.ascontiguousarray(valid[y]),
                filled,
                (self.weight, inverse, self.background, inverse_peak[y], safe, self.plain),
                (row.values, row.sums, row.maxima),
                tuple(cells),
                row.scale,
                options,
                result[:, y],
            )
        names = {
            "norm": kernels.NORM,
            "norm_err": kernels.NORM_ERR,
            "ts": kernels.TS,
            "total": kernels.TOTAL,
            "niter": kernels.NITER,
            "success": kernels.SUCCESS,
        }
        if choice.both_sides:
            names |= {"norm_errn": kernels.ERRN, "norm_errp": kernels.ERRP}
        if choice.limits:
            names["norm_ul"] = kernels.UL
        if choice.sensitivity:
            names["norm_sensitivity"] = kernels.SENSITIVITY
        maps = {name: result[k] for name, k in names.items()}
        fitted = np.isfinite(maps["norm"])
        maps["background"] = np.where(fitted, self.window_sum(expected), np.nan)
        maps["stat_null"] = np.where(fitted, self.window_sum(stat), np.nan)
        return maps

    def _window_maximum(self, values: Array) -> Array:
        """Greatest value in the window of every core pixel, shape (y, x, energy)."""
        size, half = 2 * self.half + 1, self.half
        ny, nx = self.core_shape
        along_x = maximum_filter1d(values, size, axis=1)[:, half : half + nx]
        along_y = maximum_filter1d(along_x, size, axis=0)[half : half + ny]
        return np.ascontiguousarray(along_y)

    def _filled(self, inverse: Array) -> tuple[NDArray[Any], ...]:
        start = np.empty(self.counts.shape[0] + 1, dtype=np.int64)
        kernels_window.count_filled(self.counts, start)
        column, key, energy = (np.empty(start[-1], dtype=np.int64) for _ in range(3))
        count, ratio = np.empty(start[-1]), np.empty(start[-1])
        kernels_window.list_filled(self.counts, inverse, start, column, key, energy, count, ratio)
        return start, column, key, energy, count, ratio
