"""gammasurvey: from gamma-ray event lists to survey maps."""

__version__ = "0.1.0"
