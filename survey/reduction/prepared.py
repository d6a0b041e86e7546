"""The prepared observation: an observation on the survey's axes, all that a tile needs of it and nothing else.

`survey.reduction.prepare` makes it from an observation; `survey.reduction.contribution` adds it to a tile.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survey.reduction.ledger import Ledger
from survey.response.background import BackgroundLattice, refine_background

FORMAT = 1


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
        north through east; 0 for a background aligned with ICRS). One step unless the pointing moves or the field rotates.
    event_energy, event_y, event_x : numpy.ndarray (n,) int32
        Bins of the events in the safe range, in file order. Events outside the grid have the pixel of the grid's
        virtual extension: they count in the fit of the background only.
    event_in_grid : numpy.ndarray (n,) bool
        Which of them are in the cube.
    aeff_offset, psf_offset, edisp_offset : numpy.ndarray
        Offsets at which the responses are given, deg; linear in between, nothing beyond the last.
    aeff : numpy.ndarray (t, o)
        Effective area, m2. Values at the last node may be negative: they extrapolate and are cut at zero on evaluation.
    psf : numpy.ndarray (t, r, o)
        PSF at the centres of the bins in distance, sr-1.
    edisp : numpy.ndarray (t, e, o)
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
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for item in fields(self):
                value = getattr(self, item.name)
                if isinstance(value, np.ndarray):
                    member = io.BytesIO()
                    np.lib.format.write_array(member, np.ascontiguousarray(value), version=(1, 0))
                    archive.writestr(zipfile.ZipInfo(f"{item.name}.npy"), member.getvalue())
                elif isinstance(value, Ledger):
                    plain[item.name] = value.as_dict()
                else:
                    plain[item.name] = value
            archive.writestr(zipfile.ZipInfo("plain.json"), json.dumps(plain, sort_keys=True))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> PreparedObservation:
        """Inverse of `to_bytes`."""
        values: dict[str, Any] = {}
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            plain = json.loads(archive.read("plain.json"))
            for name in archive.namelist():
                if name.endswith(".npy"):
                    member = io.BytesIO(archive.read(name))
                    values[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
        found = plain.pop("format")
        if found != FORMAT:
            raise ValueError(f"prepared observation has format {found}, this version reads {FORMAT}")
        plain["ledger"] = Ledger.from_dict(plain["ledger"])
        plain["notes"] = tuple(plain["notes"])
        return cls(**values, **plain)

    def save(self, url: str) -> None:
        """Write to any URL or path, at once or not at all."""
        from survey.store.urls import write_bytes

        write_bytes(url, self.to_bytes())

    @classmethod
    def load(cls, url: str) -> PreparedObservation:
        """Read what `save` wrote."""
        from survey.store.urls import read_bytes

        return cls.from_bytes(read_bytes(url))
