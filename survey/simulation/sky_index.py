"""The sky index: the models of a sky with places and sizes, so that a run looks only at those near its field of view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class SkyIndex(Sequence[Any]):
    """Sky models in order.

    Parameters
    ----------
    models : sequence or mapping of SkyModel
        Each with a spectrum and a shape; names differ.

    Raises
    ------
    ValueError
        For a model that no photons can be drawn from; the message names it.
    """

    def __init__(self, models: Sequence[Any] | Mapping[str, Any]) -> None:
        self._models = tuple(models.values() if isinstance(models, Mapping) else models)
        for model in self._models:
            if getattr(model, "spectral", None) is None:
                raise ValueError(f"model {model.name!r} is a {type(model).__name__}: events are drawn from sky models")
            if getattr(model, "spatial", None) is None:
                raise ValueError(f"model {model.name!r} has no spatial model: give it one, events need a direction")

    def __len__(self) -> int:
        return len(self._models)

    def __getitem__(self, index: Any) -> Any:
        return self._models[index]

    @cached_property
    def _places(self) -> tuple[Array, Array]:
        """Centres (n, 3), ICRS, and evaluation radii (n,), deg; a shape without a centre covers the sky."""
        centers, radii = np.zeros((len(self), 3)), np.full(len(self), 180.0)
        centers[:, 0] = 1.0
        for number, model in enumerate(self._models):
            try:
                centers[number] = model.spatial.center
            except AttributeError:
                continue
            radii[number] = model.spatial.evaluation_radius
        return centers, radii

    def near(self, pointings: Array, reach: float) -> list[tuple[int, float, float]]:
        """Models that reach into a field of view.

        Parameters
        ----------
        pointings : numpy.ndarray (k, 3)
            Unit vectors.
        reach : float
            Radius of the field of view, deg.

        Returns
        -------
        list of tuple
            Number of the model, and the smallest and largest offset at which it may have photons, deg. The margin is as
            wide as the shape again, for what lies outside its evaluation radius.
        """
        if not self._models:
            return []
        centers, radii = self._places
        chord = np.sqrt(np.sum((centers[:, None] - pointings[None]) ** 2, axis=2))
        separation = np.degrees(2.0 * np.arcsin(np.minimum(0.5 * chord, 1.0)))
        nearest, furthest = separation.min(axis=1), separation.max(axis=1)
        found = np.flatnonzero(nearest - radii <= reach)
        return [
            (int(n), max(float(nearest[n] - 2.0 * radii[n]), 0.0), float(furthest[n] + 2.0 * radii[n])) for n in found
        ]
