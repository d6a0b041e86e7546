"""Units as files spell them: ``m**2``, ``sr^(-1)``, ``1/s/MeV/sr`` and ``MeV-1 s-1 sr-1`` are all understood."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.units import UnitBase

# As FITS writes them; other spellings that were seen.
_SPELLING = {"tev": "TeV", "gev": "GeV", "mev": "MeV", "kev": "keV", "sec": "s", "seconds": "s", "degree": "deg"}
_FACTOR = re.compile(r"([A-Za-z]+)\^?([+-]?\d+)?")


@lru_cache(maxsize=256)
def normalise(unit: str) -> str | None:
    """One spelling for a unit.

    Parameters
    ----------
    unit : str
        As in a file.

    Returns
    -------
    str or None
        Factors with their powers, in the file's order (``s-1 MeV-1 sr-1``); empty for no unit; None when it is not
        understood.
    """
    text = unit.strip().replace("**", "^")
    text = re.sub(r"\(\s*([+-]?\d+)\s*\)", r"\1", text)
    text = re.sub(r"\s*/\s*", " /", re.sub(r"[*.]", " ", text))
    powers: dict[str, int] = {}
    for token in text.split():
        sign = -1 if token.startswith("/") else 1
        token = token.lstrip("/")
        if token in ("", "1"):
            continue
        match = _FACTOR.fullmatch(token)
        if not match:
            return _general(unit)
        name = _SPELLING.get(match[1].lower(), match[1])
        powers[name] = powers.get(name, 0) + sign * int(match[2] or 1)
    result = " ".join(name if power == 1 else f"{name}{power}" for name, power in powers.items() if power)
    return result if not result or _unit(result) is not None else None


@lru_cache(maxsize=256)
def factor(unit: str, to: str) -> float | None:
    """What to multiply values in `unit` with to have them in `to`; None when that cannot be done."""
    found = normalise(unit)
    if found is None:
        return None
    if found == to:
        return 1.0
    one, other = _unit(found), _unit(to)
    if one is None or other is None or not one.is_equivalent(other):
        return None
    return float(one.to(other))


def _general(text: str) -> str | None:
    """Spelling of a unit with brackets or factors, ``1 / (MeV s sr)``, as astropy understands it."""
    import warnings

    import astropy.units as u

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        try:
            return str(u.Unit(text.replace("^", "**")).to_string("fits"))
        except (ValueError, TypeError):
            return None


@lru_cache(maxsize=256)
def _unit(text: str) -> UnitBase | None:
    import warnings

    import astropy.units as u

    with warnings.catch_warnings():
        # The FITS format warns of deprecated units, which are units all the same.
        warnings.simplefilter("ignore", u.UnitsWarning)
        try:
            return u.Unit(text, format="fits")
        except ValueError:
            return None
