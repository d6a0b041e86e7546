"""The table of what stands out, for the terminal."""

from __future__ import annotations

import numpy as np

from survey.products import open_run


def peaks_table(outdir: str, *, threshold: float, separation: float, band: int, models: str | None = None) -> str:
    """Lines for people: place and significance of every peak of a run; with models, one line for each that is near.

    Parameters
    ----------
    outdir : str
        Folder or URL of the run.
    threshold, separation, band
        See `survey.products.Run.peaks`.
    models : str or None
        A file of sky models that gives names to what is near them.

    Returns
    -------
    str
    """
    from survey.estimators.peaks import nearest_names

    table = open_run(outdir).peaks(threshold=threshold, separation=separation, band=band)
    if not len(table):
        return f"nothing stands out at {threshold:g} standard deviations"
    position = table["position"].galactic
    names = [""] * len(table)
    if models is not None:
        from astropy.coordinates import SkyCoord

        from survey.models.collection import read_models
        from survey.models.components import SkyModel

        places, known = [], []
        for name, model in read_models(models).items():
            shape = model.spatial if isinstance(model, SkyModel) else None
            if shape is not None and "lon_0" in shape.parameters:
                place = SkyCoord(shape.lon_0, shape.lat_0, unit="deg", frame=shape.frame).galactic
                places.append((place.l.deg, place.b.deg))
                known.append(name)
        if known:
            centers = SkyCoord(*np.transpose(places), unit="deg", frame="galactic")
            names = nearest_names(position, known, centers, within=2 * separation)
    lines = [f"{'l':>8} {'b':>8} {'sigma':>7}  near"]
    for place, value, name in zip(position, table["value"], names, strict=True):
        # an extended source has several peaks: the greatest stands for it
        if name and any(line.endswith(f"  {name}") for line in lines[1:]):
            continue
        lines.append(f"{place.l.deg:8.2f} {place.b.deg:8.2f} {float(value):7.1f}  {name}".rstrip())
    return "\n".join(lines)
