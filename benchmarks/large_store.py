"""A data store of very many observations that takes no room: index files over links to the events of a small one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.piece import CONFIG, LENGTH, RUNS

HEIGHT = 3.6
"""Degrees of latitude that the survey's pointings cover."""
SPACING = 0.5


def band(n: int) -> float:
    """Half height, deg, of the band around the whole plane in which `n` observations are as dense as in the survey."""
    return 0.5 * HEIGHT * n / RUNS * LENGTH / 360.0


def large_config(n: int, data: Path, out: Path) -> dict[str, Any]:
    """Configuration of a survey of `n` observations on that band: grid and exclusion cover it, all else is the survey's."""
    import yaml

    config = yaml.safe_load(CONFIG.read_text())
    height = 2.0 * (np.ceil((band(n) + 2.0) / 0.2) * 0.2)
    config["datasets"]["geom"]["wcs"] |= {
        "skydir": {"frame": "galactic", "lon": "0 deg", "lat": "0 deg"},
        "width": {"width": "360 deg", "height": f"{height:.1f} deg"},
    }
    config["general"]["outdir"] = str(out)
    config["observations"] = {"datastore": str(data)}
    return config


def large_store(folder: Path, small: Path, n: int) -> None:
    """Write index files of `n` observations whose events are links to those of a simulated store.

    Parameters
    ----------
    folder : pathlib.Path
        The store to make; one of as many observations that is there is kept.
    small : pathlib.Path
        The simulated one.
    n : int
        Observations.
    """
    from astropy.coordinates import SkyCoord

    from survey.events.gadf_shared import write_store_indexes
    from survey.simulation.schedule import REFERENCE
    from survey.simulation.site import SITES

    done = folder / "links"
    if done.exists() and done.read_text() == str(n):
        return
    rows = [
        json.loads(path.read_bytes())["result"] for path in sorted((small / ".survey/markers/simulate").glob("*.json"))
    ]
    (folder / "events").mkdir(parents=True, exist_ok=True)
    (folder / "responses").mkdir(exist_ok=True)
    for path in (small / "responses").iterdir():
        if not (folder / "responses" / path.name).exists():
            os.link(path, folder / "responses" / path.name)
    places = positions(n)
    icrs = SkyCoord(places[0], places[1], unit="deg", frame="galactic").icrs
    made = []
    for number in range(n):
        row = rows[number % len(rows)]
        name = f"obs_{number + 1:06d}.fits"
        target = folder / "events" / name
        if not target.exists():
            os.link(small / "events" / row["hdus"][0]["FILE_NAME"], target)
        observation = row["observation"] | {"OBS_ID": number + 1}
        observation |= {"RA_PNT": float(icrs.ra.deg[number]), "DEC_PNT": float(icrs.dec.deg[number])}
        hdus = [
            hdu | {"OBS_ID": number + 1} | ({"FILE_NAME": name} if hdu["FILE_DIR"] == "events" else {})
            for hdu in row["hdus"]
        ]
        made.append({"observation": observation, "hdus": hdus})
    write_store_indexes(str(folder), made, location=SITES["hess"].location, reference=REFERENCE)
    done.write_text(str(n))


def positions(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Galactic longitudes and latitudes, deg: rows along the plane, visited again and again until there are `n`."""
    half = band(n)
    latitudes = np.linspace(-half, half, max(2, round(2 * half / SPACING) + 1))
    longitudes = np.arange(0.0, 360.0, SPACING)
    lon, lat = (values.ravel() for values in np.meshgrid(longitudes, latitudes))
    number = np.arange(n) * lon.size // n if n < lon.size else np.arange(n) % lon.size
    return lon[number], lat[number]
