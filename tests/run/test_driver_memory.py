"""What the driver holds of each observation: little, and each thing once."""

import io

import pytest
from astropy.table import Table

from survey import observation_table
from survey.config import load_config
from survey.observation_table import empty_row, table_text
from survey.pipeline import units_of
from survey.reduction.graph import BACKGROUND_TILES, OBSERVATIONS, TILES
from survey.survey_plan import make_plan


def test_units_share_what_they_say_of_an_observation(settings):
    settings["datasets"]["geom"]["tiles"] = {"chunks": 1, "chunk": 10}
    plan = make_plan(load_config(settings))
    units = {unit.slot: unit for unit in units_of(plan)}
    for source in plan.sources:
        assert units[f"{OBSERVATIONS}/{source.identity}"].arguments["source"]["record_text"] is source.record_text
    for stage in (TILES, BACKGROUND_TILES):
        of_stage = [unit for unit in units.values() if unit.stage == stage]
        members = [member for unit in of_stage for member in unit.arguments["observations"]]
        assert len(members) > len(plan.sources)
        assert len({id(member) for member in members}) == len(plan.sources)
        assert all(
            slot in unit.after for unit in of_stage for _, slots, *_ in unit.arguments["observations"] for slot in slots
        )


@pytest.mark.parametrize("rows", [0, 1, 4, 7])
def test_pieces_of_the_table_of_observations_are_one_table(monkeypatch, rows):
    texts = ("", "plain", 'a "quoted" note | #2', "two\nlines", "é" * 90)
    given = [empty_row(f"obs-{n}", n) | {"notes": texts[n % 5], "ra_pnt": n / 7} for n in range(rows)]
    whole = table_text(given)
    monkeypatch.setattr(observation_table, "PIECE", 2)
    assert table_text(given) == whole
    table = Table.read(io.BytesIO(whole), format="ascii.ecsv")
    assert [text or "" for text in table["notes"].tolist()] == [row["notes"] for row in given]
    assert str(table["ra_pnt"].unit) == "deg"
