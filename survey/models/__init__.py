"""Models of the sky: spectral and spatial shapes."""
