"""From binned data to science products (DL4 to DL5): excess maps, TS maps."""
