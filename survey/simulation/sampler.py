"""The sampler: the events of one observation, drawn from source models and from the background response.

`survey.simulation.source_events` draws photons and detects them, `survey.simulation.background_events` the background; here
they get times, directions and the number of their component, and are sorted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from survey.events.observation import Pointing, TimeReference
from survey.reduction.alignment import Alignment, alignment_of
from survey.response.table import ResponseTable
from survey.simulation import kernels_sampling as kernels
from survey.simulation.background_events import CameraRate
from survey.simulation.camera_track import CameraTrack, camera_track
from survey.simulation.detection import Detection
from survey.simulation.sky_index import SkyIndex
from survey.simulation.source_events import draw_sources
from survey.simulation.times import GoodTimes
from survey.sky.frames import positions

BACKGROUND_NAME = "background"
"""Name of the component with ``MC_ID`` 0."""


def sample_events(
    pointing: Pointing,
    *,
    responses: Mapping[Any, ResponseTable],
    gti_start: NDArray[np.float64],
    gti_stop: NDArray[np.float64],
    livetime: float,
    reference: TimeReference,
    rng: np.random.Generator,
    models: Sequence[Any] = (),
    background: bool = True,
    fov_alignment: Literal["auto", "RADEC", "ALTAZ"] = "auto",
    location: EarthLocation | None = None,
    metadata: Mapping[str, Any] | None = None,
    truth: bool = False,
) -> dict[str, NDArray[Any]]:
    """Draw the events of one observation.

    The expected number of background events is that of the response times the ontime; of source events, the flux times
    effective area and livetime. PSF and dispersion are those at the true energy and offset of every photon. Beyond the last
    offset of a response there are no events.

    Parameters
    ----------
    pointing : Pointing
        Where the telescopes look.
    responses : mapping of str to ResponseTable
        By kind: ``aeff`` for sources, with ``psf`` and ``edisp`` where there are some; ``bkg`` for the background.
    gti_start, gti_stop : numpy.ndarray
        Good times, s since `reference`, sorted.
    livetime : float
        s.
    reference : TimeReference
        Of all times.
    rng : numpy.random.Generator
        The only source of chance: the same state gives the same events.
    models : sequence of SkyModel or SkyIndex
        The sky; an index saves time where many observations share a sky.
    background : bool
        Whether to draw from the background response.
    fov_alignment : str
        How a 3D background without ``FOVALIGN`` is read: ``auto``, ``RADEC`` or ``ALTAZ``.
    location : astropy.coordinates.EarthLocation, optional
        Of the observatory: needed for drifts and for backgrounds that are aligned with the horizon.
    metadata : mapping, optional
        Of the observation: ``CREATOR`` and ``HDUVERS`` tell reversed backgrounds.
    truth : bool
        Whether to add ``MC_ENERGY``, ``MC_RA``, ``MC_DEC``: true values; those of background events are the measured ones.

    Returns
    -------
    dict of numpy.ndarray
        ``EVENT_ID`` (from 1), ``TIME`` (s), ``RA``, ``DEC`` (deg, ICRS), ``ENERGY`` (TeV, float32), ``MC_ID`` (int32: 0 for
        background, k + 1 for ``models[k]``), sorted by time.

    Raises
    ------
    ValueError
        When a response, a shape or the location is needed and missing; the message says which.
    """
    sky = models if isinstance(models, SkyIndex) else SkyIndex(models)
    times = GoodTimes(np.asarray(gti_start, np.float64), np.asarray(gti_stop, np.float64))
    alignment = _alignment(responses, background, fov_alignment, metadata)
    track = camera_track(
        pointing,
        start=float(times.start[0]),
        stop=float(times.stop[-1]),
        reference=reference,
        location=location,
        rotates=alignment.rotates,
    )
    parts = []
    if len(sky):
        parts.append(draw_sources(sky, Detection.of(responses), track, times, livetime, reference, rng))
    if background:
        parts.append(_background(CameraRate.of(responses["bkg"], mirror=alignment.mirror), track, times, rng))
    return _events(parts, truth=truth)


def event_metadata(models: Sequence[Any]) -> dict[str, int | str]:
    """Header keywords that say which component an ``MC_ID`` is, as Gammapy writes them: ``MIDnnnnn``, ``MMNnnnnn``.

    Parameters
    ----------
    models : sequence of SkyModel
        As given to `sample_events`.
    """
    header: dict[str, int | str] = {"NMCIDS": len(models) + 1}
    for number, name in enumerate([BACKGROUND_NAME, *(model.name for model in models)]):
        header[f"MID{number:05d}"] = number
        header[f"MMN{number:05d}"] = name
    return header


def _alignment(
    responses: Mapping[Any, ResponseTable],
    background: bool,
    missing: Literal["auto", "RADEC", "ALTAZ"],
    metadata: Mapping[str, Any] | None,
) -> Alignment:
    if not background:
        return Alignment(rotates=False, mirror=False)
    table = responses.get("bkg")
    if table is None:
        raise ValueError(f"no response bkg to draw the background from, there are {sorted(responses)}")
    if table.form != "bkg_3d":
        return Alignment(rotates=False, mirror=False)
    # the alignment asks an observation for its header only
    return alignment_of(table, SimpleNamespace(metadata=metadata or {}), missing)  # type: ignore[arg-type]


def _background(
    rate: CameraRate, track: CameraTrack, times: GoodTimes, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    events = rate.draw(rng, times.ontime)
    seconds = times.draw(rng, events.x.size)
    vectors = np.empty((3, seconds.size))
    kernels.camera_to_sky(events.x, events.y, events.radial, track.at(seconds), vectors)
    ra, dec = positions(vectors)
    return {
        "TIME": seconds,
        "RA": ra,
        "DEC": dec,
        "ENERGY": events.energy,
        "MC_ID": np.zeros(ra.size, np.int32),
        "MC_ENERGY": events.energy,
        "MC_RA": ra,
        "MC_DEC": dec,
    }


def _events(parts: Sequence[Mapping[str, NDArray[Any]]], *, truth: bool) -> dict[str, NDArray[Any]]:
    """Columns of all parts, sorted by time."""
    names = ["TIME", "RA", "DEC", "ENERGY", "MC_ID"] + (["MC_ENERGY", "MC_RA", "MC_DEC"] if truth else [])
    empty: dict[str, NDArray[Any]] = {name: np.empty(0, np.int32 if name == "MC_ID" else np.float64) for name in names}
    columns = {name: np.concatenate([empty[name], *(part[name] for part in parts)]) for name in names}
    order = np.argsort(columns["TIME"], kind="stable")
    events = {name: values[order] for name, values in columns.items()}
    events["ENERGY"] = events["ENERGY"].astype(np.float32)
    return {"EVENT_ID": np.arange(1, order.size + 1, dtype=np.int64), **events}
