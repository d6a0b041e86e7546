"""Pixel grids of the peer: sizes, the pixel of random positions, solid angles, and edges of energy axes."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.maps import MapAxis, WcsGeom
from peer_common import output_folder

AXES = ((0.1, 100.0, 24), (0.5, 100.0, 17), (0.03, 120.0, 30), (1.0, 10.0, 5))
GRIDS = (
    ("CAR", "icrs", 83.6287, 22.0147, 8.0, 8.0, 0.02),
    ("CAR", "galactic", 320.33, -1.19, 6.0, 5.0, 0.05),
    ("TAN", "icrs", 228.32, -59.08, 8.0, 8.0, 0.02),
    ("TAN", "galactic", 184.56, -5.78, 10.0, 6.0, 0.05),
    ("TAN", "icrs", 10.0, 90.0, 8.0, 8.0, 0.1),
    ("CAR", "galactic", 0.0, 0.0, 360.0, 180.0, 0.5),
    ("CAR", "galactic", 359.0, 0.0, 360.0, 10.0, 0.1),
    ("CAR", "icrs", 10.0, 0.0, 360.0, 180.0, 0.7),
    ("CAR", "icrs", 300.0, -60.0, 360.0, 180.0, 1.0),
    ("AIT", "galactic", 0.0, 0.0, 360.0, 180.0, 0.5),
    ("AIT", "icrs", 83.0, 22.0, 360.0, 180.0, 0.7),
    ("MOL", "galactic", 0.0, 0.0, 360.0, 180.0, 0.5),
    ("MOL", "icrs", 120.0, -45.0, 60.0, 40.0, 0.2),
)


def positions(grid: tuple) -> SkyCoord:
    """Random positions: over the whole sky for a wide grid, on and around it for another."""
    _, frame, lon, lat, width_x, width_y, _ = grid
    rng = np.random.default_rng(7)
    if width_x > 100:
        sine = rng.uniform(-1, 1, 100_000)
        return SkyCoord(rng.uniform(0, 360, sine.size), np.degrees(np.arcsin(sine)), unit="deg")
    center = SkyCoord(lon, lat, unit="deg", frame=frame)
    angle, away = rng.uniform(0, 360, 100_000), 0.75 * max(width_x, width_y) * np.sqrt(rng.uniform(0, 1, 100_000))
    return center.directional_offset_by(angle * u.deg, away * u.deg).icrs


def main() -> None:
    """Dump what each grid gives."""
    folder = output_folder()
    dump = {}
    for number, grid in enumerate(GRIDS):
        proj, frame, lon, lat, width_x, width_y, binsize = grid
        center = SkyCoord(lon, lat, unit="deg", frame=frame)
        geom = WcsGeom.create(skydir=center, binsz=binsize, width=(width_x, width_y), proj=proj, frame=frame)
        sky = positions(grid)
        x, y = geom.coord_to_idx(sky)
        dump |= {f"{number}_shape": np.array(geom.data_shape), f"{number}_y": y, f"{number}_x": x}
        dump |= {f"{number}_ra": sky.ra.deg, f"{number}_dec": sky.dec.deg}
        dump[f"{number}_solid_angle"] = geom.solid_angle().to_value("sr").reshape(geom.data_shape)
    for number, (low, high, nbin) in enumerate(AXES):
        dump[f"axis{number}"] = MapAxis.from_bounds(low, high, nbin, interp="log", unit="TeV").edges.value
    np.savez(folder / "grid.npz", grids=np.array(repr(GRIDS)), axes=np.array(repr(AXES)), **dump)


if __name__ == "__main__":
    main()
