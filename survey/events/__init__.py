"""Event lists (DL3): reading and checking GADF files, the archive, selecting observations."""
