"""A run with sky models: predicted counts beside the cube, redone where a model changed, gone when there are none."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import survey
from survey.models.collection import read_models
from survey.refusal import Refusal
from survey.sky.grid import SkyGrid

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


TEMPLATE = (
    "- {name: counts, type: TemplateNPredModel, filename: counts.fits, spectral: {type: PowerLawNormSpectralModel}}\n"
)


def test_models_that_cannot_be_predicted_are_refused_before_anything_runs(settings, tmp_path):
    path = tmp_path / "sky.yaml"
    path.write_text(SKY.split("  spatial:")[0])
    with pytest.raises(Refusal, match=r"target.spatial: is missing, expected a shape"):
        survey.run(settings, models=str(path), listeners=[])
    assert not Path(settings["general"]["outdir"]).exists()


def test_models_of_other_datasets_are_named(run, settings, tmp_path, caplog):
    path = tmp_path / "sky.yaml"
    path.write_text(SKY.replace("  type: SkyModel\n", "  type: SkyModel\n  datasets_names: [staked]\n"))
    made = survey.run(settings, models=str(path), listeners=[])
    assert set(made.record["predicted_counts"]) == {"background"}
    assert "target.datasets_names: staked, which is not stacked: left out" in caplog.text


def test_a_template_of_counts_that_changed_is_predicted_anew(run, settings, tmp_path):
    path = tmp_path / "sky.yaml"
    path.write_text(f"components:\n{TEMPLATE}")
    cube = survey.open(run.outdir).cube
    grid = SkyGrid.from_key(cube.attrs["grid"])
    edges = cube["energy_edges"].values
    bands = np.rec.fromarrays([np.arange(4), edges[:-1], edges[1:]], names="CHANNEL,E_MIN,E_MAX")
    table = fits.BinTableHDU(bands, name="BANDS")
    table.header["AXCOLS1"] = "E_MIN,E_MAX"
    table.columns["E_MIN"].unit = table.columns["E_MAX"].unit = "TeV"
    found = []
    for value in (0.25, 0.5):
        image = fits.ImageHDU(np.full((4, *grid.shape), value), header=grid.wcs.to_header(), name="COUNTS")
        image.header["BANDSHDU"] = "BANDS"
        fits.HDUList([fits.PrimaryHDU(), image, table]).writeto(tmp_path / "counts.fits", overwrite=True)
        found.append(survey.run(settings, models=str(path), listeners=[]).record["predicted_counts"]["counts"])
    assert found[0] > 0
    assert found[1] == pytest.approx(2 * found[0])
