"""From event lists to binned data (DL3 to DL4): counts, exposure, background, responses, safe range, stacking."""
