"""What the driver holds of each observation: little, and each thing once."""

import io
import json
import subprocess
import sys

import pytest
from astropy.table import Table

from survey import observation_table
from survey.config import load_config
from survey.observation_table import empty_row, table_text
from survey.pipeline import units_of
from survey.reduction.graph import BACKGROUND, BACKGROUND_TILES, OBSERVATIONS, TILES
from survey.survey_plan import make_plan


def test_what_units_say_of_an_observation_is_made_when_they_are_sent(settings):
    """The driver of a large run holds a hundred thousand observations, each on several tiles."""
    settings["datasets"]["geom"]["tiles"] = {"chunks": 1, "chunk": 10}
    plan = make_plan(load_config(settings))
    units = {unit.slot: unit for unit in units_of(plan)}
    for stage in (OBSERVATIONS, BACKGROUND, TILES, BACKGROUND_TILES):
        of_stage = [unit for unit in units.values() if unit.stage == stage]
        assert len(of_stage) > 1
        assert len({id(getattr(unit.arguments, "__self__", unit.arguments)) for unit in of_stage}) == 1
    for source in plan.sources:
        assert units[f"{OBSERVATIONS}/{source.identity}"].keywords()["source"]["record_text"] is source.record_text
    for stage in (TILES, BACKGROUND_TILES):
        for unit in units.values():
            if unit.stage == stage:
                assert {slot for _, slots, *_ in unit.keywords()["observations"] for slot in slots} == set(unit.after)


KERNELS_OF_A_PLAN = """
import json, sys
from numba.core.registry import CPUDispatcher
from survey.config import load_config
from survey.pipeline import units_of
from survey.survey_plan import make_plan

units = units_of(make_plan(load_config(json.loads(sys.argv[1]))))
kernels = {
    name: kernel
    for module in list(sys.modules.values())
    if module.__name__.startswith("survey.")
    for name, kernel in vars(module).items()
    if isinstance(kernel, CPUDispatcher)
}
print(len(units), len(kernels), [name for name, kernel in kernels.items() if kernel.signatures])
"""


def test_a_plan_calls_no_kernel(settings):
    """The first kernel that a process loads takes 50 MB and half a second, which a driver does without."""
    call = [sys.executable, "-c", KERNELS_OF_A_PLAN, json.dumps(settings)]
    units, kernels, called = subprocess.run(call, check=True, capture_output=True, text=True).stdout.split(maxsplit=2)
    assert int(units) > 12
    assert int(kernels) > 20
    assert called.strip() == "[]"


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
