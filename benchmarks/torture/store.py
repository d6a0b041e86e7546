"""What is tortured: a store of small simulated observations, some of them spoiled, and the configuration that maps it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.torture.spoiling import SPOILINGS

RA, DEC = 83.63, -22.01
SPACING = 0.2  # deg
ONE_IN = 8
"""Of so many observations one is spoiled; of the ways that cost much time, one in `RARE_ONE_IN`."""
RARE_ONE_IN = 100


@dataclass(frozen=True)
class SpoiledStore:
    """A data store and the configuration that runs it.

    Parameters
    ----------
    folder : Path
        The data store.
    config : Path
        The configuration; ``general.outdir`` and ``cluster`` are to be set.
    n_observations : int
        Observations in its index.
    spoiled : dict of int to str
        How observations are spoiled, by their id.
    """

    folder: Path
    config: Path
    n_observations: int
    spoiled: dict[int, str]

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(self.spoiled.values()).items())
        return f"{self.n_observations} simulated observations, {len(self.spoiled)} of them spoiled: {kinds}"

    def good(self) -> list[int]:
        """Observations that are not spoiled."""
        return [obs_id for obs_id in range(1, self.n_observations + 1) if obs_id not in self.spoiled]


def make_spoiled_store(folder: Path, n_observations: int, seed: int) -> SpoiledStore:
    """Simulate a store in which about one observation in eight is spoiled, in every way at least once.

    Parameters
    ----------
    folder : Path
        To make; the configuration goes beside it.
    n_observations : int
        At least eight.
    seed : int
        Of the simulation, and of what is spoiled.
    """
    rng = random.Random(seed)
    config = folder.with_suffix(".yaml")
    models = folder.with_name("sky.yaml")
    models.write_text(yaml.safe_dump(SKY))
    config.write_text(yaml.safe_dump(_configuration(folder, models, n_observations, seed)))
    command = [sys.executable, "-m", "survey.cli", "simulate", str(config), str(folder)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    often = [name for name, one in SPOILINGS.items() if not one.rare]
    rare = [name for name, one in SPOILINGS.items() if one.rare]
    ways = rare * max(1, n_observations // RARE_ONE_IN)
    ways += [often[i % len(often)] for i in range(max(len(often), n_observations // ONE_IN - len(ways)))]
    spoiled = dict(zip(rng.sample(range(1, n_observations + 1), len(ways)), ways, strict=True))
    for obs_id, way in spoiled.items():
        SPOILINGS[way].spoil(folder, obs_id, rng)
    return SpoiledStore(folder, config, n_observations, spoiled)


SKY = {
    "components": [
        {
            "name": "source",
            "type": "SkyModel",
            "spectral": {
                "type": "PowerLawSpectralModel",
                "parameters": [
                    {"name": "index", "value": 2.3},
                    {"name": "amplitude", "value": 3.5e-11, "unit": "cm-2 s-1 TeV-1"},
                    {"name": "reference", "value": 1.0, "unit": "TeV"},
                ],
            },
            "spatial": {
                "type": "PointSpatialModel",
                "frame": "icrs",
                "parameters": [
                    {"name": "lon_0", "value": RA, "unit": "deg"},
                    {"name": "lat_0", "value": DEC, "unit": "deg"},
                ],
            },
        }
    ]
}


def _configuration(store: Path, models: Path, n_observations: int, seed: int) -> dict[str, Any]:
    """Few events, so that a run is short; many small tiles, so that it is disturbed at many places."""
    return {
        "observations": {"datastore": str(store)},
        "simulation": {
            "pointings": {
                "pattern": "grid",
                "frame": "icrs",
                "lon": f"{RA} deg",
                "lat": f"{DEC} deg",
                "width": "2.8 deg",
                "height": "1.8 deg",
                "spacing": f"{SPACING} deg",
                "runs": n_observations,
            },
            "site": "hess",
            "start": "2012-10-01",
            "ontime": "5 min",
            "gap": "1 min",
            "sky": {"models": str(models)},
            "seed": seed,
        },
        "datasets": {
            "geom": {
                "wcs": {
                    "skydir": {"frame": "icrs", "lon": f"{RA} deg", "lat": f"{DEC} deg"},
                    "binsize": "0.1 deg",
                    "width": {"width": "6 deg", "height": "5 deg"},
                    "binsize_irf": "0.5 deg",
                },
                "tiles": {"chunk": 10, "chunks": 1},
                "axes": {
                    "energy": {"min": "0.5 TeV", "max": "20 TeV", "nbins": 4},
                    "energy_true": {"min": "0.2 TeV", "max": "40 TeV", "nbins": 6},
                },
            },
            "safe_mask": {"methods": ["offset-max"], "parameters": {"offset_max": "2 deg"}},
            "background": {
                "method": "fov_background",
                "parameters": {"method": "fit"},
                "exclusion": [{"frame": "icrs", "lon": f"{RA} deg", "lat": f"{DEC} deg", "radius": "0.4 deg"}],
            },
        },
        "excess_map": {"correlation_radius": "0.2 deg", "index": 2.3},
    }
