"""The prepared observation: an observation on the survey's axes, all that a tile needs of it and nothing else.

`survey.reduction.prepare` makes it from an observation; `survey.reduction.contribution` adds it to a tile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from io import BufferedIOBase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survey.reduction.camera import camera_frames
from survey.reduction.ledger import Ledger
from survey.sky.frames import unit_vectors
from survey.store import urls
from survey.store.flat import pack, unpack

FORMAT = 2


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
    bkg : numpy.ndarray (my, mx, e) float32
        Background rate integrated over every bin of reconstructed energy, s-1 sr-1, per second of ontime, on an even
        lattice of the camera that is fine enough for linear interpolation; zero outside. Empty without a background.
    bkg_x0, bkg_y0, bkg_step_x, bkg_step_y : float
        First nodes and steps of the lattice, deg: x to the east and y along the vertical of the camera when
        ``step_roll`` is 0.
    bkg_radial : bool
        Whether x is the offset; then there is one row.
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
    bkg: NDArray[np.float32]
    bkg_x0: float
    bkg_y0: float
    bkg_step_x: float
    bkg_step_y: float
    bkg_radial: bool
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
        return np.asarray((self.bkg > 0).all(axis=(0, 1)))

    def background_covers(self, radius: float) -> bool:
        """Whether a circle about the pointing at mid-run lies inside the bounds of the background in every time step."""
        if self.pointing_moves or self.bkg.size == 0:
            return False
        my, mx, _ = self.bkg.shape
        reach = self.bkg_x0 + self.bkg_step_x * (mx - 1)
        if not self.bkg_radial:
            reach = min(reach, -self.bkg_x0, -self.bkg_y0, self.bkg_y0 + self.bkg_step_y * (my - 1))
        return bool(radius <= reach * (1.0 + 1e-12))

    @cached_property
    def background_steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (k,) and camera frames (k, 3, 3) of the time steps; one for a radial background that does not move."""
        if self.step_weight.size > 1 and self.bkg_radial and not self.pointing_moves:
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

    @property
    def background_arguments(self) -> tuple[NDArray[np.float32], bool, float, float, float, float]:
        """The background as the kernels take it: rates, radial, first nodes, steps a degree."""
        return self.bkg, self.bkg_radial, self.bkg_x0, self.bkg_y0, 1.0 / self.bkg_step_x, 1.0 / self.bkg_step_y

    def to_bytes(self) -> bytes:
        """All of it as bytes: the same observation gives the same ones."""
        plain: dict[str, Any] = {"format": FORMAT}
        arrays: dict[str, NDArray[Any]] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                arrays[item.name] = value
            else:
                plain[item.name] = value.as_dict() if isinstance(value, Ledger) else value
        return pack(arrays, plain)

    @classmethod
    def read(cls, stream: BufferedIOBase, *, without: Collection[str] = ()) -> PreparedObservation:
        """Inverse of `to_bytes`, `without` some arrays, which are empty then; ValueError for bytes of another format."""
        arrays, plain = unpack(stream, without=without)
        found = plain.pop("format", None)
        if found != FORMAT:
            raise ValueError(f"prepared observation has format {found}, this version reads {FORMAT}")
        plain["ledger"] = Ledger.from_dict(plain["ledger"])
        plain["notes"] = tuple(plain["notes"])
        return cls(**{**arrays, **plain})

    def save(self, url: str) -> None:
        """Write to any URL or path, at once or not at all."""
        urls.write_bytes(url, self.to_bytes())

    @classmethod
    def load(cls, url: str, *, without: Collection[str] = ()) -> PreparedObservation:
        """Read what `save` wrote; parameters as of `read`, ValueError naming the file where it cannot be read."""
        with damage_named(url), urls.reading(url) as stream:
            return cls.read(stream, without=without)


@contextlib.contextmanager
def damage_named(url: str) -> Iterator[None]:
    """Errors of a file of an earlier unit that does not hold what that wrote, as one that says which and what to do."""
    try:
        yield
    except (ValueError, KeyError, TypeError, EOFError) as error:
        text = " ".join(str(error).split())
        raise ValueError(
            f"{url}: damaged ({type(error).__name__}: {text}); remove it and run again with --retry-failed"
        ) from error
