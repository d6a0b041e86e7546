"""Which class a tag of a model file stands for.

Every concrete subclass of the spectra, shapes, time dependences and priors is known by its tags, Gammapy's long name
and short name; a new model is a class in a module of this room and nothing else.
"""

from __future__ import annotations

import inspect
import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from survey.models.models_error import ModelsError, nearest

BASES = {
    "spectral": ("survey.models.spectral", "SpectralModel"),
    "spatial": ("survey.models.spatial", "SpatialModel"),
    "temporal": ("survey.models.temporal", "TemporalModel"),
    "prior": ("survey.models.prior", "Prior"),
}
"""Module and name of the base class of every kind."""

ELSEWHERE = {
    "NaimaSpectralModel": "Gammapy writes it but cannot read it; tabulate it as a TemplateSpectralModel",
    "TemplateNDSpectralModel": "it is not supported; tabulate it as a TemplateSpectralModel",
    "TemplateNDSpatialModel": "it is not supported; write it as a TemplateSpatialModel",
    "PiecewiseNormSpatialModel": "it is not supported; write it as a TemplateSpatialModel",
    "ConstantFluxSpatialModel": "it is not supported; write it as a ConstantSpatialModel",
    "LogParabola2SpectralModel": "it is not supported; write it as a LogParabolaSpectralModel",
}
"""Models that Gammapy has and this program has not, with what to do."""


@cache
def _import_room() -> None:
    """Import every module of this room once, so that its classes exist."""
    package = import_module("survey.models")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"survey.models.{module.name}")


def tags_of(cls: type) -> tuple[str, ...]:
    """Long and short tag of a class."""
    tag = getattr(cls, "tag", ())
    return (tag,) if isinstance(tag, str) else tuple(tag)


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    found: list[type[Any]] = []
    for child in cls.__subclasses__():
        found += [child, *_subclasses(child)]
    return found


def model_classes(kind: str) -> dict[str, type[Any]]:
    """Classes of a kind by tag.

    Parameters
    ----------
    kind : str
        ``spectral``, ``spatial``, ``temporal`` or ``prior``.
    """
    _import_room()
    module, name = BASES[kind]
    classes: dict[str, type[Any]] = {}
    for cls in _subclasses(getattr(import_module(module), name)):
        if not inspect.isabstract(cls) and "tag" in vars(cls):
            classes |= {tag: cls for tag in tags_of(cls)}
    return classes


def model_class(tag: object, kind: str, where: str) -> type[Any]:
    """Class of a tag.

    Parameters
    ----------
    tag : object
        As found in a file.
    kind : str
        ``spectral``, ``spatial``, ``temporal`` or ``prior``.
    where : str
        Component and section, for the message.

    Raises
    ------
    ModelsError
        When there is no such model; it names the nearest.
    """
    classes = model_classes(kind)
    if isinstance(tag, str) and tag in classes:
        return classes[tag]
    if tag in ELSEWHERE:
        raise ModelsError(f"{where}.type: {tag}: {ELSEWHERE[str(tag)]}")
    raise ModelsError(
        f"{where}.type: unknown {tag!r}, expected the tag of a {kind} model{nearest(tag, (t for t in classes))}"
    )
