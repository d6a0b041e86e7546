"""What every model is: a tag, parameters in a fixed order, and copies with other values."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Self

from survey.models.parameters import Parameter, Parameters


class Model(ABC):
    """A model with named parameters. Instances do not change; `replaced` makes another one.

    Every parameter is also an attribute that gives its value: ``model.index`` is ``model.parameters["index"].value``.

    Parameters
    ----------
    **values : float or Parameter
        Parameters by name; a number takes the place of the default's value, a `Parameter` that of the whole default.
    """

    tag: ClassVar[tuple[str, ...]]
    """Gammapy's long and short name of the model."""

    defaults: ClassVar[tuple[Parameter, ...]]
    """Parameters with their canonical units, default values and limits."""

    def __init__(self, **values: float | Parameter) -> None:
        defaults = Parameters(self.defaults)
        unknown = [name for name in values if name not in defaults]
        if unknown:
            raise ValueError(f"{self.tag[0]} has no parameter {', '.join(unknown)}; it has: {', '.join(defaults)}")
        try:
            self._parameters = defaults.replaced(**values)
        except ValueError as error:
            raise ValueError(f"{self.tag[0]}: {error}") from None

    @property
    def parameters(self) -> Parameters:
        """The parameters in order."""
        return self._parameters

    def __getattr__(self, name: str) -> float:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._parameters[name].value
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    def _settings(self) -> dict[str, str]:
        """Whatever of the model is no parameter (the frame of a shape)."""
        return {}

    def replaced(self, **values: float | Parameter) -> Self:
        """The same model with some values, or some whole parameters, exchanged."""
        return self.with_parameters(self._parameters.replaced(**values))

    def with_parameters(self, parameters: Parameters) -> Self:
        """The same model with other parameters."""
        return type(self)(**parameters, **self._settings())  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, Model)
            and self._parameters == other._parameters
            and self._settings() == other._settings()
        )

    def __hash__(self) -> int:
        return hash((type(self), self._parameters, tuple(self._settings().items())))

    def __repr__(self) -> str:
        values = [f"{p.name}={p.value:g}{' ' + p.unit if p.unit else ''}" for p in self._parameters.values()]
        values += [f"{key}={value!r}" for key, value in self._settings().items()]
        return f"{type(self).__name__}({', '.join(values)})"

    def key(self) -> dict[str, float | str]:
        """Tag, values and settings as plain data, for the key of a unit of work."""
        return {"type": self.tag[1], **{p.name: p.value for p in self._parameters.values()}, **self._settings()}
