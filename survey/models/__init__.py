"""Models: spectra, shapes, time dependences, the components that they make up, and their files."""

from survey.models.absorption import EBL_FILES, AbsorptionTable, EBLAbsorptionNorm
from survey.models.collection import Models, read_models
from survey.models.components import Component, FoVBackgroundModel, SkyModel, TemplateNPredModel
from survey.models.constant_spectrum import ConstantSpectrum, Scale
from survey.models.crab import MeyerCrab, crab_spectrum
from survey.models.cutoff_power_laws import (
    ExpCutoffPowerLaw,
    ExpCutoffPowerLaw3FGL,
    ExpCutoffPowerLawNorm,
    SuperExpCutoffPowerLaw3FGL,
    SuperExpCutoffPowerLaw4FGL,
    SuperExpCutoffPowerLaw4FGLDR3,
)
from survey.models.gaussian_spectrum import GaussianSpectrum
from survey.models.log_parabolas import LogParabola, LogParabolaNorm
from survey.models.models_error import ModelsError
from survey.models.parameters import Parameter, Parameters, ParameterVector
from survey.models.power_laws import BrokenPowerLaw, PowerLaw, PowerLaw2, PowerLawNorm, SmoothBrokenPowerLaw
from survey.models.prior import GaussianPrior, GeneralizedGaussianPrior, LogUniformPrior, Prior, UniformPrior
from survey.models.spatial import ConstantSpatial, Point, SpatialModel
from survey.models.spatial_disk import Disk, Shell, Shell2
from survey.models.spatial_gauss import Gaussian, GeneralizedGaussian
from survey.models.spectral import CompoundSpectrum, SpectralModel
from survey.models.tabulated_spectra import PiecewiseNorm, TemplateSpectrum

__all__ = [
    "EBL_FILES",
    "AbsorptionTable",
    "BrokenPowerLaw",
    "Component",
    "CompoundSpectrum",
    "ConstantSpatial",
    "ConstantSpectrum",
    "Disk",
    "EBLAbsorptionNorm",
    "ExpCutoffPowerLaw",
    "ExpCutoffPowerLaw3FGL",
    "ExpCutoffPowerLawNorm",
    "FoVBackgroundModel",
    "Gaussian",
    "GaussianPrior",
    "GaussianSpectrum",
    "GeneralizedGaussian",
    "GeneralizedGaussianPrior",
    "LogParabola",
    "LogParabolaNorm",
    "LogUniformPrior",
    "MeyerCrab",
    "Models",
    "ModelsError",
    "Parameter",
    "ParameterVector",
    "Parameters",
    "PiecewiseNorm",
    "Point",
    "PowerLaw",
    "PowerLaw2",
    "PowerLawNorm",
    "Prior",
    "Scale",
    "Shell",
    "Shell2",
    "SkyModel",
    "SmoothBrokenPowerLaw",
    "SpatialModel",
    "SpectralModel",
    "SuperExpCutoffPowerLaw3FGL",
    "SuperExpCutoffPowerLaw4FGL",
    "SuperExpCutoffPowerLaw4FGLDR3",
    "TemplateNPredModel",
    "TemplateSpectrum",
    "UniformPrior",
    "crab_spectrum",
    "read_models",
]
