"""Instrument responses: effective area, energy dispersion, PSF and background as functions of the field of view."""
