"""Sources of the H.E.S.S. survey catalogue by the peer: fluxes, shapes, errors, and the large-scale emission."""

from __future__ import annotations

import json

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.catalog import SourceCatalogHGPS
from peer_common import data_folder, output_folder
from scipy.integrate import quad


def integral(spectrum) -> float:
    """Flux from 1 to 100 TeV, m-2 s-1, by quadrature: the peer's own sum of power laws is good to 1e-5 only."""

    def per_log(log_energy: float) -> float:
        energy = np.exp(log_energy)
        return float(energy * spectrum(energy * u.TeV).to_value("TeV-1 m-2 s-1"))

    return quad(per_log, 0.0, np.log(100.0), epsabs=0, epsrel=1e-10)[0]


def main() -> None:
    """Dump all models by name."""
    folder = output_folder()
    catalogue = SourceCatalogHGPS(data_folder() / "catalogs" / "hgps_catalog_v1.fits.gz")
    found = {}
    for model in catalogue.to_models():
        flux = integral(model.spectral_model)
        index, amplitude = (model.spectral_model.parameters[name] for name in ("index", "amplitude"))
        found[model.name] = {
            "spectral": model.spectral_model.tag[1],
            "flux": flux,
            "index_error": float(index.error),
            "amplitude_error": float((amplitude.error * amplitude.unit).to_value("TeV-1 m-2 s-1")),
            "spatial": model.spatial_model.tag[1],
            "values": {item.name: float(item.value) for item in model.spatial_model.parameters},
            "errors": {item.name: float(item.error) for item in model.spatial_model.parameters},
        }
    lon, lat = np.meshgrid(np.arange(-88.0, 54.0, 3.7), np.linspace(-0.6, 0.6, 7))
    places = SkyCoord(lon.ravel(), lat.ravel(), unit="deg", frame="galactic")
    brightness = catalogue.large_scale_component.evaluate(places).to_value("m-2 s-1 sr-1")
    (folder / "sources.json").write_text(json.dumps({"n_sources": len(catalogue.table), "models": found}))
    np.savez(folder / "large_scale.npz", lon=lon.ravel(), lat=lat.ravel(), brightness=brightness)


if __name__ == "__main__":
    main()
