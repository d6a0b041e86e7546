"""What a worker does in a unit of a simulation: draw the events of an observation and write them into the data store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survey.events.gadf_shared import write_event_file
from survey.events.observation import Observation
from survey.models.collection import Models
from survey.simulation.responses import ResponseChoice
from survey.simulation.sampler import BACKGROUND_NAME, sample_events
from survey.simulation.schedule import REFERENCE, Run
from survey.simulation.site import Site
from survey.simulation.sky_index import SkyIndex
from survey.store import urls

LONGEST_NAME = 60
"""Characters of a component's name that a header holds."""


def simulate_observation(
    *,
    run: Mapping[str, Any],
    site: tuple[float, float, float],
    responses: Mapping[str, Any],
    sky: str,
    sky_digest: str,
    background: bool,
    seed: int,
    store: str,
    compress: bool,
) -> dict[str, Any]:
    """Simulate one observation and write its events.

    Parameters
    ----------
    run : mapping
        A `Run`.
    site : tuple of float
        Longitude, latitude (deg) and height (m).
    responses : mapping
        A `ResponseChoice`.
    sky : str
        File of models; empty for none.
    sky_digest : str
        Of its content: a worker reads it again when it changed.
    background : bool
        Whether there is a background.
    seed : int
        Of the survey: every observation draws from ``default_rng([seed, obs_id])``.
    store : str
        Folder of the data store.
    compress : bool
        Write ``.fits.gz``.

    Returns
    -------
    dict
        Rows of the indexes, see `survey.events.gadf_shared.write_event_file`, and ``events``: how many, by component.
    """
    asked = Run.from_dict(run)
    choice = ResponseChoice.from_dict(responses)
    observation = make_observation(
        asked,
        site=Site(*site),
        responses=choice,
        sky=_sky(sky, sky_digest),
        background=background,
        rng=np.random.default_rng([seed, asked.obs_id]),
    )
    name = choice.name(asked.zenith)
    written = write_event_file(store, observation, responses=name, reference=REFERENCE, compress=compress)
    found, counts = np.unique(observation.events["MC_ID"], return_counts=True)
    return {**written, "events": {str(number): int(count) for number, count in zip(found, counts, strict=True)}}


def make_observation(
    run: Run,
    *,
    site: Site,
    responses: ResponseChoice,
    sky: SkyIndex | None = None,
    background: bool = True,
    rng: np.random.Generator,
) -> Observation:
    """One simulated observation, in memory.

    Parameters
    ----------
    run : Run
        Where and when.
    site : Site
        Where from.
    responses : ResponseChoice
        What with.
    sky : SkyIndex, optional
        What shines.
    background : bool
        Whether there is a background.
    rng : numpy.random.Generator
        All that is random.

    Returns
    -------
    Observation
        Its events have ``MC_ID``: 0 for the background, k + 1 for model k of the sky.
    """
    tables = responses.tables(run.zenith)
    start, stop = np.array([run.start]), np.array([run.start + run.ontime])
    pointing = run.pointing
    events: dict[str, NDArray[Any]] = sample_events(
        pointing,
        responses=tables,
        gti_start=start,
        gti_stop=stop,
        livetime=run.livetime,
        reference=REFERENCE,
        models=() if sky is None else sky,
        background=background,
        rng=rng,
        location=site.location,
    )
    return Observation(
        identity=f"simulated-{run.obs_id}",
        obs_id=run.obs_id,
        pointing=pointing,
        reference=REFERENCE,
        gti_start=start,
        gti_stop=stop,
        ontime=run.ontime,
        livetime=run.livetime,
        events=events,
        responses=tables,
        location=site.location,
        zenith=run.zenith,
        metadata={
            "OBJECT": run.target,
            "TELESCOP": "SIMULATED",
            "INSTRUME": "PARAMETRISED" if not responses.path else "FROM-FILE",
            "ORIGIN": "gammasurvey",
            "QUALITY": 0,
            **({} if responses.path else {"N_TELS": 4}),
            **_components(events["MC_ID"], () if sky is None else sky),
        },
    )


def _components(numbers: NDArray[np.int32], sky: Any) -> dict[str, str | float | int | bool]:
    """Keywords that name the components with events here, in Gammapy's way: ``MIDnnnnn`` the number, ``MMNnnnnn`` the name.

    Those without events are left out: a sky may have thousands.
    """
    there = np.union1d(0, numbers).tolist()
    header: dict[str, str | float | int | bool] = {"NMCIDS": len(there)}
    for place, number in enumerate(there):
        name = BACKGROUND_NAME if number == 0 else str(sky[number - 1].name)
        header[f"MID{place:05d}"] = number
        header[f"MMN{place:05d}"] = name.encode("ascii", "replace").decode()[:LONGEST_NAME]
    return header


@lru_cache(maxsize=2)
def _sky(path: str, digest: str) -> SkyIndex | None:
    """The sky of a file whose content has a digest."""
    if not path:
        return None
    models = Models.from_yaml(urls.read_bytes(path).decode(), folder=urls.parent(path))
    return SkyIndex(tuple(models.values()))
