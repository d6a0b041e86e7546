"""What a user may choose for predicted counts: plain frozen values, angles in deg."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from survey.sky.energy import RAD_MAX


@dataclass(frozen=True)
class PredictionSettings:
    """How far the point spread function is followed, and how closely responses are."""

    psf_containment: float = 0.999
    """Fraction of the point spread function that its kernel reaches to, by true energy and response cell."""
    psf_radius_max: float = RAD_MAX
    """Radius in deg that no kernel goes beyond, whatever a noisy table says. The halo of a tile follows from it."""
    tolerance: float = 1e-3
    """Part of a source's counts that an evaluator may misplace by joining the responses of the cells under the source;
    `survey.fitting.prediction.predict` joins none."""

    def __post_init__(self) -> None:
        if not 0 < self.psf_containment <= 1:
            raise ValueError(f"psf_containment: found {self.psf_containment:g}; expected a fraction in (0, 1]")
        if not self.psf_radius_max > 0:
            raise ValueError(f"psf_radius_max: found {self.psf_radius_max:g} deg; expected a positive angle")
        if not 0 <= self.tolerance < 0.1:
            raise ValueError(f"tolerance: found {self.tolerance:g}; expected a number in [0, 0.1)")

    def half_width(self, binsize: float) -> int:
        """Pixels of `binsize` deg that the widest kernel has on each side of its middle."""
        return math.ceil(round(self.psf_radius_max / binsize, 9))

    def halo(self, binsize: float, cell: int) -> int:
        """Pixels around a tile that its predicted counts depend on, whole response cells.

        A kernel's half-width, and one cell more for the interpolation of the responses there.
        """
        return (-(-self.half_width(binsize) // cell) + 1) * cell

    def key(self) -> dict[str, float]:
        """All settings as plain data, for the key of a unit of work."""
        return asdict(self)
