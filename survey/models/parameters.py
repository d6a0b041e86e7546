"""Parameters of models: values with units, errors, limits and natural scales, and the vector view that a fit works on.

Parameters are plain frozen values. A link is a name that several parameters share, never an object identity, so that
models and vectors can leave the process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from survey.models.prior import Prior


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model, in its canonical unit.

    Parameters
    ----------
    name : str
        Name within the model, as in Gammapy's YAML.
    value : float
        Value in ``unit``.
    unit : str
        Canonical unit (TeV, s, m, sr; deg for angles); empty for a pure number.
    error : float
        Standard deviation in ``unit``; zero when unknown.
    minimum, maximum : float
        Limits of the value, infinite when there are none.
    frozen : bool
        Whether a fit leaves it alone.
    scale : float
        Natural scale in ``unit``: the first step of a fit. Zero takes a tenth of the value.
    link : str or None
        Parameters with the same link have the same value in every fit.
    prior : Prior or None
        What is known of the value beforehand.
    """

    name: str
    value: float
    unit: str = ""
    error: float = 0.0
    minimum: float = -math.inf
    maximum: float = math.inf
    frozen: bool = False
    scale: float = 0.0
    link: str | None = None
    prior: Prior | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"parameter {self.name}: {self.value} is not a finite value")
        if not self.minimum <= self.value <= self.maximum:
            unit = f" {self.unit}" if self.unit else ""
            raise ValueError(
                f"parameter {self.name}: {self.value:g}{unit} is outside its limits "
                f"[{self.minimum:g}, {self.maximum:g}]{unit}"
            )

    @property
    def step(self) -> float:
        """First step of a fit: the natural scale, or a tenth of the value, or one tenth."""
        return self.scale or 0.1 * abs(self.value) or 0.1

    def with_value(self, value: float, error: float | None = None) -> Parameter:
        """The same parameter with another value, and another error if one is given."""
        return replace(self, value=float(value), error=self.error if error is None else float(error))


class Parameters(Mapping[str, Parameter]):
    """The parameters of one model by name, in the order of its definition.

    Parameters
    ----------
    parameters : sequence of Parameter
        With different names.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._items = {parameter.name: parameter for parameter in parameters}
        if len(self._items) != len(parameters):
            raise ValueError(f"parameter names repeat: {', '.join(parameter.name for parameter in parameters)}")

    def __getitem__(self, name: str) -> Parameter:
        try:
            return self._items[name]
        except KeyError:
            raise KeyError(f"no parameter {name!r}; there are: {', '.join(self._items)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameters) and self._items == other._items

    def __hash__(self) -> int:
        return hash(tuple(self._items.values()))

    def __repr__(self) -> str:
        return f"Parameters({', '.join(f'{p.name}={p.value:g} {p.unit}'.rstrip() for p in self._items.values())})"

    @property
    def vector(self) -> NDArray[np.float64]:
        """Values in order, canonical units."""
        return np.array([parameter.value for parameter in self._items.values()])

    @property
    def errors(self) -> NDArray[np.float64]:
        """Standard deviations in order, canonical units."""
        return np.array([parameter.error for parameter in self._items.values()])

    @property
    def free(self) -> NDArray[np.bool_]:
        """Which of them a fit may change."""
        return np.array([not parameter.frozen for parameter in self._items.values()])

    def replaced(self, **values: float | Parameter) -> Parameters:
        """The same parameters with some values, or some whole parameters, exchanged."""
        for name in values:
            self[name]
        return Parameters(
            [
                new if isinstance(new := values.get(name, old), Parameter) else old.with_value(new)
                for name, old in self._items.items()
            ]
        )


@dataclass(frozen=True)
class ParameterVector:
    """The free parameters of several components as one vector: linked ones once, frozen ones not at all.

    It holds names and numbers only, so that it pickles; `assign` brings a vector back to the components.

    Parameters
    ----------
    components : mapping of str to Parameters
        Parameters of every component by the component's name.
    """

    components: Mapping[str, Parameters]

    def __post_init__(self) -> None:
        for link, members in self._links.items():
            values = {self.components[component][name].value for component, name in members}
            units = {self.components[component][name].unit for component, name in members}
            names = ", ".join(f"{component}.{name}" for component, name in members)
            if len(units) > 1:
                raise ValueError(f"link {link!r} joins parameters of different units: {names}")
            if len(values) > 1:
                raise ValueError(f"link {link!r} joins parameters of different values: {names}")

    @cached_property
    def _links(self) -> dict[str, list[tuple[str, str]]]:
        links: dict[str, list[tuple[str, str]]] = {}
        for component, parameters in self.components.items():
            for name, parameter in parameters.items():
                if parameter.link is not None:
                    links.setdefault(parameter.link, []).append((component, name))
        return links

    @cached_property
    def _index(self) -> dict[str, list[tuple[str, str]]]:
        index: dict[str, list[tuple[str, str]]] = {}
        for component, parameters in self.components.items():
            for name, parameter in parameters.items():
                if not parameter.frozen:
                    index.setdefault(parameter.link or f"{component}.{name}", []).append((component, name))
        return index

    @property
    def names(self) -> tuple[str, ...]:
        """``component.parameter``, or the link's name, for every element of the vector."""
        return tuple(self._index)

    def _first(self) -> list[Parameter]:
        return [self.components[members[0][0]][members[0][1]] for members in self._index.values()]

    @property
    def values(self) -> NDArray[np.float64]:
        """The vector itself."""
        return np.array([parameter.value for parameter in self._first()], dtype=float)

    @property
    def limits(self) -> NDArray[np.float64]:
        """Limits, shape (n, 2); those of linked parameters are the narrowest of all."""
        rows = [[self.components[component][name] for component, name in members] for members in self._index.values()]
        return np.array(
            [[max(p.minimum for p in row), min(p.maximum for p in row)] for row in rows], dtype=float
        ).reshape(-1, 2)

    @property
    def steps(self) -> NDArray[np.float64]:
        """First steps of a fit."""
        return np.array([parameter.step for parameter in self._first()], dtype=float)

    def _priors(self) -> Iterator[tuple[int, Prior]]:
        """Element and prior; the same prior of linked parameters counts once."""
        for k, members in enumerate(self._index.values()):
            priors = [self.components[component][name].prior for component, name in members]
            yield from ((k, prior) for prior in dict.fromkeys(priors) if prior is not None)

    def prior_stat(self, vector: NDArray[np.float64]) -> float:
        """What the priors add to the fit statistic at a vector of shape (n,); see `survey.models.prior`."""
        return float(sum(float(prior.value(vector[k])) for k, prior in self._priors()))

    def prior_gradient(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives of `prior_stat`, shape (n,)."""
        gradient = np.zeros(len(self._index))
        for k, prior in self._priors():
            gradient[k] += float(prior.gradient(vector[k]))
        return gradient

    def assign(
        self, vector: NDArray[np.float64], covariance: NDArray[np.float64] | None = None
    ) -> dict[str, Parameters]:
        """Parameters of every component with the values of a vector, and errors of its covariance.

        Parameters
        ----------
        vector : numpy.ndarray
            Values, shape (n,).
        covariance : numpy.ndarray or None
            Shape (n, n).
        """
        changed: dict[str, dict[str, float | Parameter]] = {component: {} for component in self.components}
        for k, members in enumerate(self._index.values()):
            error = None if covariance is None else math.sqrt(max(float(covariance[k, k]), 0.0))
            for component, name in members:
                changed[component][name] = self.components[component][name].with_value(float(vector[k]), error)
        return {component: self.components[component].replaced(**new) for component, new in changed.items()}
