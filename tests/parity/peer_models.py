"""Writes a file with every model that the peer can serialise, and reads files: values on a grid, parameters, covariance.

``peer_models.py OUT write`` writes ``models.yaml`` (as little as the peer writes), ``full.yaml`` and ``linked.yaml`` into
OUT, and a dump beside each. ``peer_models.py OUT read FILE`` dumps what it finds in a file, and writes it again as
``again.yaml`` beside that; anything that it logs or warns of is in the dump.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path

import astropy.units as u
import gammapy.modeling.models as peer
import numpy as np
from astropy.table import Table
from astropy.time import Time
from gammapy.maps import Map, MapAxis
from gammapy.modeling.models import Models
from parity_models import ENERGY, LAT, LON, TIMES

HELD = ("Compound", "PiecewiseNorm", "Template", "EBLAbsorption", "Scale", "Naima", "LogParabola2", "Flux")
"""Models that are made by hand below; the last four the peer cannot read, or we cannot."""


def crooked(model):
    """Values, errors, limits and flags that are no defaults."""
    for number, par in enumerate(model.parameters):
        value = par.value * 1.0625 or 0.01
        if not (np.isnan(par.min) or value >= par.min) or not (np.isnan(par.max) or value <= par.max):
            value = par.value
        par.value = value
        par.error = abs(value) / 30
        if number % 2:
            par.min = min(value * 0.5, value * 2)
            par.frozen = not par.frozen
        if number % 3:
            par.max = max(value * 0.5, value * 2)
    return model


def classes(registry):
    """Those of a registry that parameters alone make."""
    return [cls for cls in registry if not any(word in cls.__name__ for word in HELD)]


def spectra(folder: Path):
    """Every spectrum that has the unit of a flux."""
    power_law = peer.PowerLawSpectralModel
    for cls in classes(peer.SPECTRAL_MODEL_REGISTRY):
        model = crooked(cls())
        yield cls.__name__, power_law() * model if "Norm" in cls.__name__ else model
    nodes = [0.05, 0.5, 5, 50] * u.TeV
    table = peer.TemplateSpectralModel(nodes.to("MeV"), [3e-16, 2e-17, 4e-19, 1e-20] * u.Unit("1 / (cm2 MeV s)"))
    yield "table", table * crooked(peer.PowerLawNormSpectralModel())
    piecewise = crooked(peer.PiecewiseNormSpectralModel(nodes, [1, 2, 0.5, 0.7]))
    yield "piecewise", power_law() * piecewise
    yield "piecewise-lin", power_law() * peer.PiecewiseNormSpectralModel(nodes, [1, 2, 0.5, 0.7], interp="lin")
    yield "sum", crooked(power_law()) + crooked(peer.LogParabolaSpectralModel(beta=0.2))
    ebl = Path(os.environ["SURVEY_DATA"]) / "ebl" / "ebl_dominguez11.fits.gz"
    yield "ebl-file", power_law() * peer.EBLAbsorptionNormSpectralModel.read(ebl, redshift=0.3, alpha_norm=1.2)
    values = np.array([[1, 0.9, 0.5, 0.1], [1, 0.7, 0.2, 0.01]])
    arrays = peer.EBLAbsorptionNormSpectralModel(nodes, [0.1, 0.5], values, redshift=0.3, alpha_norm=1.2)
    yield "ebl-arrays", power_law() * arrays


def image(folder: Path) -> Path:
    """A smooth image."""
    found = Map.create(npix=(40, 30), binsz=0.1, skydir=(0.5, 0.2), frame="galactic", unit="sr-1")
    coords = found.geom.get_coord()
    lon, lat = (coords.lon.to_value("deg") + 180) % 360 - 180, coords.lat.to_value("deg")
    found.data = np.exp(-0.5 * ((lon - 0.4) ** 2 + (lat - 0.1) ** 2) / 0.3**2) + 0.01
    path = folder / "image.fits"
    if not path.exists():
        found.write(path)
    return path


def counts(folder: Path) -> Path:
    """A map of predicted counts."""
    axis = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=3)
    found = Map.create(npix=(8, 6), binsz=0.1, skydir=(0.5, 0.2), frame="galactic", axes=[axis])
    found.data += 2.5
    path = folder / "counts.fits"
    if not path.exists():
        found.write(path)
    return path


def curves(folder: Path):
    """A light curve and a phase curve."""
    table = Table({"TIME": [-5.0, -1.0, 0.5, 2.0, 12.0] * u.d, "NORM": [0.1, 1.0, 3.0, 0.5, 0.2]})
    table.meta = {"MJDREFI": 59000, "MJDREFF": 0.5, "TIMEUNIT": "d", "TIMESYS": "utc"}
    path = folder / "curve.fits"
    table.write(path, overwrite=True)
    yield peer.LightCurveTemplateTemporalModel.read(path)
    path = Path(os.environ["SURVEY_DATA"]) / "tests" / "phasecurve_LSI_DC.fits"
    yield peer.TemplatePhaseCurveTemporalModel.read(
        path, t_ref=43366.275 * u.d, phi_ref=0.1, f0=1 / (26.7 * u.day), f1=0 / u.s**2, f2=0 / u.s**3
    )


def everything(folder: Path) -> Models:
    """A component for every model."""
    point = peer.PointSpatialModel
    models = [
        peer.SkyModel(spectral, point(lon_0="83.6 deg", lat_0="22 deg"), name=name)
        for name, spectral in spectra(folder)
    ]
    for cls in classes(peer.SPATIAL_MODEL_REGISTRY):
        frame = {} if "Constant" in cls.__name__ else {"frame": "galactic"}
        spatial = cls(**frame) if "Constant" in cls.__name__ else crooked(cls(**frame))
        models.append(peer.SkyModel(peer.PowerLawSpectralModel(), spatial, name=cls.__name__))
    for normalize in (True, False):
        spatial = peer.TemplateSpatialModel.read(image(folder), normalize=normalize)
        models.append(peer.SkyModel(peer.PowerLawSpectralModel(), spatial, name=f"image-{normalize}".lower()))
    cube = Path(os.environ["SURVEY_DATA"]) / "fermi-3fhl-gc" / "gll_iem_v06_gc.fits.gz"
    spatial = peer.TemplateSpatialModel.read(cube, normalize=False)
    models.append(peer.SkyModel(peer.PowerLawNormSpectralModel(), spatial, name="cube"))
    for cls in classes(peer.TEMPORAL_MODEL_REGISTRY):
        temporal = cls(scale="tt")
        if hasattr(temporal, "t_ref"):
            temporal.t_ref.value = 59000.5
        for name in ("sigma", "t0", "t_rise", "t_decay"):
            if hasattr(temporal, name):
                getattr(temporal, name).value = 1.7
        models.append(peer.SkyModel(peer.PowerLawSpectralModel(), temporal_model=temporal, name=cls.__name__))
    for temporal in curves(folder):
        models.append(
            peer.SkyModel(peer.PowerLawSpectralModel(), temporal_model=temporal, name=type(temporal).__name__)
        )
    with_priors = peer.PowerLawSpectralModel()
    with_priors.index.prior = peer.UniformPrior(min=1, max=4)
    with_priors.amplitude.prior = peer.GaussianPrior(mu=2e-12, sigma=1e-13)
    with_priors.reference.prior = peer.GeneralizedGaussianPrior(mu=1, sigma=2, eta=0.3)
    models.append(
        peer.SkyModel(
            with_priors,
            name="priors",
            datasets_names=["a", "b"],
            apply_irf={"exposure": True, "psf": False, "edisp": True},
        )
    )
    models.append(peer.FoVBackgroundModel("a", crooked(peer.PowerLawNormSpectralModel())))
    models.append(
        peer.TemplateNPredModel(
            Map.read(counts(folder)), name="counts", filename=str(counts(folder)), datasets_names=["a"]
        )
    )
    return Models(models)


def linked() -> Models:
    """Two components with one index, one position, and a product of two with one reference energy."""
    one = peer.SkyModel(crooked(peer.PowerLawSpectralModel()), peer.GaussianSpatialModel(sigma="0.2 deg"), name="one")
    two = peer.SkyModel(
        peer.LogParabolaSpectralModel() * peer.PowerLawNormSpectralModel(), peer.PointSpatialModel(), name="two"
    )
    two.spatial_model.lon_0 = one.spatial_model.lon_0
    two.spectral_model.model1.reference = one.spectral_model.reference
    three = peer.SkyModel(peer.PowerLawSpectralModel(), name="three")
    three.spectral_model.index = one.spectral_model.index
    return Models([one, two, three])


def values(model) -> dict[str, list]:
    """Values of the parts on the grid, in units of TeV, s, m, sr."""
    found = {}
    spectral = u.Quantity(model.spectral_model(ENERGY * u.TeV))
    found["spectral"] = (spectral.value if spectral.unit == "" else spectral.to_value("TeV-1 s-1 m-2")).tolist()
    spatial = getattr(model, "spatial_model", None)
    if spatial is not None and "point" not in spatial.tag:
        lon, lat = LON * u.deg, LAT * u.deg
        if spatial.is_energy_dependent:
            planes = [spatial(lon, lat, np.full(lon.shape, energy) * u.TeV) for energy in ENERGY[:2]]
            found["spatial"] = u.Quantity(planes).to_value("TeV-1 s-1 m-2 sr-1").tolist()
        else:
            found["spatial"] = (u.Quantity(spatial(lon, lat)).to_value("sr-1") * np.ones(lon.shape)).tolist()
    temporal = getattr(model, "temporal_model", None)
    if temporal is not None:
        times = Time(TIMES, format="mjd", scale="tt")
        found["temporal"] = u.Quantity(temporal(times)).to_value("").tolist()
    return found


def dump(models: Models, path: Path, complaints: list[str]) -> None:
    """All of it as JSON."""
    models.update_link_label()
    rows = []
    for name, par in zip(models.parameters_unique_names, models.parameters, strict=True):
        row = {key: getattr(par, key) for key in ("value", "error", "min", "max", "frozen")}
        prior = par.prior
        rows.append(
            {
                "name": name,
                **{key: bool(value) if key == "frozen" else float(value) for key, value in row.items()},
                "unit": par.unit.to_string("fits"),
                "link": par._link_label_io,
                "prior": None if prior is None else [prior.tag[0], {p.name: float(p.value) for p in prior.parameters}],
            }
        )
    content = {
        "names": models.names,
        "parameters": rows,
        "values": {model.name: values(model) for model in models},
        "covariance": models.covariance.data.tolist(),
        "settings": {
            model.name: [getattr(model, "apply_irf", None), getattr(model, "datasets_names", None)] for model in models
        },
        "complaints": complaints,
    }
    path.write_text(json.dumps(content))


def main() -> None:
    """Write, or read."""
    out, mode = Path(sys.argv[1]), sys.argv[2]
    out.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record) -> None:
            complaints.append(record.getMessage())

    if mode == "write":
        models = everything(out)
        size = len(models.parameters)
        rng = np.random.default_rng(1)
        errors = models.parameters.value * 0.1 + 1e-30
        root = rng.normal(size=(size, size)) / size**0.5
        models.covariance = root @ root.T * errors * errors[:, np.newaxis]
        models.write(out / "models.yaml", overwrite=True)
        dump(models, out / "models.json", [])
        models.write(out / "full.yaml", overwrite=True, full_output=True)
        dump(models, out / "full.json", [])
        models = linked()
        models.write(out / "linked.yaml", overwrite=True)
        dump(models, out / "linked.json", [])
        crab = peer.create_crab_spectral_model("meyer")(ENERGY * u.TeV)
        (out / "meyer.json").write_text(json.dumps(crab.to_value("TeV-1 s-1 m-2").tolist()))
        return
    path = Path(sys.argv[3])
    logging.getLogger().addHandler(Listener())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        models = Models.read(path)
    # its own checks of units divide by zero
    complaints += [str(warning.message) for warning in caught if warning.category is not RuntimeWarning]
    dump(models, out / "read.json", complaints)
    # it cannot write the name of a file in another folder, and looks for bare names in the working directory
    os.chdir(path.parent)
    models.write(path.with_name("again.yaml"), overwrite=True, full_output=True)


if __name__ == "__main__":
    main()
