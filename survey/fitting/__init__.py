"""Fit statistics."""
