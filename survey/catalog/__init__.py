"""Published catalogues as sky models."""
