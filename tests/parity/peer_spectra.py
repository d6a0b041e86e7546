"""Values, integrals, energy fluxes and errors of every spectrum by the peer, in units of TeV, s, m."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import gammapy.modeling.models as peer
import numpy as np
from astropy.table import Table
from gammapy.modeling.models import SpectralModel
from parity_spectra import (
    ABSORPTION,
    CRAB,
    EDGES,
    ENERGY,
    MODELS,
    NODES,
    NORM,
    NORMS,
    PEER_NAMES,
    TEMPLATE,
    TEMPLATE_WITH_ZERO,
    covariance,
)
from peer_common import data_folder, output_folder

SAMPLES = 4000
"""Parameter samples per parameter for the errors."""


def double_energy(path: Path) -> u.Quantity:
    """Nodes of an absorption table in double precision; the peer keeps them, and takes their logarithms, in single."""
    table = Table.read(path, hdu="ENERGIES")
    return np.sqrt(np.asarray(table["ENERG_LO"], dtype=float) * np.asarray(table["ENERG_HI"], dtype=float)) * u.keV


def spectra() -> dict[str, SpectralModel]:
    """Every spectrum by name."""
    found = {}
    for name, (cls, parameters) in MODELS.items():
        make = getattr(peer, PEER_NAMES.get(cls, f"{cls}SpectralModel"))
        found[name] = make(**{key: u.Quantity(value, unit) for key, (value, unit) in parameters.items()})
    for reference in CRAB:
        found[f"crab-{reference}"] = peer.create_crab_spectral_model(reference)
    nodes = NODES * u.TeV
    flux = u.Unit("TeV-1 s-1 m-2")
    found["piecewise-norm"] = peer.PiecewiseNormSpectralModel(nodes, NORMS)
    found["piecewise-norm-lin"] = peer.PiecewiseNormSpectralModel(nodes, NORMS, interp="lin")
    found["template"] = peer.TemplateSpectralModel(nodes, TEMPLATE * flux)
    found["template-with-zero"] = peer.TemplateSpectralModel(nodes, TEMPLATE_WITH_ZERO * flux)
    found["template-lin"] = peer.TemplateSpectralModel(nodes, TEMPLATE * flux, interp_kwargs={"values_scale": "lin"})
    found["scale"] = peer.ScaleSpectralModel(found["lp"].copy(), norm=NORM)
    found["sum"] = found["pl"].copy() + found["lp"].copy()
    found["difference"] = found["pl"].copy() - found["ecpl"].copy()
    found["product"] = found["pl"].copy() * found["lp-norm"].copy()
    for name, (file, redshift, norm) in ABSORPTION.items():
        path = data_folder() / "ebl" / file
        model = peer.EBLAbsorptionNormSpectralModel.read(path, redshift=redshift, alpha_norm=norm)
        found[f"ebl-{name}"] = model
        found[f"ebl-{name}-double"] = peer.EBLAbsorptionNormSpectralModel(
            energy=double_energy(path),
            param=np.asarray(model.param, dtype=float),
            data=np.asarray(model.data, dtype=float),
            redshift=redshift,
            alpha_norm=norm,
        )
    found["absorbed"] = found["pl"].copy() * found["ebl-dominguez"].copy()
    return found


def dump(model: SpectralModel) -> dict[str, np.ndarray]:
    """What is compared; no errors of a model without parameters."""
    energy, low, high = ENERGY * u.TeV, EDGES[:-1] * u.TeV, EDGES[1:] * u.TeV
    value = u.Quantity(model(energy))
    unit = u.Unit("TeV-1 s-1 m-2") if value.unit.physical_type != "dimensionless" else u.one

    result = {"value": value.to_value(unit)}
    result["integral"] = u.Quantity(model.integral(low, high)).to_value(unit * u.TeV)
    result["energy_flux"] = u.Quantity(model.energy_flux(low, high)).to_value(unit * u.TeV**2)
    if len(model.parameters) == 0:
        return result
    for parameter in model.parameters:
        # with a variance of 1e-26 beside one of 1e-4 the peer's sampling is left with round-off
        parameter.quantity = parameter.quantity.to(str(parameter.unit).replace("cm", "m"))
    model.covariance = covariance(model.parameters.value)
    few = energy[10:-10:8]
    error = model.evaluate_error(few, n_samples=SAMPLES)
    result["error"] = 0.5 * (error[1] + error[2]).to_value(unit)
    return result


def main() -> None:
    """Dump all."""
    folder = output_folder()
    arrays = {}
    for name, model in spectra().items():
        print(name, flush=True)
        arrays |= {f"{name}/{key}": array for key, array in dump(model).items()}
    np.savez(folder / "spectra.npz", **arrays)


if __name__ == "__main__":
    main()
