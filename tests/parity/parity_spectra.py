"""Spectra that both programs evaluate: class names, values in units that both know, energies. NumPy alone."""

from __future__ import annotations

import numpy as np

ENERGY = np.geomspace(0.03, 120.0, 61)
"""TeV."""

EDGES = np.geomspace(0.1, 100.0, 13)
"""TeV."""

FLUX = "TeV-1 s-1 m-2"
MODELS = {
    "pl": ("PowerLaw", {"index": (2.3, ""), "amplitude": (3e-8, FLUX), "reference": (1.4, "TeV")}),
    "pl-index-1": ("PowerLaw", {"index": (1.0, ""), "amplitude": (3e-8, FLUX), "reference": (1.4, "TeV")}),
    "pl-norm": ("PowerLawNorm", {"tilt": (0.2, ""), "norm": (1.3, ""), "reference": (1.4, "TeV")}),
    "pl-2": (
        "PowerLaw2",
        {"amplitude": (3e-8, "s-1 m-2"), "index": (2.3, ""), "emin": (0.4, "TeV"), "emax": (20.0, "TeV")},
    ),
    "bpl": (
        "BrokenPowerLaw",
        {"index1": (1.6, ""), "index2": (2.9, ""), "amplitude": (3e-8, FLUX), "ebreak": (2.3, "TeV")},
    ),
    "sbpl": (
        "SmoothBrokenPowerLaw",
        {
            "index1": (1.6, ""),
            "index2": (2.9, ""),
            "amplitude": (3e-8, FLUX),
            "ebreak": (2.3, "TeV"),
            "reference": (1.4, "TeV"),
            "beta": (0.7, ""),
        },
    ),
    "sbpl-hardening": (
        "SmoothBrokenPowerLaw",
        {
            "index1": (2.9, ""),
            "index2": (1.6, ""),
            "amplitude": (3e-8, FLUX),
            "ebreak": (2.3, "TeV"),
            "reference": (1.4, "TeV"),
            "beta": (0.2, ""),
        },
    ),
    "ecpl": (
        "ExpCutoffPowerLaw",
        {
            "index": (1.7, ""),
            "amplitude": (3e-8, FLUX),
            "reference": (1.4, "TeV"),
            "lambda_": (0.11, "TeV-1"),
            "alpha": (1.2, ""),
        },
    ),
    "ecpl-norm": (
        "ExpCutoffPowerLawNorm",
        {
            "index": (0.3, ""),
            "norm": (0.7, ""),
            "reference": (1.4, "TeV"),
            "lambda_": (0.11, "TeV-1"),
            "alpha": (0.8, ""),
        },
    ),
    "ecpl-3fgl": (
        "ExpCutoffPowerLaw3FGL",
        {"index": (1.7, ""), "amplitude": (3e-8, FLUX), "reference": (1.4, "TeV"), "ecut": (8.0, "TeV")},
    ),
    "secpl-3fgl": (
        "SuperExpCutoffPowerLaw3FGL",
        {
            "amplitude": (3e-8, FLUX),
            "reference": (1.4, "TeV"),
            "ecut": (9.0, "TeV"),
            "index_1": (1.7, ""),
            "index_2": (1.3, ""),
        },
    ),
    "secpl-4fgl": (
        "SuperExpCutoffPowerLaw4FGL",
        {
            "amplitude": (3e-8, FLUX),
            "reference": (1.4, "TeV"),
            "expfactor": (1e-8, ""),
            "index_1": (1.7, ""),
            "index_2": (1.1, ""),
        },
    ),
    "secpl-4fgl-dr3": (
        "SuperExpCutoffPowerLaw4FGLDR3",
        {
            "amplitude": (3e-8, FLUX),
            "reference": (1.4, "TeV"),
            "expfactor": (0.4, ""),
            "index_1": (1.7, ""),
            "index_2": (0.6, ""),
        },
    ),
    "lp": (
        "LogParabola",
        {"amplitude": (3e-8, FLUX), "reference": (1.4, "TeV"), "alpha": (2.1, ""), "beta": (0.2, "")},
    ),
    "lp-norm": (
        "LogParabolaNorm",
        {"norm": (0.9, ""), "reference": (1.4, "TeV"), "alpha": (0.1, ""), "beta": (-0.1, "")},
    ),
    "const": ("ConstantSpectrum", {"const": (4e-9, FLUX)}),
    "gauss": ("GaussianSpectrum", {"amplitude": (3e-8, "s-1 m-2"), "mean": (1.7, "TeV"), "sigma": (0.9, "TeV")}),
}
"""Our class and the parameters, by a name; Gammapy's class follows from ours."""

PEER_NAMES = {"ConstantSpectrum": "ConstantSpectralModel", "GaussianSpectrum": "GaussianSpectralModel"}
"""Gammapy's classes that are not ours with ``SpectralModel`` behind."""

CRAB = ("meyer", "hegra", "hess_pl", "hess_ecpl", "magic_lp", "magic_ecpl")

NODES = np.array([0.2, 0.9, 7.0, 60.0])
NORMS = np.array([1.3, 0.7, 1.1, 2.0])
TEMPLATE = np.array([5e-8, 1e-8, 8e-11, 3e-13])
TEMPLATE_WITH_ZERO = np.array([5e-8, 1e-8, 8e-11, 0.0])
NORM = 1.7
"""Of the scaled spectrum."""

ABSORPTION = {
    "franceschini": ("ebl_franceschini.fits.gz", 0.1165, 1.0),
    "dominguez": ("ebl_dominguez11.fits.gz", 0.5, 1.2),
    "finke": ("frd_abs.fits.gz", 0.031, 1.0),
    "franceschini17": ("ebl_franceschini_2017.fits.gz", 1.234, 0.8),
    "saldana-lopez21": ("ebl_saldana-lopez_2021.fits.gz", 0.204, 1.0),
}
"""File, redshift, norm."""


def correlated(size: int) -> np.ndarray:
    """Correlation matrix of parameters, shape (size, size)."""
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    return (-0.4) ** distance


def covariance(values: np.ndarray) -> np.ndarray:
    """A covariance of parameters with errors of half a per cent, shape (n, n)."""
    errors = 0.005 * np.abs(values)
    return correlated(values.size) * np.outer(errors, errors)
