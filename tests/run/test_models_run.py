"""A run with sky models: predicted counts beside the cube, redone where a model changed, gone when there are none."""

from pathlib import Path

import numpy as np
import pytest

import survey
from survey.models.collection import read_models
from survey.refusal import Refusal

SKY = """
components:
- name: target
  type: SkyModel
  spectral:
    type: PowerLawSpectralModel
    parameters:
    - {name: index, value: 2.3}
    - {name: amplitude, value: 3.5e-11, unit: TeV-1 s-1 cm-2}
    - {name: reference, value: 1.0, unit: TeV}
  spatial:
    type: PointSpatialModel
    frame: icrs
    parameters:
    - {name: lon_0, value: 83.63, unit: deg}
    - {name: lat_0, value: -22.01, unit: deg}
"""


def stages(run):
    return {name: stage["done"] for name, stage in run.record["timings"]["stages"].items() if stage["done"]}


def test_models_give_predicted_counts_and_a_changed_one_redoes_only_these(run, settings, tmp_path):
    path = tmp_path / "sky.yaml"
    path.write_text(SKY)
    first = survey.run(settings, models=str(path), listeners=[])
    assert set(stages(first)) == {"npred"}
    predicted = first.record["predicted_counts"]
    assert set(predicted) == {"target", "background"}
    assert float(first.npred["npred_signal"].sum()) == pytest.approx(predicted["target"], rel=1e-12)
    assert float(first.npred["npred_background"].sum()) == pytest.approx(predicted["background"], rel=1e-12)
    # the source of the store is this one
    counts = float(first.cube["counts"].sum())
    assert abs(counts - sum(predicted.values())) < 4 * np.sqrt(counts)
    assert read_models(first.layout.models)["target"].spectral.amplitude == pytest.approx(3.5e-7)

    path.write_text(SKY.replace("3.5e-11", "7.0e-11"))
    second = survey.run(settings, models=str(path), listeners=[])
    assert set(stages(second)) == {"npred"}
    assert second.record["predicted_counts"]["target"] == pytest.approx(2 * predicted["target"])

    third = survey.run(settings, listeners=[])
    assert not Path(third.layout.npred).exists()
    assert not Path(third.layout.models).exists()
    with pytest.raises(Refusal, match="had no sky models"):
        _ = third.npred
