"""What one observation may add to a cube: responses that are finite and absurd are told before they spoil all others.

Sums are exact below 2**53 quanta, `survey.store.quantum`. One observation that takes a good part of that, with a field of
the effective area of 1e38 m2 or good times of centuries, would end the whole run when it is added to a tile.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from survey.events.observation import ObservationRejected
from survey.reduction.axes import Axes
from survey.reduction.prepared import PreparedObservation
from survey.store.quantum import QUANTA_BITS, quantum

FOLD = 4096.0
"""How many times what the format foresees of an observation, that of the largest array in half an hour, one may add."""


def check_share(prepared: PreparedObservation, axes: Axes, binsize: float) -> None:
    """Check that an observation adds no more to a bin than any instrument could.

    Parameters
    ----------
    prepared : PreparedObservation
        On `axes`.
    axes : Axes
        Of the survey.
    binsize : float
        Of its pixels, deg.

    Raises
    ------
    ObservationRejected
        When it does, or when a response is not finite; the message names observation, response, value and limit.
    """
    for variable, kind, largest, unit, times in _largest(prepared, binsize):
        axis = axes.energy if variable == "background" else axes.energy_true
        foreseen = quantum(variable, axis.low) * 2.0**QUANTA_BITS
        share = largest / foreseen
        if np.all(share < FOLD):
            continue
        worst = int(np.argmax(np.nan_to_num(share, nan=np.inf)))
        raise ObservationRejected(
            f"{prepared.identity}: response {kind} and {times} give {variable} of up to {largest[worst]:.3g} {unit} at "
            f"{axis.centers[worst]:.3g} TeV, expected at most {FOLD * foreseen[worst]:.3g}; "
            "the response or the times are damaged",
            part=kind,
        )


def _largest(prepared: PreparedObservation, binsize: float) -> Iterator[tuple[str, str, NDArray[np.float64], str, str]]:
    """Upper limits of what it adds to a bin: variable, response, value by energy, unit, what the response is multiplied by.

    The energy dispersion is a probability by then, which makes nothing larger.
    """
    exposure = prepared.aeff.max(axis=0, initial=0.0) * prepared.livetime
    time = f"a livetime of {prepared.livetime:.6g} s"
    if prepared.aeff.size:
        yield "exposure", "aeff", exposure, "m2 s", time
    if prepared.psf.size:
        yield "psf_exposure", "psf", exposure * prepared.psf.max(axis=(0, 2)), "m2 s sr-1", f"aeff and {time}"
    if prepared.bkg.size:
        rate = prepared.bkg.max(axis=(0, 1)).astype(np.float64)
        counts = rate * prepared.ontime * np.deg2rad(binsize) ** 2
        yield "background", "bkg", counts, "counts a pixel", f"an ontime of {prepared.ontime:.6g} s"
