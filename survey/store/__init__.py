"""Stores: Zarr templates, shard alignment, quanta, provenance, format versions, URLs."""
