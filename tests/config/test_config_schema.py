"""What is kept beside the configuration says what the configuration says: schema, reference, template, examples."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from survey.config import SurveyConfig, load_config
from survey.config_errors import all_keys, key_text
from survey.config_gammapy import DEFAULTS
from survey.config_schema import BEGIN, END, json_schema, reference_text, schema_text

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path for path in (ROOT / "configs").glob("*.yaml") if not path.stem.endswith("-models"))


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hess-dl3-dr1").mkdir()
    monkeypatch.setenv("SURVEY_DATA", str(tmp_path))
    return tmp_path


def test_the_schema_is_current() -> None:
    assert (ROOT / "configs/schema.json").read_text() == schema_text(), "run: make schema"


def test_the_reference_is_current() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == reference_text().strip(), "run: make schema"


def test_every_key_has_a_meaning() -> None:
    reference = reference_text()
    keys = [key_text(key) for key in all_keys(SurveyConfig)]
    assert len(keys) == len(set(keys))
    assert [key for key in keys if f"`{key}`" not in reference] == []
    assert [line for line in reference.splitlines() if line.endswith("| |")] == []


def test_the_template_is_valid(data: Path) -> None:
    text = files("survey").joinpath("template.yaml").read_text()
    path = data / "survey.yaml"
    path.write_text(text)
    config = load_config(path)
    assert config.ts_map is not None
    assert config.excess_map is not None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path) -> None:
    # What a configuration simulates itself is not there yet; results go beside it.
    simulated = "simulation" in yaml.safe_load(path.read_text())
    config = load_config(path, to_run=not simulated)
    wanted = ROOT / path.stem / "out" if simulated else path.parent / f"out-{path.stem}"
    assert Path(config.general.outdir) == wanted
    assert not simulated or Path(config.observations.datastore[0]) == wanted.parent / "data"
    assert config.notes == ()


def test_there_are_examples() -> None:
    names = {path.stem for path in EXAMPLES}
    assert {"hess-msh1552", "hess-crab", "hess-pks2155", "hess-dr1-allsky", "demo", "galactic-survey"} <= names


def test_gammapys_defaults_are_those_of_its_file() -> None:
    written = yaml.safe_load((Path(__file__).parent / "gammapy-2.1-defaults.yaml").read_text())
    written.pop("metadata")
    assert written.keys() == DEFAULTS.keys()
    known = {key_text(key) for key in all_keys(SurveyConfig)}

    def leaves(node: dict, path: str) -> list[str]:
        return [
            leaf
            for name, value in node.items()
            for leaf in (leaves(value, f"{path}{name}.") if isinstance(value, dict) and value else [f"{path}{name}"])
        ]

    unknown = [leaf for leaf in leaves(written, "") if leaf not in known and "parameters" not in leaf]
    assert unknown == []


def test_the_schema_knows_text_for_everything_with_a_unit() -> None:
    wcs = json_schema()["$defs"]["WcsConfig"]["properties"]
    assert wcs["binsize"]["type"] == "string"
    assert wcs["binsize"]["default"] == "0.02 deg"
    assert json.loads(schema_text()) == json_schema()
