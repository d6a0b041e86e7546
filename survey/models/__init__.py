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
from survey.models.sky_template import SkyTemplate
from survey.models.spatial import ConstantSpatial, Point, SpatialModel
from survey.models.spatial_disk import Disk, Shell, Shell2
from survey.models.spatial_gauss import Gaussian, GeneralizedGaussian
from survey.models.spatial_template import TemplateSpatial
from survey.models.spectral import CompoundSpectrum, SpectralModel
from survey.models.tabulated_spectra import PiecewiseNorm, TemplateSpectrum
from survey.models.temporal import ConstantTime, ExpDecayTime, LinearTime, PowerLawTime, SineTime, TemporalModel
from survey.models.temporal_phase import TemplatePhaseCurve
from survey.models.temporal_pulse import GaussianTime, GeneralizedGaussianTime
from survey.models.temporal_template import LightCurveTemplate

__all__ = [
    "EBL_FILES",
    "AbsorptionTable",
    "BrokenPowerLaw",
    "Component",
    "CompoundSpectrum",
    "ConstantSpatial",
    "ConstantSpectrum",
    "ConstantTime",
    "Disk",
    "EBLAbsorptionNorm",
    "ExpCutoffPowerLaw",
    "ExpCutoffPowerLaw3FGL",
    "ExpCutoffPowerLawNorm",
    "ExpDecayTime",
    "FoVBackgroundModel",
    "Gaussian",
    "GaussianPrior",
    "GaussianSpectrum",
    "GaussianTime",
    "GeneralizedGaussian",
    "GeneralizedGaussianPrior",
    "GeneralizedGaussianTime",
    "LightCurveTemplate",
    "LinearTime",
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
    "PowerLawTime",
    "Prior",
    "Scale",
    "Shell",
    "Shell2",
    "SineTime",
    "SkyModel",
    "SkyTemplate",
    "SmoothBrokenPowerLaw",
    "SpatialModel",
    "SpectralModel",
    "SuperExpCutoffPowerLaw3FGL",
    "SuperExpCutoffPowerLaw4FGL",
    "SuperExpCutoffPowerLaw4FGLDR3",
    "TemplateNPredModel",
    "TemplatePhaseCurve",
    "TemplateSpatial",
    "TemplateSpectrum",
    "TemporalModel",
    "UniformPrior",
    "crab_spectrum",
    "read_models",
]
