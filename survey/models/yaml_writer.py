"""Writes models as YAML that Gammapy 2.1 reads, with the covariance matrix beside it.

Fluxes are written per cm2. Every parameter is written, so that the peer has nothing to fill in; of a parameter, what
equals the default is left out unless the full output is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from survey.models.components import RESPONSES, Component, FoVBackgroundModel, SkyModel, TemplateNPredModel
from survey.models.covariance_file import covariance_text
from survey.models.models_error import ModelsError
from survey.models.yaml_parameters import written_factor
from survey.models.yaml_parts import write_part
from survey.models.yaml_source import relative_file

Array = NDArray[np.float64]


def component_data(
    component: Component, *, full: bool = False, canonical: bool = False, folder: Path | None = None
) -> dict[str, Any]:
    """Entry of one component.

    Parameters
    ----------
    component : Component
        To be written.
    full : bool
        Also what equals the default.
    canonical : bool
        In canonical units, digit by digit; else per cm2.
    folder : pathlib.Path or None
        Files in it are named without it.
    """
    data: dict[str, Any] = {"name": component.name, "type": component.tag[0]}
    if isinstance(component, FoVBackgroundModel) and component.name == f"{component.dataset_name}-bkg" and not full:
        del data["name"]
    if isinstance(component, SkyModel) and (full or component.apply_irf != dict.fromkeys(RESPONSES, True)):
        data["apply_irf"] = dict(component.apply_irf)
    names = getattr(component, "datasets_names", None)
    if names is not None:
        data["datasets_names"] = list(names)
    for kind, part in component.parts.items():
        data[kind] = write_part(part, full=full, canonical=canonical, folder=folder)
    if isinstance(component, TemplateNPredModel):
        data["filename"] = relative_file(component.filename, folder)
    return data


def models_text(
    components: Iterable[Component], *, full: bool = False, covariance: str | None = None, folder: Path | None = None
) -> str:
    """The YAML of components.

    Parameters
    ----------
    components : iterable of Component
        In order.
    full : bool
        Also what equals the default.
    covariance : str or None
        Name of the covariance file, if there is one.
    folder : pathlib.Path or None
        Files in it are named without it.
    """
    data: dict[str, Any] = {"components": [component_data(item, full=full, folder=folder) for item in components]}
    if covariance is not None:
        data["covariance"] = covariance
    return str(yaml.safe_dump(data, sort_keys=False, indent=4, width=80, default_flow_style=False))


def written_covariance(components: Iterable[Component], matrix: Array) -> tuple[list[str], Array]:
    """Names of all parameters, and the matrix in the units of the YAML.

    Parameters
    ----------
    components : iterable of Component
        In order.
    matrix : numpy.ndarray
        Of all parameters in order, canonical units.
    """
    items = {
        f"{group}.{item.name}": item
        for component in components
        for group, parameters in component.groups.items()
        for item in parameters.values()
    }
    factors = np.array([written_factor(item.unit) for item in items.values()], dtype=float)
    return list(items), matrix * factors[:, None] * factors


def write_models(
    path: Path,
    components: Iterable[Component],
    covariance: Array | None,
    *,
    full: bool = False,
    overwrite: bool = False,
) -> None:
    """Write YAML, and ``<stem>_covariance.dat`` beside it.

    Parameters
    ----------
    path : pathlib.Path
        The YAML file.
    components : iterable of Component
        In order.
    covariance : numpy.ndarray or None
        Of all parameters in order, canonical units; None writes no file.
    full : bool
        Also what equals the default.
    overwrite : bool
        Whether files may be there already.

    Raises
    ------
    ModelsError
        When a file is there.
    """
    components = list(components)
    table = path.with_name(f"{path.stem}_covariance.dat") if covariance is not None and covariance.size else None
    for file in (path, table):
        if file is not None and file.exists() and not overwrite:
            raise ModelsError(f"{file}: exists already; take another name or allow it to be overwritten")
    text = models_text(components, full=full, covariance=table.name if table else None, folder=path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    if table is not None and covariance is not None:
        table.write_text(covariance_text(*written_covariance(components, covariance)))
    path.write_text(text)
