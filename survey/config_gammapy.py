"""Gammapy 2.1's defaults, and which sections of a file say nothing else.

Gammapy's `AnalysisConfig.to_yaml` writes every key of every section, asked for or not. So a section counts as given
only if it holds something else than these defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astropy import units as u

_NO_AXIS = {"min": None, "max": None, "nbins": None}
_NO_CIRCLE = {"frame": None, "lon": None, "lat": None, "radius": None}
_NO_TIMES = {"start": None, "stop": None}
_ALL = {"selection_optional": "all"}

#: Gammapy 2.1, `gammapy.analysis.AnalysisConfig().to_yaml()`.
DEFAULTS: Mapping[str, Any] = {
    "general": {
        "log": {"level": "info", "filename": None, "filemode": None, "format": None, "datefmt": None},
        "outdir": ".",
        "n_jobs": 1,
        "datasets_file": None,
        "models_file": None,
    },
    "observations": {
        "datastore": "$GAMMAPY_DATA/hess-dl3-dr1",
        "obs_ids": [],
        "obs_file": None,
        "obs_cone": _NO_CIRCLE,
        "obs_time": _NO_TIMES,
        "required_irf": ["aeff", "edisp", "psf", "bkg"],
    },
    "datasets": {
        "type": "1d",
        "stack": True,
        "geom": {
            "wcs": {
                "skydir": {"frame": None, "lon": None, "lat": None},
                "binsize": "0.02 deg",
                "width": {"width": "5 deg", "height": "5 deg"},
                "binsize_irf": "0.2 deg",
            },
            "selection": {"offset_max": "2.5 deg"},
            "axes": {
                "energy": {"min": "1 TeV", "max": "10 TeV", "nbins": 5},
                "energy_true": {"min": "0.5 TeV", "max": "20 TeV", "nbins": 16},
            },
        },
        "map_selection": ["counts", "exposure", "background", "psf", "edisp"],
        "background": {"method": None, "exclusion": None, "parameters": {}},
        "safe_mask": {"methods": ["aeff-default"], "parameters": {}},
        "on_region": _NO_CIRCLE,
        "containment_correction": True,
    },
    "fit": {"fit_range": {"min": None, "max": None}},
    "flux_points": {"energy": _NO_AXIS, "source": "source", "parameters": _ALL},
    "excess_map": {"correlation_radius": "0.1 deg", "parameters": {}, "energy_edges": _NO_AXIS},
    "light_curve": {"time_intervals": _NO_TIMES, "energy_edges": _NO_AXIS, "source": "source", "parameters": _ALL},
}


def only_defaults(name: str, section: Any) -> bool:
    """Whether a section says nothing but Gammapy's defaults (or nothing at all)."""
    return name in DEFAULTS and _same(section, DEFAULTS[name])


def without_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A file's content without the sections that hold only Gammapy's defaults; copied as far as it may be changed."""
    kept = {name: _copy(section) for name, section in raw.items() if not only_defaults(name, section)}
    return kept


def _copy(value: Any) -> Any:
    return {key: _copy(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _same(value: Any, default: Any) -> bool:
    if isinstance(default, Mapping):
        if value is None:
            return True
        return isinstance(value, Mapping) and all(key in default and _same(value[key], default[key]) for key in value)
    if isinstance(default, str) and isinstance(value, str) and default != value:
        return value.rstrip("/") == default or _same_quantity(value, default)
    if isinstance(default, bool) or isinstance(value, bool):
        return value is default
    return bool(value == default)


def _same_quantity(value: str, default: str) -> bool:
    try:
        return bool(u.Quantity(value) == u.Quantity(default))
    except (TypeError, ValueError, u.UnitsError):
        return False
