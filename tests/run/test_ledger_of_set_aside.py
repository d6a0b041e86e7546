"""Events of an observation that is set aside after they were read are in the ledger too."""

import dataclasses

import numpy as np

import survey
from survey.events.gadf_writer import write_store
from survey.events.synthetic import make_observations


def test_events_of_a_spoiled_observation_end_as_set_aside(settings, tmp_path):
    good, spoiled = make_observations(2, livetime=300.0, seed=1)
    table = spoiled.responses["aeff"]
    values = {name: np.full_like(array, np.nan) for name, array in table.values.items()}
    responses = {**spoiled.responses, "aeff": dataclasses.replace(table, values=values)}
    store = write_store(tmp_path / "spoiled", [good, dataclasses.replace(spoiled, responses=responses)])
    settings["observations"]["datastore"] = str(store)
    run = survey.run(settings, listeners=[])
    assert run.exit_status == 3
    assert run.record["ledger"]["read"] == good.n_events + spoiled.n_events
    assert run.record["ledger"]["set_aside"] == spoiled.n_events > 0
