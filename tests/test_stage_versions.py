"""A stage whose sources changed has a new version, or a recorded reason why its results did not change."""

import json

import pytest

from tests.stage_sources import RECORD, current

RECORDED = json.loads(RECORD.read_text())


@pytest.fixture(scope="module")
def sources():
    return current()


def test_every_stage_is_recorded(sources):
    assert sorted(sources) == sorted(RECORDED)


@pytest.mark.parametrize("stage", sorted(RECORDED))
def test_changed_sources_have_a_new_version_or_a_waiver(stage, sources):
    now, then = sources[stage], RECORDED[stage]
    advice = (
        "raise it in STAGE_VERSIONS, then: python -m tests.stage_sources 'new version', or a reason why results stay"
    )
    assert now["digest"] == then["digest"], f"stage {stage}: sources changed at version {now['version']}; {advice}"
    assert now["version"] == then["version"], f"stage {stage}: version {now['version']} is not recorded; {advice}"
