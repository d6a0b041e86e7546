"""Shapes, time dependences and priors of the peer: values, pixel integrals, integrals over intervals, files."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.maps import MapAxis, RegionNDMap, WcsGeom
from gammapy.modeling.models import LightCurveTemplateTemporalModel as LightCurve
from gammapy.modeling.models import (
    TemplatePhaseCurveTemporalModel,
    TemplateSpatialModel,
    spatial,
    temporal,
)
from gammapy.modeling.models import prior as priors
from peer_common import data_folder, output_folder

CENTER = (83.6287, 22.0147)
SHAPES = (
    ("PointSpatialModel", {}),
    ("GaussianSpatialModel", {"sigma": "0.2 deg"}),
    ("GaussianSpatialModel", {"sigma": "0.2 deg", "e": 0.7, "phi": "35 deg"}),
    ("GaussianSpatialModel", {"sigma": "0.01 deg"}),
    ("GeneralizedGaussianSpatialModel", {"r_0": "0.3 deg", "eta": 0.2}),
    ("GeneralizedGaussianSpatialModel", {"r_0": "0.2 deg", "eta": 0.5, "e": 0.6, "phi": "-50 deg"}),
    ("GeneralizedGaussianSpatialModel", {"r_0": "0.06 deg", "eta": 1.0}),
    ("DiskSpatialModel", {"r_0": "0.4 deg"}),
    ("DiskSpatialModel", {"r_0": "0.4 deg", "e": 0.7, "phi": "10 deg", "edge_width": 0.2}),
    ("DiskSpatialModel", {"r_0": "0.03 deg"}),
    ("ShellSpatialModel", {"radius": "0.3 deg", "width": "0.1 deg"}),
    ("ShellSpatialModel", {"radius": "0.4 deg", "width": "0.005 deg"}),
    ("Shell2SpatialModel", {"r_0": "0.5 deg", "eta": 0.3}),
    ("ConstantSpatialModel", {"value": "2 sr-1"}),
)
TIMES = (
    ("ConstantTemporalModel", {}),
    ("LinearTemporalModel", {"alpha": 1.2, "beta": "0.3 d-1", "t_ref": "55000 d"}),
    ("ExpDecayTemporalModel", {"t0": "2.5 d", "t_ref": "55000 d"}),
    ("GaussianTemporalModel", {"t_ref": "55002 d", "sigma": "1.3 d"}),
    ("GeneralizedGaussianTemporalModel", {"t_ref": "55002 d", "t_rise": "1.1 d", "t_decay": "2.1 d", "eta": 0.7}),
    ("PowerLawTemporalModel", {"alpha": -0.8, "t_ref": "54999.5 d", "t0": "2 d"}),
    ("PowerLawTemporalModel", {"alpha": -1.0, "t_ref": "54999.5 d", "t0": "2 d"}),
    ("SineTemporalModel", {"amp": 0.7, "omega": "3 rad / d", "t_ref": "55000 d"}),
)
PRIORS = (
    ("GaussianPrior", {"mu": 2.0, "sigma": 0.3}),
    ("UniformPrior", {"min": 1.0, "max": 4.0}),
    ("LogUniformPrior", {"min": 0.5, "max": 20.0}),
    ("GeneralizedGaussianPrior", {"mu": 2.0, "sigma": 0.3, "eta": 0.7}),
)
START, STOP = np.array([55000.1, 55001.0, 55003.2]), np.array([55000.6, 55003.0, 55004.5])
SCALES = ("tt", "utc")


def main() -> None:
    """Dump everything."""
    folder = output_folder()
    dump = {}
    rng = np.random.default_rng(8)
    center = SkyCoord(*CENTER, unit="deg")
    near = center.directional_offset_by(rng.uniform(0, 360, 400) * u.deg, 0.8 * np.sqrt(rng.random(400)) * u.deg)
    dump |= {"lon": near.ra.deg, "lat": near.dec.deg}
    geom = WcsGeom.create(skydir=center, frame="icrs", proj="TAN", binsz=0.02, width=3.0)
    for number, (name, values) in enumerate(SHAPES):
        cls = getattr(spatial, name)
        place = {} if name.startswith("Constant") else {"lon_0": "83.6361 deg", "lat_0": "22.0238 deg"}
        model = cls(**values, **place)
        if not name.startswith(("Point", "Constant")):
            dump[f"value{number}"] = model(near.ra, near.dec).to_value("sr-1")
            dump[f"fine{number}"] = model.integrate_geom(geom, oversampling_factor=20).quantity.to_value("")
        dump[f"pixels{number}"] = model.integrate_geom(geom).quantity.to_value("")
    grid = np.linspace(55000.05, 55004.6, 50)
    dump["mjd"] = grid
    for scale in SCALES:
        start, stop = (Time(Time(edge, format="mjd", scale="tt"), scale=scale) for edge in (START, STOP))
        for number, (name, values) in enumerate(TIMES):
            model = getattr(temporal, name)(**values, scale=scale)
            dump[f"time{number}{scale}"] = u.Quantity(model(Time(grid, format="mjd", scale="tt"))).to_value("")
            dump[f"integral{number}{scale}"] = u.Quantity(model.integral(start, stop)).to_value("")
    for number, (name, values) in enumerate(PRIORS):
        model = getattr(priors, name)(**values)
        dump[f"prior{number}"] = np.array([model(u.Quantity(x)) for x in (1.1, 1.9, 2.2, 3.7)])
    templates(folder, dump)
    curves(folder, dump, grid)
    lists = {"shapes": SHAPES, "times": TIMES, "priors": PRIORS}
    np.savez(folder / "shapes.npz", start=START, stop=STOP, **{k: np.array(repr(v)) for k, v in lists.items()}, **dump)


def templates(folder, dump: dict) -> None:
    """A Fermi cube, and an image of our own."""
    path = data_folder() / "fermi-3fhl-gc" / "gll_iem_v06_gc.fits.gz"
    rng = np.random.default_rng(9)
    sky = SkyCoord(rng.uniform(-7, 7, 300), rng.uniform(-3.6, 3.6, 300), unit="deg", frame="galactic")
    energy = 10 ** rng.uniform(-2, -0.5, 300) * u.TeV
    dump |= {"cube_lon": sky.l.deg, "cube_lat": sky.b.deg, "cube_energy": energy.value}
    for normalize in (False, True):
        model = TemplateSpatialModel.read(path, normalize=normalize)
        unit = "sr-1" if normalize else "TeV-1 s-1 m-2 sr-1"
        dump[f"cube{int(normalize)}"] = model(sky.l, sky.b, energy=energy).to_value(unit)
    geom = WcsGeom.create(skydir=SkyCoord(*CENTER, unit="deg"), frame="icrs", proj="TAN", binsz=0.05, width=2.0)
    image = spatial.GaussianSpatialModel(lon_0="83.6 deg", lat_0="22 deg", sigma="0.3 deg").integrate_geom(geom)
    image.write(folder / "image.fits", overwrite=True)
    model = TemplateSpatialModel.read(folder / "image.fits")
    other = WcsGeom.create(skydir=SkyCoord(*CENTER, unit="deg"), frame="icrs", proj="TAN", binsz=0.02, width=3.0)
    dump["image_pixels"] = model.integrate_geom(other).quantity.to_value("")
    model.lon_0.value += 0.1
    dump["image_moved"] = model.integrate_geom(other).quantity.to_value("")


def curves(folder, dump: dict, grid: np.ndarray) -> None:
    """Light curves as a table and as a map, and a phase curve."""
    times = Time(grid, format="mjd", scale="tt")
    axis = MapAxis.from_nodes([0, 1, 1.5, 4.0], name="time", unit="d")
    energies = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=3)
    reference = Time(55000.2, format="mjd", scale="tt")
    curve = LightCurve(RegionNDMap.create(None, axes=[axis], data=np.array([1, 0.2, 2, 0.5])), t_ref=reference)
    curve.write(folder / "curve.fits", overwrite=True)
    curve = LightCurve.read(folder / "curve.fits")
    dump["curve"] = u.Quantity(curve(times)).to_value("")
    norm = 1 + np.arange(12.0).reshape(4, 3) % 5
    curve = LightCurve(RegionNDMap.create(None, axes=[energies, axis], data=norm), t_ref=reference)
    curve.write(folder / "map.fits", format="map", overwrite=True)
    curve = LightCurve.read(folder / "map.fits", format="map")
    dump["map_energy"] = np.array([0.2, 1.0, 6.0])
    dump["map"] = np.squeeze(u.Quantity(curve(times, energy=dump["map_energy"] * u.TeV)).to_value("")).reshape(3, -1)
    path = data_folder() / "tests" / "phasecurve_LSI_DC.fits"
    phase = TemplatePhaseCurveTemporalModel.read(path, t_ref=43366.275 * u.d, f0=1 / (2.3 * u.d), phi_ref=0.1)
    dump["phase"] = u.Quantity(phase(times)).to_value("")
    start, stop = Time(START, format="mjd", scale="tt").utc, Time(STOP, format="mjd", scale="tt").utc
    dump["phase_integral"] = np.array(
        [u.Quantity(phase.integral(a, b)).to_value("") for a, b in zip(start, stop, strict=True)]
    )


if __name__ == "__main__":
    main()
