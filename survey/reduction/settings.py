"""What a user chooses about the reduction of an observation, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

SAFE_METHODS = ("aeff-default", "aeff-max", "edisp-bias", "offset-max", "bkg-peak")
"""Gammapy's names of the methods that limit the safe range."""

SELECTION = ("counts", "exposure", "background", "psf", "edisp")
"""Gammapy's names of the maps that a reduction can make."""


@dataclass(frozen=True)
class ReductionSettings:
    """Choices for DL3 to DL4.

    Parameters
    ----------
    safe_methods : tuple of str
        Methods of `SAFE_METHODS`, combined with a logical and.
    aeff_percent : float
        ``aeff-max``: per cent of the largest effective area that the threshold needs.
    bias_percent : float
        ``edisp-bias``: largest bias in per cent.
    position : tuple of float or None
        ICRS position (deg, deg) at which thresholds are found; None is the pointing.
    fixed_offset : float or None
        Offset (deg) at which thresholds are found; excludes `position`.
    safe_offset_max : float
        ``offset-max``: pixel centres from this offset on are not safe, deg.
    mask_invalid_background : bool
        Bins without background (zero, or no response there) are not safe, as in Gammapy.
    offset_max : float or None
        Circle of the selection: nothing of an observation counts from this offset on, deg.
    events_outside_gti : str
        ``keep`` (they are counted apart) or ``drop``.
    fov_alignment : str
        How a background without ``FOVALIGN`` is read: ``auto``, ``RADEC`` or ``ALTAZ``.
    selection : tuple of str
        Maps of `SELECTION` to make; the responses of the others need not be there.
    rotation_step : float
        Largest rotation of the field of view in a time step, deg.
    drift_step : float
        Largest motion of the pointing in a time step, deg.
    """

    safe_methods: tuple[str, ...] = ("aeff-default",)
    aeff_percent: float = 10.0
    bias_percent: float = 10.0
    position: tuple[float, float] | None = None
    fixed_offset: float | None = None
    safe_offset_max: float = 3.0
    mask_invalid_background: bool = True
    offset_max: float | None = 2.5
    events_outside_gti: Literal["keep", "drop"] = "keep"
    fov_alignment: Literal["auto", "RADEC", "ALTAZ"] = "auto"
    selection: tuple[str, ...] = SELECTION
    rotation_step: float = 2.0
    drift_step: float = 0.1

    def __post_init__(self) -> None:
        unknown = sorted(set(self.safe_methods) - set(SAFE_METHODS))
        if unknown:
            raise ValueError(f"safe mask methods {unknown} are unknown; there are {list(SAFE_METHODS)}")
        unknown = sorted(set(self.selection) - set(SELECTION))
        if unknown:
            raise ValueError(f"map selection {unknown} is unknown; there are {list(SELECTION)}")
        if self.position is not None and self.fixed_offset is not None:
            raise ValueError("position and fixed_offset of the safe mask exclude each other: give one")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able mapping, the part of the configuration that a prepared observation depends on."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ReductionSettings:
        """Inverse of `as_dict`."""
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**plain)
