"""The components of a model file: sources, the background of a field of view, templates of predicted counts.

A component has a name and parts: a spectrum, and perhaps a shape and a time dependence. It does not change;
`with_parts` makes another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from survey.models.model import Model
from survey.models.models_error import ModelsError, nearest
from survey.models.parameters import Parameters
from survey.models.registry import model_classes
from survey.models.spatial import SpatialModel
from survey.models.spectral import SpectralModel

KINDS = ("spectral", "spatial", "temporal")
"""Kinds of parts, in the order of files and vectors."""

RESPONSES = ("exposure", "psf", "edisp")
"""Responses that are applied to a source, unless it says otherwise."""


@dataclass(frozen=True)
class Component:
    """What all components share."""

    tag: ClassVar[tuple[str, ...]]

    name: str
    """Unique within its collection."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ModelsError(f"{self.tag[0]}.name: {self.name!r}, expected a text; put it in quotes")

    @property
    def parts(self) -> dict[str, Model]:
        """Models by kind, in the order spectral, spatial, temporal."""
        found = {kind: getattr(self, kind, None) for kind in KINDS}
        return {kind: part for kind, part in found.items() if part is not None}

    @property
    def groups(self) -> dict[str, Parameters]:
        """Parameters of every part by path, ``name.spectral``."""
        return {f"{self.name}.{kind}": part.parameters for kind, part in self.parts.items()}

    @property
    def datasets(self) -> tuple[str, ...] | None:
        """Names of the datasets that it belongs to; None: all of them."""
        return getattr(self, "datasets_names", None)

    def with_parts(self, **parts: Any) -> Self:
        """The same component with other parts (``spectral=...``)."""
        return replace(self, **parts)

    def renamed(self, name: str) -> Self:
        """The same component under another name."""
        return replace(self, name=name)

    def with_groups(self, groups: Mapping[str, Parameters]) -> Self:
        """The same component with other parameters, given by the paths of `groups`."""
        parts = {
            kind: part.with_parameters(groups[path])
            for kind, part in self.parts.items()
            if (path := f"{self.name}.{kind}") in groups and groups[path] != part.parameters
        }
        return self.with_parts(**parts) if parts else self

    def freeze(self, kind: str | None = None) -> Self:
        """The same component with all parameters frozen, or those of one part."""
        return self._with_frozen(kind, lambda name, part: True)

    def unfreeze(self, kind: str | None = None) -> Self:
        """The same component with parameters as free as they are by default, of one part or of all."""
        return self._with_frozen(kind, _frozen_by_default)

    def _with_frozen(self, kind: str | None, flag: Any) -> Self:
        if kind is not None and kind not in KINDS:
            raise ModelsError(f"{self.name}: {kind!r} is no kind of part{nearest(kind, KINDS)}")
        groups = {
            f"{self.name}.{key}": Parameters(
                [replace(item, frozen=flag(name, part)) for name, item in part.parameters.items()]
            )
            for key, part in self.parts.items()
            if kind in (None, key)
        }
        return self.with_groups(groups)

    def key(self) -> dict[str, Any]:
        """Type, name and values as plain data, for the key of a unit of work."""
        parts = {kind: part.key() for kind, part in self.parts.items()}
        others = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in KINDS}
        return {"type": self.tag[0], **{name: _plain(value) for name, value in others.items()}, **parts}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _frozen_by_default(name: str, part: Model) -> bool:
    """Whether a parameter is frozen unless a user says otherwise; parameters that a model makes itself are free."""
    own, _, rest = name.partition(".")
    inner = getattr(part, own, None) if rest else None
    if isinstance(inner, Model):
        return _frozen_by_default(rest, inner)
    return next((item.frozen for item in getattr(part, "defaults", ()) if item.name == name), False)


def _names(value: Any, where: str) -> tuple[str, ...] | None:
    """Names of datasets: none for all of them, a text for one."""
    if value is None:
        return None
    names = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(name, str) for name in names):
        raise ModelsError(f"{where}.datasets_names: {list(names)!r}, expected names of datasets")
    return names


