"""What is tortured: a store of small synthetic observations, some of them spoiled, and the configuration that maps it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from astropy.io import fits

from survey.events.synthetic import SyntheticSource, make_store

RA, DEC = 83.63, -22.01
LIVETIME = 300.0  # s


def _cut_off(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(2880, len(content) - 2880)])


def _not_finite(path: Path, rng: random.Random) -> None:
    with fits.open(path, memmap=False) as hdus:
        area = hdus["AEFF"].data["EFFAREA"]
        area[0, rng.randrange(area.shape[1])] = np.nan
        hdus.writeto(path, overwrite=True)


def _garbage(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(20_000))


def _missing(path: Path, rng: random.Random) -> None:
    path.unlink()


SPOIL: dict[str, Callable[[Path, random.Random], None]] = {
    "truncated": _cut_off,
    "with NaN in a response": _not_finite,
    "of random bytes": _garbage,
    "missing": _missing,
}
"""Ways to spoil the file of an observation."""


@dataclass(frozen=True)
class SpoiledStore:
    """A data store and the configuration that runs it.

    Parameters
    ----------
    folder : Path
        The data store.
    config : Path
        The configuration; ``general.outdir`` is to be set.
    n_observations : int
        Observations in its index.
    spoiled : dict of int to str
        How observations are spoiled, by their id.
    """

    folder: Path
    config: Path
    n_observations: int
    spoiled: dict[int, str]

    def kinds(self) -> Counter[str]:
        """Number of spoiled observations by kind."""
        return Counter(self.spoiled.values())

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds().items())
        return f"{self.n_observations} observations, {len(self.spoiled)} of them spoiled ({kinds})"


def make_spoiled_store(folder: Path, n_observations: int, seed: int) -> SpoiledStore:
    """Write a store in which about one observation in eight is spoiled, in every way at least once.

    Parameters
    ----------
    folder : Path
        To make; the configuration goes beside it.
    n_observations : int
        At least eight.
    seed : int
        Of the events, and of what is spoiled.
    """
    rng = random.Random(seed)
    source = SyntheticSource(ra=RA, dec=DEC, amplitude=3.5e-7, index=2.3)
    make_store(folder, n_observations=n_observations, ra=RA, dec=DEC, sources=[source], livetime=LIVETIME, seed=seed)
    kinds = list(SPOIL)
    victims = rng.sample(range(1, n_observations + 1), max(len(kinds), n_observations // 8))
    spoiled = {obs_id: kinds[number % len(kinds)] for number, obs_id in enumerate(victims)}
    for obs_id, kind in spoiled.items():
        (path,) = folder.rglob(f"obs_{obs_id:06d}.fits*")
        SPOIL[kind](path, rng)
    config = folder.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(_configuration(folder)))
    return SpoiledStore(folder, config, n_observations, spoiled)


def _configuration(store: Path) -> dict:
    """Many small tiles, so that runs are disturbed at many places."""
    return {
        "observations": {"datastore": str(store)},
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
        "cluster": {"kind": "local", "workers": 2},
    }
