"""Units in model files: any spelling is read into the canonical one, areas are written per cm2, as Gammapy does."""

from __future__ import annotations

import math
import re
import warnings
from decimal import Decimal
from functools import lru_cache

_PHOTONS = re.compile(r"\b(ph|photons?)\b\s*")


@lru_cache(maxsize=256)
def unit_factor(unit: str, to: str) -> float | None:
    """What values in `unit` are multiplied with to be in `to`; None when they cannot be.

    Parameters
    ----------
    unit : str
        As in a file: ``cm-2 s-1 TeV-1``, ``1 / (cm2 s TeV)``, ``TeV**-1 cm**-2 s**-1``, ``1/(cm^2 s TeV)``.
    to : str
        Canonical unit.
    """
    import astropy.units as u

    text = _PHOTONS.sub("", unit).strip() or unit.strip()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        try:
            found, wanted = u.Unit(text), u.Unit(to)
            if found.is_equivalent(wanted):
                return float(found.to(wanted))
        except (ValueError, TypeError):
            return None
    return None


def written_unit(unit: str) -> str:
    """Unit that a canonical one is written in: areas in cm2."""
    return re.sub(r"\bm(-?\d)", r"cm\1", unit)


def scaled(value: float, factor: float) -> float:
    """Value times factor, where a power of ten moves the point and leaves the digits alone.

    So 3.5e-12 per cm2 is 3.5e-8 per m2 and comes back as 3.5e-12.
    """
    value = float(value)
    if factor == 1 or value == 0 or not math.isfinite(value):
        return value
    if factor > 0:
        exponent = round(math.log10(factor))
        if math.isclose(factor, 10.0**exponent, rel_tol=1e-12):
            return float(Decimal(repr(value)).scaleb(exponent))
    return value * factor
