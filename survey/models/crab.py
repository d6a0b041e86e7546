"""Published spectra of the Crab nebula, which fluxes and sensitivities are compared with. Values are Gammapy's."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.cutoff_power_laws import ExpCutoffPowerLaw
from survey.models.log_parabolas import LogParabola
from survey.models.parameters import Parameter
from survey.models.power_laws import PowerLaw
from survey.models.spectral import FLUX_UNIT, SpectralModel

Array = NDArray[np.float64]

REFERENCES = ("meyer", "hegra", "hess_pl", "hess_ecpl", "magic_lp", "magic_ecpl")
"""Names of the published spectra."""

ERG = 1e-7 / 1.602176634e-19 * 1e-12
"""TeV in an erg."""


class MeyerCrab(SpectralModel):
    """Polynomial in the logarithms of energy and energy flux; Meyer et al. (2010), A&A 523, A2, appendix D.

    Parameters
    ----------
    norm : float
        Factor; default 1, frozen.
    """

    tag: ClassVar[tuple[str, ...]] = ("MeyerCrabSpectralModel", "meyer-crab")
    defaults: ClassVar[tuple[Parameter, ...]] = (Parameter("norm", 1.0, frozen=True),)

    COEFFICIENTS = (-0.00449161, 0.0, 0.0473174, -0.179475, -0.53616, -10.2708)
    """Of log10(energy flux in erg s-1 cm-2) in log10(energy in TeV), highest power first."""

    @property
    def unit(self) -> str:
        return FLUX_UNIT

    def value(self, energy: ArrayLike) -> Array:
        return self.norm * self.gradient(energy)[0]

    def gradient(self, energy: ArrayLike) -> Array:
        energy = np.asarray(energy, dtype=float)
        logarithm = np.polyval(np.array(self.COEFFICIENTS), np.log10(energy))
        return np.asarray(10.0**logarithm * (ERG * 1e4) / energy**2)[None]


def crab_spectrum(reference: str = "meyer") -> SpectralModel:
    """A published spectrum of the Crab nebula.

    Parameters
    ----------
    reference : str
        ``meyer`` (Meyer et al. 2010), ``hegra`` (Aharonian et al. 2000), ``hess_pl``, ``hess_ecpl`` (Aharonian et al.
        2006), ``magic_lp`` or ``magic_ecpl`` (Aleksic et al. 2015).
    """
    match reference:
        case "meyer":
            return MeyerCrab()
        case "hegra":
            return PowerLaw(index=2.62, amplitude=2.83e-7)
        case "hess_pl":
            return PowerLaw(index=2.63, amplitude=3.45e-7)
        case "hess_ecpl":
            return ExpCutoffPowerLaw(index=2.39, amplitude=3.76e-7, lambda_=1 / 14.3)
        case "magic_lp":
            return LogParabola(alpha=2.47, amplitude=3.23e-7, beta=0.24 / np.log(10), reference=1.0)
        case "magic_ecpl":
            return ExpCutoffPowerLaw(index=2.21, amplitude=3.80e-7, lambda_=1 / 6.0)
    raise ValueError(f"Crab spectrum {reference!r}; expected one of {', '.join(REFERENCES)}")
