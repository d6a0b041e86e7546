"""Where a dataset comes from, and the version of its format; no times, hosts or paths: same inputs, same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Protocol

FORMAT = "gammasurvey"
FORMAT_VERSION = 1
"""Version of the layout of cubes and maps. It grows when an older release would misread a dataset."""

PACKAGES = ("gammasurvey", "numpy", "numba", "astropy", "zarr")
"""What the bytes of a dataset depend on."""


class FormatError(ValueError):
    """A dataset that this release cannot read."""


class NewerFormatError(FormatError):
    """A dataset of a version that this release does not know."""


class HasKey(Protocol):
    """Something with plain values for hashing: a grid, axes."""

    def key(self) -> Mapping[str, Any]:
        """The values."""


def content_hash(values: Any) -> str:
    """Hash of plain values: sha256 of their canonical JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def provenance(
    configuration: Mapping[str, Any], grid: HasKey | None = None, observations: Any = None
) -> dict[str, Any]:
    """What a dataset was made by and from.

    Parameters
    ----------
    configuration : mapping
        The run's configuration as plain values. Its ``general`` and ``cluster`` sections, which say where and on what
        it ran, and its ``datastore`` do not count; of a path the last part does.
    grid : object with a ``key()``
        The pixel grid.
    observations : plain values
        What identifies the observations that were used.

    Returns
    -------
    dict
        Plain values without times, hosts or paths.
    """
    science = {name: values for name, values in configuration.items() if name not in ("general", "cluster")}
    observed = science.get("observations")
    if isinstance(observed, Mapping):
        elsewhere = ("datastore", "index_hdu", "roots")
        science["observations"] = {name: values for name, values in observed.items() if name not in elsewhere}
    made: dict[str, Any] = {
        "creator": f"gammasurvey {version('gammasurvey')}",
        "packages": {name: version(name) for name in PACKAGES},
        "configuration": content_hash(_without_folders(science)),
    }
    if grid is not None:
        made["grid"] = content_hash(grid.key())
    if observations is not None:
        made["observations"] = content_hash(observations)
    return made


def _without_folders(value: Any) -> Any:
    """Plain values with every path cut to its last part, so that a run elsewhere is the same run."""
    if isinstance(value, str):
        return value.rstrip("/").rsplit("/", 1)[-1]
    if isinstance(value, Mapping):
        return {name: _without_folders(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    return value


def check_format(attributes: Mapping[str, Any], where: str) -> None:
    """Refuse what is not a dataset of this format, or one of a newer version.

    Raises
    ------
    FormatError
        With the place, the version found and the version expected.
    """
    found = attributes.get("format_version")
    if attributes.get("format") != FORMAT or not isinstance(found, int):
        raise FormatError(f"{where}: no format and format_version in its attributes, expected a dataset of {FORMAT}")
    if found > FORMAT_VERSION:
        raise NewerFormatError(
            f"{where}: written in format_version {found}, this release reads up to {FORMAT_VERSION}; "
            "install a newer gammasurvey"
        )
