"""The sky of a simulation: from a file of models, from the catalogue of the H.E.S.S. survey, or a synthetic population."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from astropy.io import fits

from survey.catalog.hgps import models_of_hgps
from survey.models.collection import Models
from survey.models.components import Component, SkyModel
from survey.models.models_error import ModelsError
from survey.models.spatial_template import TemplateSpatial
from survey.simulation.population import PopulationSettings, make_population

KINDS = ("models", "hgps", "population")


def read_sky(section: Mapping[str, Any], *, seed: int = 0) -> tuple[SkyModel, ...]:
    """The sky models of a configuration.

    Parameters
    ----------
    section : mapping
        One of: ``models``, the path of a file in Gammapy's format; ``hgps``, with ``path`` and ``large_scale``;
        ``population``, with fields of `PopulationSettings`. Empty for a sky without sources.
    seed : int
        Of the population.

    Returns
    -------
    tuple of SkyModel
        Backgrounds and templates of counts that a file of models has are left out: they are not of the sky.

    Raises
    ------
    ValueError
        For another kind or setting; the message names it, and what there is.
    """
    unknown = sorted(set(section) - set(KINDS))
    if unknown or len(section) > 1:
        raise ValueError(f"sky: {', '.join(section)} found, expected one of {', '.join(KINDS)}")
    if "models" in section:
        return tuple(model for model in Models.read(section["models"]).values() if isinstance(model, SkyModel))
    if "hgps" in section:
        models = models_of_hgps(**_known(section["hgps"], ("path", "large_scale"), "hgps"))
    elif "population" in section:
        fields = tuple(PopulationSettings.__dataclass_fields__)
        models = make_population(PopulationSettings(**_known(section["population"] or {}, fields, "population")), seed)
    else:
        return ()
    return tuple(model for model in models.values() if isinstance(model, SkyModel))


def check_emission(models: Iterable[Component]) -> None:
    """Refuse models that no photons can be drawn from, before anything is drawn.

    Raises
    ------
    ModelsError
        One line a model, with its component and key.
    """
    energy = np.geomspace(0.05, 100.0, 67)
    lines = []
    for model in models:
        if not isinstance(model, SkyModel):
            continue
        if model.spatial is None:
            lines.append(f"{model.name}.spatial: is missing, expected a shape: events need a direction")
        flux = np.asarray(model.spectral.value(energy), dtype=float)
        bad = ~(np.isfinite(flux) & (flux >= 0))
        if bad.any():
            first = int(np.argmax(bad))
            lines.append(
                f"{model.name}.spectral: has the flux {flux[first]:.4g} TeV-1 s-1 m-2 at {energy[first]:.3g} TeV, expected a "
                "finite one that is not negative"
            )
    if lines:
        raise ModelsError(lines)


def _known(section: Mapping[str, Any], names: tuple[str, ...], where: str) -> dict[str, Any]:
    unknown = [name for name in section if name not in names]
    if unknown:
        raise ValueError(f"sky.{where}.{unknown[0]}: unknown; there are: {', '.join(names)}")
    return dict(section)


def template_files(models: Iterable[SkyModel]) -> dict[str, bytes]:
    """FITS images that a file of these models refers to and that no file holds yet.

    Parameters
    ----------
    models : iterable of SkyModel

    Returns
    -------
    dict of str to bytes
        By file name, without a folder: they belong beside the file of models.
    """
    found = {}
    for model in models:
        shape = model.spatial
        if isinstance(shape, TemplateSpatial) and shape.filename and shape.source.nodes is None and _is_made(shape):
            found[shape.filename] = _image(shape)
    return found


def _is_made(shape: TemplateSpatial) -> bool:
    """Whether a template was made here, not read: its name has no folder."""
    return not any(mark in shape.filename for mark in "/\\$~")


def _image(shape: TemplateSpatial) -> bytes:
    header = fits.Header.fromstring(shape.source.header, sep="\n")
    header["BUNIT"] = shape.source.unit
    buffer = io.BytesIO()
    fits.PrimaryHDU(shape.source.data, header=header).writeto(buffer)
    return buffer.getvalue()
