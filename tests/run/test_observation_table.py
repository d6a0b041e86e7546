"""Rows of the table of observations, and what is counted as they pass."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.time import TimeDelta

from survey.config import load_config
from survey.events.datastore import open_datastore
from survey.events.ingest import ingest
from survey.events.problems import Problem
from survey.events.source import ObservationSource, record_json
from survey.observation_table import Totals, rows_of
from survey.pipeline import run
from survey.reduction.ledger import Ledger
from survey.survey_plan import check_observations, make_plan


@pytest.fixture(scope="module")
def made(configure, store, tmp_path_factory):
    """A plan of four observations, and how its units ended."""
    settings = configure(store, tmp_path_factory.mktemp("made") / "out")
    settings["observations"]["obs_ids"] = [1, 3, 5, 6]
    outcomes = {}

    def listen(event):
        if hasattr(event, "outcome"):
            outcomes[event.slot] = event.outcome

    run(settings, listeners=[listen])
    return make_plan(load_config(settings)), outcomes


def test_rows_are_by_obs_id_whatever_became_of_the_observation(made):
    plan, outcomes = made
    problems = [
        Problem("error", "is gone", obs_id=9),
        Problem("warning", "is odd", obs_id=2),
        Problem("error", "is empty", obs_id=4),
        Problem("error", "has no name"),
        Problem("error", "and cut", obs_id=4),
    ]
    totals = Totals()
    rows = list(totals.counting(rows_of(replace(plan, problems=tuple(problems)), outcomes)))
    assert [row["obs_id"] for row in rows] == [-1, 1, 3, 4, 5, 6, 9]
    assert [row["status"] == "used" for row in rows] == [False, True, True, False, True, True, False]
    assert len(rows[3]["reason"].splitlines()) == 2
    assert totals.rows == 7
    assert totals.used == {source.identity for source in plan.sources}
    assert [line.split(":")[0] for line in totals.unused] == ["-1", "4", "9"]
    assert totals.ledger == sum((Ledger(**{k: row[k] for k in Ledger().as_dict()}) for row in rows), Ledger())
    assert totals.ledger.read == sum(row["n_events"] for row in rows) > 0


@pytest.mark.parametrize(
    "record",
    [
        {"OBS_ID": 1, "OBJECT": "Crab ü", "RA_PNT": 0.1 + 0.2, "TEST": True, "BIG": 2**60, "ZERO": -0.0},
        {"ALTITUDE": float("inf"), "SMALL": float(np.float32(0.1)), "ODD": "\udce4"},
    ],
)
def test_the_row_of_an_index_comes_back_as_it_was(record):
    found = ObservationSource("one", 1, "gadf", "", record_text=record_json(record)).record
    assert repr(found) == repr(record)


@pytest.mark.parametrize("kind", ["gadf", "archive"])
def test_what_a_check_finds_does_not_depend_on_the_times_selected(settings, store, tmp_path, kind):
    if kind == "archive":
        ingest(store, tmp_path / "archive.zarr", kind="none")
        settings["observations"]["datastore"] = str(tmp_path / "archive.zarr")
    [source, *_] = open_datastore(settings["observations"]["datastore"]).sources
    observation = source.load(responses=())
    middle = 0.5 * (observation.tstart + observation.tstop)
    epoch = observation.reference.time
    start, stop = ((epoch + TimeDelta(at, format="sec")).isot for at in (observation.tstart - 1.0, middle))
    settings["observations"]["obs_time"] = {"start": start, "stop": stop}
    plan = make_plan(load_config(settings))
    assert any(source.windows for source in plan.sources)
    assert check_observations(plan) == ()
