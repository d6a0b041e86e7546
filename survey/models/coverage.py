"""Whether templates cover a map: one that ends inside it would make a step in what is predicted.

A source whose image fades before its edge may lie anywhere, and one that is wholly off the map is not seen. Diffuse
emission, which goes on beyond the edge of its image, has to reach over the whole map, and a cube over its energies.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.components import Component, TemplateNPredModel
from survey.models.models_error import ModelsError
from survey.models.sky_template import SkyTemplate
from survey.models.spatial import Pixels, lon_lat, to_icrs_matrix
from survey.models.spatial_template import TemplateSpatial

Array = NDArray[np.float64]

FADED = 1e-3
"""A template whose brightest pixel at the edge is below this part of its peak ends there by itself."""
FADED_SOURCE = 0.1
"""The same for one that is normalised: an image of a source, which may be noisy."""


def check_covers(components: Iterable[Component], pixels: Pixels, *, energy: ArrayLike | None = None) -> None:
    """Refuse templates that end inside a map.

    Parameters
    ----------
    components : iterable of Component
        Those without a template are not looked at.
    pixels : Pixels
        Unit vectors of the map's pixel centres, shape (3, ...), ICRS; NaN where there is no sky.
    energy : array_like or None
        True energies (TeV) at which models are evaluated, for cubes; not looked at unless given.

    Raises
    ------
    ModelsError
        Names component, file and what is missing.
    """
    vectors = np.asarray(pixels.vectors, dtype=float).reshape(3, -1)
    vectors = vectors[:, np.isfinite(vectors).all(axis=0)]
    lines = []
    for component in components:
        spatial = component.parts.get("spatial")
        if isinstance(spatial, TemplateSpatial):
            where = f"{component.name}.spatial.filename: {Path(spatial.filename).name}"
            middle = spatial.source.center
            moved = (spatial.lon_0 - middle[0], spatial.lat_0 - middle[1])
            faded = FADED_SOURCE if spatial.normalize else FADED
            lines += _problems(spatial.source, vectors, energy, where, moved=moved, faded=faded)
        if isinstance(component, TemplateNPredModel):
            where = f"{component.name}.filename: {Path(component.filename).name}"
            lines += _problems(SkyTemplate.read(component.filename), vectors, None, where)
    if lines:
        raise ModelsError(lines)


def _problems(
    template: SkyTemplate,
    vectors: Array,
    energy: ArrayLike | None,
    where: str,
    *,
    moved: tuple[float, float] = (0.0, 0.0),
    faded: float = 0.0,
) -> list[str]:
    """What a template lacks, a line each."""
    inside = _inside(template, vectors, moved)
    if not inside.any() and faded:
        return []
    lines = []
    if not inside.all() and (not faded or _edge(template) > faded):
        lines.append(
            f"{where} covers {inside.sum()} of {inside.size} pixels of the map and has not faded at its edge; "
            "give a template that covers the map, or a map inside it"
        )
    if energy is not None and template.nodes is not None:
        wanted = np.asarray(energy, dtype=float)
        place = np.rint(template.energy_pixel(wanted))
        if place.min() < 0 or place.max() > template.data.shape[0] - 1:
            lines.append(
                f"{where} covers {template.nodes.min():.4g} to {template.nodes.max():.4g} TeV, expected "
                f"{wanted.min():.4g} to {wanted.max():.4g} TeV as the map's true energies; give a template that covers them"
            )
    return lines


def _inside(template: SkyTemplate, vectors: Array, moved: tuple[float, float]) -> NDArray[np.bool_]:
    """Which directions lie on the image."""
    lon, lat = lon_lat(to_icrs_matrix(template.frame).T @ vectors)
    y, x = template.pixel(lon - moved[0], lat - moved[1])
    ny, nx = template.shape
    # a round-off in a header is no gap
    return (y >= -0.501) & (y <= ny - 0.499) & (x >= -0.501) & (x <= nx - 0.499)


def _edge(template: SkyTemplate) -> float:
    """Greatest brightness at the edge over that of the whole image, of the plane where it is largest."""
    data = template.data.reshape(-1, *template.shape)
    ring = np.concatenate([data[:, [0, -1]].reshape(len(data), -1), data[:, :, [0, -1]].reshape(len(data), -1)], axis=1)
    peak = data.reshape(len(data), -1).max(axis=1)
    return float(np.max(ring.max(axis=1) / np.where(peak > 0, peak, 1.0)))
