"""The sky: pixel grids, tiles, energy axes, frames, regions."""
