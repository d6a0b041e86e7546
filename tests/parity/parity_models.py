"""Where models are compared with the peer's: energies, directions in the model's own frame, times."""

from __future__ import annotations

import numpy as np

ENERGY = np.geomspace(0.02, 80.0, 25)
"""TeV."""

LON = np.array([0.0, 0.05, 0.3, 0.31, 0.9, 1.06, 359.8, 359.2, 1.7, 2.0])
LAT = np.array([0.0, 0.02, 0.1, -0.2, 0.4, 0.01, 0.3, -0.5, 1.1, -0.9])
"""deg."""

TIMES = 59000.5 + np.array([-3.0, -0.2, 0.3, 1.1, 2.6, 10.0])
"""MJD (TT)."""