@dataclass(frozen=True)
class SkyModel(Component):
    """A source: spectrum x shape x time dependence.

    Parameters
    ----------
    name : str
        Unique name.
    spectral : SpectralModel
        Spectrum.
    spatial : SpatialModel or None
        Shape; without one the source is what a region dataset sees.
    temporal : TemporalModel or None
        Time dependence; without one the source is steady.
    apply_irf : mapping of str to bool
        Which of exposure, psf and edisp are applied.
    datasets_names : sequence of str, str or None
        Datasets that it belongs to; None for all.
    """

    tag: ClassVar[tuple[str, ...]] = ("SkyModel", "sky-model")

    spectral: SpectralModel
    spatial: SpatialModel | None = None
    temporal: Any = None
    apply_irf: Mapping[str, bool] = field(
        default_factory=lambda: dict.fromkeys(RESPONSES, True), kw_only=True, hash=False
    )
    datasets_names: tuple[str, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "datasets_names", _names(self.datasets_names, self.name))
        unknown = [key for key in self.apply_irf if key not in RESPONSES]
        if unknown:
            raise ModelsError(f"{self.name}.apply_irf.{unknown[0]}: unknown{nearest(unknown[0], RESPONSES)}")
        wrong = [key for key, value in self.apply_irf.items() if not isinstance(value, bool)]
        if wrong:
            raise ModelsError(f"{self.name}.apply_irf.{wrong[0]}: {self.apply_irf[wrong[0]]!r}, expected true or false")
        object.__setattr__(self, "apply_irf", dict.fromkeys(RESPONSES, True) | dict(self.apply_irf))


def _norm() -> SpectralModel:
    """Norm 1 and tilt 0, of which the tilt is frozen."""
    model: SpectralModel = model_classes("spectral")["pl-norm"]()
    return model


@dataclass(frozen=True)
class FoVBackgroundModel(Component):
    """Correction of the background of one dataset.

    Parameters
    ----------
    name : str
        Unique name; by `for_dataset` the dataset's with ``-bkg``, as in Gammapy, which knows no other.
    spectral : SpectralModel
        Norm and tilt; a model without a unit.
    spatial : SpatialModel or None
        Norm over the field of view.
    datasets_names : sequence of str or str
        The one dataset.
    """

    tag: ClassVar[tuple[str, ...]] = ("FoVBackgroundModel", "fov-bkg")

    spectral: SpectralModel = field(default_factory=_norm)
    spatial: SpatialModel | None = None
    datasets_names: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = _names(self.datasets_names, self.name) or ()
        object.__setattr__(self, "datasets_names", names)
        if len(names) != 1:
            raise ModelsError(f"{self.name}.datasets_names: {list(names)!r}, expected the name of one dataset")

    @classmethod
    def for_dataset(cls, dataset_name: str, **parts: Any) -> FoVBackgroundModel:
        """The model of a dataset under its usual name."""
        return cls(f"{dataset_name}-bkg", datasets_names=(dataset_name,), **parts)

    @property
    def dataset_name(self) -> str:
        """The dataset that it belongs to."""
        return self.datasets_names[0]


@dataclass(frozen=True)
class TemplateNPredModel(Component):
    """A map of predicted counts, times a norm and a tilt.

    Parameters
    ----------
    name : str
        Unique name.
    filename : str
        FITS map with an axis of reconstructed energy, in Gammapy's format.
    spectral : SpectralModel
        Norm and tilt; the tilt is frozen by default.
    spatial : SpatialModel or None
        Norm over the map.
    datasets_names : sequence of str, str or None
        The one dataset that it belongs to, or None.
    """

    tag: ClassVar[tuple[str, ...]] = ("TemplateNPredModel",)

    filename: str
    spectral: SpectralModel = field(default_factory=_norm)
    spatial: SpatialModel | None = None
    datasets_names: tuple[str, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = _names(self.datasets_names, self.name)
        object.__setattr__(self, "datasets_names", names)
        object.__setattr__(self, "filename", str(self.filename))
        if names is not None and len(names) != 1:
            raise ModelsError(f"{self.name}.datasets_names: {list(names)!r}, expected the name of one dataset")

    def key(self) -> dict[str, Any]:
        """As of every component, with a hash of the file: what it holds may change under its name."""
        path = Path(self.filename)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        return {**super().key(), "digest": digest}


COMPONENTS: tuple[type[Component], ...] = (SkyModel, FoVBackgroundModel, TemplateNPredModel)
"""Classes of components."""
