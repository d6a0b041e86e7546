"""The prepared observation: an observation on the survey's axes, all that a tile needs of it and nothing else.

`survey.reduction.prepare` makes it from an observation; `survey.reduction.contribution` adds it to a tile.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survey.reduction.camera import camera_frames
from survey.reduction.ledger import Ledger
from survey.response.background import BackgroundLattice, refine_background
from survey.sky.frames import unit_vectors
from survey.store.npz import pack, unpack

FORMAT = 1
PLAIN = "plain"
"""Member of the file that holds everything that is not an array, as JSON."""


@dataclass(frozen=True, eq=False)
class PreparedObservation:
    """An observation on the survey's axes.

    Numbers of bins are written ``e`` (reconstructed energy), ``t`` (true energy), ``r`` (distance in the PSF),
    ``k`` (time steps), ``n`` (events).

    Parameters
    ----------
    identity, obs_id : str, int
        Of the observation.
    ra, dec : float
        Pointing at mid-run, ICRS, deg.
    radius : float
        Nothing of the observation lies further than this from the pointing at mid-run, deg.
    livetime, ontime : float
        s.
    step_weight, step_ra, step_dec, step_roll : numpy.ndarray (k,)
        Time steps: fraction of the time, pointing (ICRS, deg) and position angle of the camera's vertical (deg, from
        north through east; 0 for a background aligned with ICRS). One step unless the pointing moves or the field
        rotates.
    event_energy, event_y, event_x : numpy.ndarray (n,) int32
        Bins of the events in the safe range, in file order. Events outside the grid have the pixel of the grid's
        virtual extension: they count in the fit of the background only.
    event_in_grid : numpy.ndarray (n,) bool
        Which of them are in the cube.
    aeff_offset, psf_offset, edisp_offset : numpy.ndarray
        Offsets at which the responses are given, deg; linear in between, nothing beyond the last.
    aeff : numpy.ndarray (o, t)
        Effective area, m2. Values at the last node may be negative: they extrapolate and are cut at zero on evaluation.
    psf : numpy.ndarray (o, t, r)
        PSF at the centres of the bins in distance, sr-1.
    edisp : numpy.ndarray (o, t, e)
        Probability per bin of reconstructed energy at the centre of every bin of true energy.
    bkg_x, bkg_y : numpy.ndarray
        Nodes of the background rate, deg: `bkg_x` to the east and `bkg_y` along the vertical of the camera when
        ``step_roll`` is 0. For a radial background `bkg_x` is the offset and `bkg_y` is empty.
    bkg_bounds : numpy.ndarray (4,)
        Lowest and highest x, lowest and highest y at which there is a background, deg.
    bkg : numpy.ndarray (e, y, x) or (e, x) float64
        Background rate integrated over every bin of reconstructed energy, s-1 sr-1, per second of ontime.
    safe_energy : numpy.ndarray (e,) bool
        Bins in the safe range of energies.
    safe_offset_max, offset_max : float
        Pixel centres from these offsets on are not safe, or not selected, deg; infinite when not limited.
    mask_invalid_background : bool
        Whether bins without background are not safe.
    energy_min, energy_max : float
        Safe range as found, TeV, before it is brought to the bins; NaN when nothing limits it.
    ledger : Ledger
        What became of the events.
    notes : tuple of str
        What was odd and how it was treated, one line each.
    """

    identity: str
    obs_id: int
    ra: float
    dec: float
    radius: float
    livetime: float
    ontime: float
    step_weight: NDArray[np.float64]
    step_ra: NDArray[np.float64]
    step_dec: NDArray[np.float64]
    step_roll: NDArray[np.float64]
    event_energy: NDArray[np.int32]
    event_y: NDArray[np.int32]
    event_x: NDArray[np.int32]
    event_in_grid: NDArray[np.bool_]
    aeff_offset: NDArray[np.float64]
    aeff: NDArray[np.float64]
    psf_offset: NDArray[np.float64]
    psf: NDArray[np.float64]
    edisp_offset: NDArray[np.float64]
    edisp: NDArray[np.float64]
    bkg_x: NDArray[np.float64]
    bkg_y: NDArray[np.float64]
    bkg_bounds: NDArray[np.float64]
    bkg: NDArray[np.float64]
    safe_energy: NDArray[np.bool_]
    safe_offset_max: float
    offset_max: float
    mask_invalid_background: bool
    energy_min: float
    energy_max: float
    ledger: Ledger
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def filled_energy(self) -> NDArray[np.bool_]:
        """Bins (e,) that have background everywhere inside its bounds."""
        return np.asarray((self.background_lattice.rate > 0).all(axis=(0, 1)))

    def background_covers(self, radius: float) -> bool:
        """Whether a circle about the pointing at mid-run lies inside the bounds of the background in every time step."""
        if self.pointing_moves or self.bkg.size == 0:
            return False
        low_x, high_x, low_y, high_y = self.bkg_bounds
        reach = high_x if self.bkg_y.size == 0 else min(-low_x, high_x, -low_y, high_y)
        return bool(radius <= reach)

    @cached_property
    def background_steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (k,) and camera frames (k, 3, 3) of the time steps; one for a radial background that does not move."""
        if self.step_weight.size > 1 and self.bkg_y.size == 0 and not self.pointing_moves:
            return np.ones(1), camera_frames(self.step_ra[:1], self.step_dec[:1], self.step_roll[:1])
        return self.step_weight, camera_frames(self.step_ra, self.step_dec, self.step_roll)

    @cached_property
    def exposure_steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (k,) and pointings (k, 3) of the time steps, one unless the pointing moves."""
        if not self.pointing_moves:
            return np.ones(1), unit_vectors(self.ra, self.dec)[None].copy()
        return self.step_weight, np.ascontiguousarray(unit_vectors(self.step_ra, self.step_dec).T)

    @property
    def pointing_moves(self) -> bool:
        """Whether the pointing is not the same in all time steps."""
        return bool(np.ptp(self.step_ra) > 0 or np.ptp(self.step_dec) > 0)

    @property
    def n_in_cube(self) -> int:
        """Number of events in the cube."""
        return int(np.count_nonzero(self.event_in_grid))

    @cached_property
    def background_lattice(self) -> BackgroundLattice:
        """The background on a lattice that is fine enough for linear interpolation."""
        return refine_background(self.bkg, self.bkg_x, self.bkg_y, self.bkg_bounds)

    def to_bytes(self) -> bytes:
        """NumPy archive with fixed time stamps: the same observation gives the same bytes."""
        plain: dict[str, Any] = {"format": FORMAT}
        arrays: dict[str, NDArray[Any]] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                arrays[item.name] = value
            else:
                plain[item.name] = value.as_dict() if isinstance(value, Ledger) else value
        text = json.dumps(plain, sort_keys=True).encode()
        return pack({**arrays, PLAIN: np.frombuffer(text, dtype=np.uint8)})

    @classmethod
    def from_bytes(cls, content: bytes) -> PreparedObservation:
        """Inverse of `to_bytes`; ValueError for a file of another format."""
        arrays: dict[str, Any] = unpack(content)
        plain = json.loads(arrays.pop(PLAIN).tobytes())
        found = plain.pop("format")
        if found != FORMAT:
            raise ValueError(f"prepared observation has format {found}, this version reads {FORMAT}")
        plain["ledger"] = Ledger.from_dict(plain["ledger"])
        plain["notes"] = tuple(plain["notes"])
        return cls(**arrays, **plain)

    def save(self, url: str) -> None:
        """Write to any URL or path, at once or not at all."""
        from survey.store.urls import write_bytes

        write_bytes(url, self.to_bytes())

    @classmethod
    def load(cls, url: str) -> PreparedObservation:
        """Read what `save` wrote."""
        from survey.store.urls import read_bytes

        return cls.from_bytes(read_bytes(url))
