"""One spectrum or more of every class, with values at which nothing is special."""

import numpy as np

from survey.models import (
    AbsorptionTable,
    BrokenPowerLaw,
    ConstantSpectrum,
    EBLAbsorptionNorm,
    ExpCutoffPowerLaw,
    ExpCutoffPowerLaw3FGL,
    ExpCutoffPowerLawNorm,
    GaussianSpectrum,
    LogParabola,
    LogParabolaNorm,
    MeyerCrab,
    PiecewiseNorm,
    PowerLaw,
    PowerLaw2,
    PowerLawNorm,
    Scale,
    SmoothBrokenPowerLaw,
    SuperExpCutoffPowerLaw3FGL,
    SuperExpCutoffPowerLaw4FGL,
    SuperExpCutoffPowerLaw4FGLDR3,
    TemplateSpectrum,
)


def absorption_table() -> AbsorptionTable:
    """An optical depth that grows with energy and redshift."""
    energy, redshift = np.geomspace(0.01, 200.0, 23), np.array([0.01, 0.1, 0.3, 0.7])
    return AbsorptionTable(energy, redshift, np.exp(-(redshift[:, None] ** 1.2) * (energy / 0.6) ** 0.8))


SPECTRA = {
    "PowerLaw": PowerLaw(index=2.3, amplitude=3e-8, reference=1.4),
    "PowerLawNorm": PowerLawNorm(tilt=0.2, norm=1.3, reference=1.4),
    "PowerLaw2": PowerLaw2(index=2.3, amplitude=3e-8, emin=0.4, emax=20),
    "BrokenPowerLaw": BrokenPowerLaw(index1=1.6, index2=2.9, amplitude=3e-8, ebreak=2.3),
    "SmoothBrokenPowerLaw": SmoothBrokenPowerLaw(index1=1.6, index2=2.9, amplitude=3e-8, ebreak=2.3, beta=0.7),
    "SmoothBrokenPowerLaw, hardening": SmoothBrokenPowerLaw(index1=2.9, index2=1.6, reference=1.4, beta=0.7),
    "SmoothBrokenPowerLaw, sharp": SmoothBrokenPowerLaw(index1=1.6, index2=2.9, ebreak=2.3, beta=0.02),
    "ExpCutoffPowerLaw": ExpCutoffPowerLaw(index=1.7, amplitude=3e-8, reference=1.4, lambda_=0.11, alpha=1.2),
    "ExpCutoffPowerLawNorm": ExpCutoffPowerLawNorm(index=0.3, norm=0.7, reference=1.4, lambda_=0.11, alpha=0.8),
    "ExpCutoffPowerLaw3FGL": ExpCutoffPowerLaw3FGL(index=1.7, amplitude=3e-8, reference=1.4, ecut=8),
    "SuperExpCutoffPowerLaw3FGL": SuperExpCutoffPowerLaw3FGL(reference=1.4, ecut=9, index_1=1.7, index_2=1.3),
    "SuperExpCutoffPowerLaw4FGL": SuperExpCutoffPowerLaw4FGL(reference=1.4, expfactor=1e-8, index_1=1.7, index_2=1.1),
    "SuperExpCutoffPowerLaw4FGLDR3": SuperExpCutoffPowerLaw4FGLDR3(
        reference=1.4, expfactor=0.4, index_1=1.7, index_2=0.6
    ),
    "LogParabola": LogParabola(amplitude=3e-8, reference=1.4, alpha=2.1, beta=0.2),
    "LogParabolaNorm": LogParabolaNorm(norm=0.9, reference=1.4, alpha=0.1, beta=-0.1),
    "ConstantSpectrum": ConstantSpectrum(const=4e-9),
    "GaussianSpectrum": GaussianSpectrum(amplitude=3e-8, mean=1.7, sigma=0.9),
    "PiecewiseNorm": PiecewiseNorm([0.1, 0.9, 7.0, 80.0], [1.3, 0.7, 1.1, 2.0]),
    "PiecewiseNorm, lin": PiecewiseNorm([0.1, 0.9, 7.0, 80.0], [1.3, 0.7, 1.1, 2.0], interp="lin"),
    "TemplateSpectrum": TemplateSpectrum([0.3, 1.0, 4.0, 30.0], [5e-8, 1e-8, 8e-10, 3e-12]),
    "TemplateSpectrum, lin": TemplateSpectrum([0.1, 1.0, 4.0, 90.0], [0.9, 0.7, 0.4, 0.1], unit="", values_scale="lin"),
    "Scale": Scale(LogParabola(amplitude=3e-8, reference=1.4, alpha=2.1, beta=0.2), norm=1.7),
    "EBLAbsorptionNorm": EBLAbsorptionNorm(absorption_table(), redshift=0.17, alpha_norm=1.1),
    "MeyerCrab": MeyerCrab(norm=1.1),
}
SPECTRA |= {
    "sum": SPECTRA["PowerLaw"] + SPECTRA["LogParabola"],
    "difference": SPECTRA["PowerLaw"] - SPECTRA["ConstantSpectrum"],
    "product": SPECTRA["ExpCutoffPowerLaw"] * SPECTRA["EBLAbsorptionNorm"],
    "product of three": SPECTRA["BrokenPowerLaw"] * SPECTRA["PiecewiseNorm"] * SPECTRA["PowerLawNorm"],
}
