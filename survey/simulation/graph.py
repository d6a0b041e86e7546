"""Units of a simulation: one an observation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cluster import Unit, unit_key

if TYPE_CHECKING:
    from survey.simulation_plan import SimulationPlan

SIMULATE = "simulate"
STAGE_VERSIONS = {SIMULATE: 1}
PRELOAD = ("survey.simulation.stages",)
"""What a worker imports when it starts."""


def simulation_slot(obs_id: int) -> str:
    """Slot in which an observation is simulated."""
    return f"{SIMULATE}/{obs_id:06d}"


def simulation_units(plan: SimulationPlan, store: str, sky: str) -> Iterator[Unit]:
    """One unit an observation.

    Parameters
    ----------
    plan : SimulationPlan
        What is simulated.
    store : str
        Folder of the data store.
    sky : str
        The file of models in it; empty for none.
    """
    site = [plan.site.lon, plan.site.lat, plan.site.height]
    responses = plan.responses.as_dict()
    config = {"site": site, "background": plan.background, "seed": plan.seed, "compress": plan.compress}
    for run in plan.runs:
        inputs = {"run": run.as_dict(), "responses": plan.responses.name(run.zenith), "sky": plan.sky_digest}
        yield Unit(
            slot=simulation_slot(run.obs_id),
            key=unit_key(SIMULATE, STAGE_VERSIONS[SIMULATE], inputs, config),
            function="survey.simulation.stages:simulate_observation",
            arguments={
                "run": run.as_dict(),
                "site": site,
                "responses": responses,
                "sky": sky,
                "sky_digest": plan.sky_digest,
                "background": plan.background,
                "seed": plan.seed,
                "store": store,
                "compress": plan.compress,
            },
        )
