"""The section `simulation`: what is taken, and what is refused in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from survey.config import SurveyConfig, load_config
from survey.refusal import ConfigError
from survey.simulation.pointings import wobble_positions
from survey.simulation_plan import make_simulation_plan

WOBBLE = {"pattern": "wobble", "frame": "icrs", "lon": "83.63 deg", "lat": "22.01 deg"}
GEOM = {"wcs": {"skydir": {"frame": "icrs", "lon": "83.63 deg", "lat": "22.01 deg"}}}


def load(simulation: dict[str, Any], **options: Any) -> SurveyConfig:
    config = {"observations": {"datastore": "nowhere"}, "datasets": {"geom": GEOM}, "simulation": simulation}
    return load_config(config, to_run=False, **options)


def refusals(simulation: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(simulation)
    return str(caught.value).splitlines()


def test_one_pattern_is_enough() -> None:
    config = load({"pointings": WOBBLE})
    assert config.simulation is not None
    plan = make_simulation_plan(config)
    assert len(plan.runs) == 4
    assert sorted(run.dec for run in plan.runs) == pytest.approx(sorted(wobble_positions(83.63, 22.01, offset=0.5)[1]))
    assert {run.ontime for run in plan.runs} == {1680.0}
    assert plan.sky == ""


def test_every_pattern_is_understood() -> None:
    patterns = [
        {**WOBBLE, "offset": "0.7 deg", "n_positions": 2, "runs": 3},
        {"pattern": "list", "frame": "galactic", "positions": [["0 deg", "0 deg"], ["1 deg", "-1 deg"]]},
        {
            "pattern": "grid",
            "frame": "icrs",
            "lon": "10 deg",
            "lat": "-20 deg",
            "width": "2 deg",
            "height": "2 deg",
            "spacing": "1 deg",
        },
        {
            "pattern": "rows",
            "frame": "galactic",
            "lon_range": ["350 deg", "10 deg"],
            "lat_range": ["-1 deg", "1 deg"],
            "spacing": "2 deg",
            "runs": 7,
        },
        {"pattern": "drift", "alt": "80 deg", "az": "180 deg", "runs": 2, "name": "zenith"},
    ]
    plan = make_simulation_plan(load({"pointings": patterns, "site": "magic"} | {"zenith_max": "75 deg"}))
    assert len(plan.runs) == 3 + 2 + 9 + 7 + 2
    assert sum(run.target == "zenith" for run in plan.runs) == 2


def test_a_configuration_reads_back_as_the_same() -> None:
    rows = {
        "pattern": "rows",
        "frame": "galactic",
        "lon_range": ["350 deg", "10 deg"],
        "lat_range": ["-1 deg", "1 deg"],
        "spacing": "2 deg",
    }
    config = load(
        {
            "pointings": [WOBBLE, rows],
            "ontime": "0.5 h",
            "start": "2020-03-01",
            "site": {"lon": "16 deg", "lat": "-23 deg", "height": 1800},
            "responses": {"array": {"threshold": "200 GeV", "alignment": "altaz"}},
            "sky": {"population": {"size": 10}},
        }
    )
    again = load_config(yaml.safe_load(config.to_yaml()), to_run=False)
    assert again.as_dict() == config.as_dict()
    assert again.simulation is not None
    assert again.simulation.ontime.to_value("s") == 1800.0


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"pointings": []}, "simulation.pointings: found [], expected at least 1 values"),
        (
            {"pointings": {"pattern": "wobble", "frame": "icrs", "lon": "1 deg"}},
            "simulation.pointings: expected frame, lat, lon for the pattern wobble; without lat",
        ),
        (
            {"pointings": [{**WOBBLE, "spacing": "1 deg"}]},
            "simulation.pointings[0]: found spacing, which the pattern wobble does not have",
        ),
        ({"ontime": "28"}, "simulation.ontime: found '28', expected a time with a unit, such as '28 min'"),
        ({"ontime": "0 min"}, "simulation.ontime: found '0 min', expected a time above zero"),
        ({"site": "moon"}, "simulation.site.name: found 'moon', expected one of hess, ctao-north, "),
        ({"site": {"lon": "1 deg"}}, "simulation.site: expected either a name, or lon, lat and height"),
        (
            {"site": {"lon": "1 deg", "lat": "1 deg", "height": float("nan")}},
            "simulation.site.height: found nan, expected ",
        ),
        (
            {"site": {"lon": "1 deg", "lat": "1 deg", "height": -1e9}},
            "simulation.site.height: found -1000000000.0, expected ",
        ),
        ({"responses": {"array": {"area": float("inf")}}}, "simulation.responses.array.area: found inf, expected "),
        (
            {"pointings": {**WOBBLE, "name": "Stör"}},
            "simulation.pointings.name: found 'Stör', expected printable ASCII characters, which a FITS header can hold",
        ),
        ({"sead": 1}, "simulation.sead: unknown key; did you mean simulation.seed?"),
        (
            {"sky": {"models": "a.yaml", "population": {}}},
            "simulation.sky: expected either models, or hgps and population",
        ),
        (
            {"responses": {"path": "a.fits", "zenith_step": "5 deg"}},
            "simulation.responses: expected either path or array, not both",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(change: dict[str, Any], line: str) -> None:
    (found,) = refusals({"pointings": WOBBLE, **change})
    assert found.startswith(line)


def test_runs_longer_than_any_night_are_told_from_too_many_runs() -> None:
    with pytest.raises(ConfigError, match=r"no night at latitude -23.\d+ deg has room for a run of 72000 s"):
        make_simulation_plan(load({"pointings": {**WOBBLE, "lat": "-22 deg"}, "ontime": "20 h"}))


def test_a_table_that_is_not_there_gives_way_to_a_population(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SURVEY_DATA", raising=False)
    monkeypatch.delenv("GAMMAPY_DATA", raising=False)
    sky = {"hgps": {"path": "$SURVEY_DATA/hgps.fits"}, "population": {"size": 10}}
    config = load({"pointings": WOBBLE, "sky": sky})
    assert config.simulation is not None
    assert config.simulation.sky.kind == "population"
    (tmp_path / "hgps.fits").touch()
    monkeypatch.setenv("SURVEY_DATA", str(tmp_path))
    config = load({"pointings": WOBBLE, "sky": sky})
    assert config.simulation is not None
    assert config.simulation.sky.as_settings() == {"hgps": {"path": str(tmp_path / "hgps.fits"), "large_scale": True}}
    assert "SURVEY_DATA is not" in refusals({"pointings": WOBBLE, "sky": {"hgps": {"path": "$NONE_SUCH/hgps"}}})[
        0
    ].replace("$NONE_SUCH", "$SURVEY_DATA")
