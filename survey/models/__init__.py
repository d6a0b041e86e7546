"""Models: spectra, shapes, and their parameters."""

from survey.models.parameters import Parameter, Parameters, ParameterVector
from survey.models.spatial import Disk, Gaussian, Point, SpatialModel
from survey.models.spectral import PowerLaw, SpectralModel

__all__ = [
    "Disk",
    "Gaussian",
    "Parameter",
    "ParameterVector",
    "Parameters",
    "Point",
    "PowerLaw",
    "SpatialModel",
    "SpectralModel",
]
