"""A collection of components: by name, in order, with the vector of its parameters and their covariance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.components import KINDS, Component, FoVBackgroundModel
from survey.models.coverage import check_covers
from survey.models.models_error import ModelsError, nearest
from survey.models.parameters import Parameter, Parameters, ParameterVector
from survey.models.registry import tags_of
from survey.models.spatial import Pixels
from survey.models.yaml_reader import ModelsContent, parse_data, parse_yaml
from survey.models.yaml_writer import component_data, models_text, write_models

Array = NDArray[np.float64]


class Models(Mapping[str, Component]):
    """Components by name, in order. It does not change; its methods make others.

    Parameters
    ----------
    components : iterable of Component
        With different names.
    covariance : array_like or None
        Of all parameters in the order of `parameter_names`, canonical units, shape (n, n). Without it the errors of the
        parameters count as independent.

    Raises
    ------
    ModelsError
        For names that repeat, two backgrounds of one dataset, links between parameters that differ, and a covariance of
        another shape.
    """

    def __init__(self, components: Iterable[Component] = (), *, covariance: ArrayLike | None = None) -> None:
        items = tuple(components)
        self._items = {item.name: item for item in items}
        lines = []
        names = [item.name for item in items]
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                lines.append(f"{name}: {names.count(name)} components have this name; give each its own")
        datasets = [item.dataset_name for item in items if isinstance(item, FoVBackgroundModel)]
        for name in dict.fromkeys(datasets):
            if datasets.count(name) > 1:
                both = [m.name for m in items if isinstance(m, FoVBackgroundModel) and m.dataset_name == name]
                lines.append(
                    f"{', '.join(both)}: all are background models of the dataset {name}, expected one; take the others out"
                )
        if lines:
            raise ModelsError(lines)
        self._covariance = None if covariance is None else np.array(covariance, dtype=float)
        size = len(self.parameter_names)
        if self._covariance is not None and self._covariance.shape != (size, size):
            raise ModelsError(
                f"covariance: shape {self._covariance.shape}, expected {(size, size)}, "
                "one row and column for each parameter"
            )
        self._check_links()

    def _check_links(self) -> None:
        try:
            self.vector.names  # noqa: B018 - builds the vector, which looks at units and values of links
        except ValueError as error:
            raise ModelsError(str(error)) from None
        frozen: dict[str, tuple[str, bool]] = {}
        for path, item in self.parameters.items():
            if item.link is not None:
                first, flag = frozen.setdefault(item.link, (path, item.frozen))
                if flag != item.frozen:
                    raise ModelsError(
                        f"{path}.frozen: {str(item.frozen).lower()}, but {first}, with which link {item.link!r} joins "
                        f"it, has {str(flag).lower()}; freeze both or none"
                    )

    def __getitem__(self, name: str) -> Component:
        try:
            return self._items[name]
        except KeyError:
            raise KeyError(f"no component {name!r}{nearest(name, self._items)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Models)
            and tuple(self.values()) == tuple(other.values())
            and bool(np.array_equal(self.covariance, other.covariance))
        )

    def __hash__(self) -> int:
        return hash(tuple(self._items.values()))

    def __repr__(self) -> str:
        lines = [
            f"  {name}: {item.tag[0]}({', '.join(type(part).__name__ for part in item.parts.values())})"
            for name, item in self.items()
        ]
        return "\n".join([f"Models, {len(self)} components", *lines])

    @property
    def groups(self) -> dict[str, Parameters]:
        """Parameters of every part by its path, ``source.spectral``."""
        return {path: parameters for item in self.values() for path, parameters in item.groups.items()}

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """All parameters by path, ``source.spectral.index``, frozen and linked ones too."""
        return {
            f"{group}.{name}": parameter
            for group, parameters in self.groups.items()
            for name, parameter in parameters.items()
        }

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Paths of all parameters in order: rows of the covariance."""
        return tuple(self.parameters)

    @cached_property
    def vector(self) -> ParameterVector:
        """The free parameters, linked ones once, for a fit."""
        return ParameterVector(self.groups)

    @property
    def _element(self) -> Array:
        """Element of the vector that every parameter is, -1 for frozen ones."""
        index = {name: number for number, name in enumerate(self.vector.names)}
        return np.array(
            [-1 if item.frozen else index[item.link or path] for path, item in self.parameters.items()], dtype=int
        )

    @property
    def covariance(self) -> Array:
        """Covariance of all parameters in the order of `parameter_names`, canonical units, shape (n, n)."""
        if self._covariance is not None:
            return self._covariance.copy()
        return np.diag([item.error**2 for item in self.parameters.values()])

    @property
    def vector_covariance(self) -> Array:
        """Covariance of the elements of `vector`."""
        element = self._element
        rows = [int(np.flatnonzero(element == number)[0]) for number in range(len(self.vector.names))]
        return self.covariance[np.ix_(rows, rows)]

    def with_vector(self, values: ArrayLike, covariance: ArrayLike | None = None) -> Models:
        """The same models with the result of a fit.

        Parameters
        ----------
        values : array_like
            In the order of ``vector.names``.
        covariance : array_like or None
            Shape (n, n) in that order; it becomes the covariance and the errors. Without it both stay.
        """
        matrix = None if covariance is None else np.asarray(covariance, dtype=float)
        changed = self.vector.assign(np.asarray(values, dtype=float), matrix)
        components = [item.with_groups(changed) for item in self.values()]
        if matrix is None:
            return Models(components, covariance=self._covariance)
        element = self._element
        free = element >= 0
        if not matrix.size:
            return Models(components)
        # as in Gammapy, errors follow the covariance: those of frozen parameters are zero
        return Models(components).with_covariance(np.where(free[:, None] & free, matrix[np.ix_(element, element)], 0.0))

    def with_covariance(self, covariance: ArrayLike) -> Models:
        """The same models with a covariance of all parameters, whose diagonal gives the errors."""
        matrix = np.asarray(covariance, dtype=float)
        checked = Models(self.values(), covariance=matrix)
        errors = dict(zip(self.parameter_names, np.sqrt(np.maximum(np.diagonal(matrix), 0.0)), strict=True))
        return checked._mapped(lambda path, item: replace(item, error=float(errors[path])))

    def _mapped(self, change: Callable[[str, Parameter], Parameter]) -> Models:
        """The same models with every parameter changed by a function of its path and itself."""
        groups = {
            group: Parameters([change(f"{group}.{name}", item) for name, item in parameters.items()])
            for group, parameters in self.groups.items()
        }
        return Models([item.with_groups(groups) for item in self.values()], covariance=self._covariance)

    def with_parameters(self, changes: Mapping[str, float | Parameter]) -> Models:
        """The same models with some values, or whole parameters, exchanged by path (``source.spectral.index``).

        A value goes to all parameters that are linked with the one that is named.
        """
        for path in changes:
            if path not in self.parameters:
                raise ModelsError(f"{path}: no such parameter{nearest(path, self.parameters)}")
        linked = {
            link: new
            for path, new in changes.items()
            if (link := self.parameters[path].link) is not None and not isinstance(new, Parameter)
        }

        def change(path: str, item: Parameter) -> Parameter:
            new = changes.get(path, linked.get(item.link) if item.link is not None else None)
            if new is None or isinstance(new, Parameter):
                return new or item
            return item.with_value(new)

        return self._mapped(change)

    def replaced(self, *components: Component) -> Models:
        """The same models with those of the same name exchanged; the covariance, if it no longer fits, is dropped."""
        for item in components:
            self[item.name]
        new = {item.name: item for item in components}
        changed = Models([new.get(name, item) for name, item in self.items()])
        same = changed.parameter_names == self.parameter_names
        return Models(changed.values(), covariance=self._covariance if same else None)

    def added(self, *components: Component) -> Models:
        """These and more; with a covariance that is zero between old and new."""
        new = Models([*self.values(), *components])
        if self._covariance is None:
            return new
        matrix = new.covariance
        matrix[: len(self.parameters), : len(self.parameters)] = self._covariance
        return Models(new.values(), covariance=matrix)

    def only(self, names: Iterable[str]) -> Models:
        """Some of them by name, in their order, with their part of the covariance."""
        wanted = set(names)
        for name in wanted:
            self[name]
        kept = [item for name, item in self.items() if name in wanted]
        if self._covariance is None:
            return Models(kept)
        paths = set(Models(kept).parameter_names)
        rows = [number for number, path in enumerate(self.parameter_names) if path in paths]
        return Models(kept, covariance=self._covariance[np.ix_(rows, rows)])

    def select(
        self,
        name: str | None = None,
        *,
        tag: str | Sequence[str] | None = None,
        kind: str | None = None,
        dataset: str | None = None,
        frozen: bool | None = None,
    ) -> Models:
        """Those that meet all conditions.

        Parameters
        ----------
        name : str or None
            Part of the name.
        tag : str, sequence of str or None
            Type of the component, or of one of its parts.
        kind : str or None
            With `tag`: the part that is looked at, ``spectral``, ``spatial`` or ``temporal``.
        dataset : str or None
            Name of a dataset that they belong to.
        frozen : bool or None
            Whether all of their parameters are frozen.
        """
        if kind is not None and kind not in KINDS:
            raise ModelsError(f"kind: {kind!r} is no kind of part{nearest(kind, KINDS)}")
        tags = {tag} if isinstance(tag, str) else set(tag or ())

        def wanted(item: Component) -> bool:
            looked_at = [item.parts.get(kind)] if kind else [item, *item.parts.values()]
            names = getattr(item, "datasets_names", None)
            free = any(not p.frozen for parameters in item.groups.values() for p in parameters.values())
            return (
                (name is None or name in item.name)
                and (not tags or any(part is not None and tags & set(tags_of(type(part))) for part in looked_at))
                and (dataset is None or names is None or dataset in names)
                and (frozen is None or frozen is not free)
            )

        return self.only([name for name, item in self.items() if wanted(item)])

    def freeze(self, kind: str | None = None) -> Models:
        """The same models with all parameters frozen, or those of one kind of part."""
        return Models([item.freeze(kind) for item in self.values()], covariance=self._covariance)

    def unfreeze(self, kind: str | None = None) -> Models:
        """The same models with parameters as free as they are by default."""
        return Models([item.unfreeze(kind) for item in self.values()], covariance=self._covariance)

    def check_covers(self, pixels: Pixels, *, energy: ArrayLike | None = None) -> None:
        """Refuse templates that end inside a map; see `survey.models.coverage`."""
        check_covers(self.values(), pixels, energy=energy)

    def key(self) -> list[dict[str, Any]]:
        """Types, names and values as plain data, for the key of a unit of work."""
        return [item.key() for item in self.values()]

    def as_dict(self) -> dict[str, Any]:
        """Plain data (JSON) without any loss, for a worker; `from_dict` makes the same models of it."""
        data: dict[str, Any] = {"components": [component_data(item, canonical=True) for item in self.values()]}
        if self._covariance is not None:
            data["covariance"] = self._covariance.tolist()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, folder: str | Path | None = None) -> Models:
        """Models of plain data: that of `as_dict`, or of a YAML file whose files are in `folder`."""
        return cls._of(parse_data(dict(data), folder=None if folder is None else Path(folder)))

    @classmethod
    def _of(cls, content: ModelsContent) -> Models:
        models = cls(content.components)
        if content.covariance is None:
            return models
        first: dict[str, int] = {}
        rows = [
            number if item.link is None else first.setdefault(item.link, number)
            for number, item in enumerate(models.parameters.values())
        ]
        # the peer writes zeros for all linked parameters but the first
        return models.with_covariance(content.covariance[np.ix_(rows, rows)])

    @classmethod
    def from_yaml(cls, text: str, *, folder: str | Path | None = None) -> Models:
        """Models of a YAML text.

        Parameters
        ----------
        text : str
            As Gammapy 2.1 writes it.
        folder : str, pathlib.Path or None
            Folder that names of files are relative to; the working directory unless given.

        Raises
        ------
        ModelsError
            With all problems, a line each, with component and key.
        """
        return cls._of(parse_yaml(text, folder=None if folder is None else Path(folder)))

    @classmethod
    def read(cls, path: str | Path) -> Models:
        """Models of a YAML file, with the covariance that it names.

        Raises
        ------
        ModelsError
            With all problems, a line each, with file, component and key.
        """
        path = Path(path).expanduser()
        try:
            text = path.read_text()
        except OSError as error:
            raise ModelsError(f"{path}: cannot be read ({error.strerror}); give a YAML file with models") from None
        return cls._of(parse_yaml(text, folder=path.parent, source=str(path)))

    def to_yaml(self, *, full: bool = False) -> str:
        """The YAML text, with everything that equals a default too if it is `full`; without the covariance."""
        return models_text(self.values(), full=full)

    def write(self, path: str | Path, *, full: bool = False, covariance: bool = True, overwrite: bool = False) -> None:
        """Write a YAML file, and the covariance beside it as ``<stem>_covariance.dat``.

        Parameters
        ----------
        path : str or pathlib.Path
            The YAML file.
        full : bool
            Also what equals a default.
        covariance : bool
            Whether to write the covariance.
        overwrite : bool
            Whether files may be there already.
        """
        matrix = self.covariance if covariance else None
        write_models(Path(path).expanduser(), self.values(), matrix, full=full, overwrite=overwrite)


def read_models(path: str | Path) -> Models:
    """Models of a YAML file; see `Models.read`."""
    return Models.read(path)
