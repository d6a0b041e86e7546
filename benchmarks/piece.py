"""Pieces of the survey of `configs/galactic-survey.yaml`: as many observations as asked for, as dense as there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "galactic-survey.yaml"
RUNS, CENTER, LENGTH = 6000, 337.5, 175.0
"""Observations of the whole survey, the middle of its longitudes and their range, deg."""


def piece(n: int, data: Path, out: Path, *, workers: int) -> dict[str, Any]:
    """Configuration of a piece of longitude that holds `n` observations, with everything else as in the survey.

    Parameters
    ----------
    n : int
        Observations.
    data, out : pathlib.Path
        Where they are simulated to, and where the products go.
    workers : int
        Processes on this machine.
    """
    import yaml

    config = yaml.safe_load(CONFIG.read_text())
    length = LENGTH * n / RUNS
    ends = [f"{(CENTER + part * length) % 360.0:.6f} deg" for part in (-0.5, 0.5)]
    config["simulation"]["pointings"] |= {"runs": n, "lon_range": ends}
    # whole response cells, so that no pixel is left over
    cells = max(1, round(length / 0.2))
    config["datasets"]["geom"]["wcs"]["width"] = {"width": f"{0.2 * cells:.1f} deg", "height": "7 deg"}
    config["general"]["outdir"] = str(out)
    config["observations"] = {"datastore": str(data)}
    config["cluster"] = {"kind": "local", "workers": workers}
    return config
