"""Model files between Gammapy 2.1 and us: every model that it can serialise, in both directions and back.

What is compared is what each program finds in the other's file: values on a grid, parameters, errors, limits, flags,
links, priors and the covariance.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity_models import ENERGY, LAT, LON, TIMES

from survey.models import Models, ModelsError, Point, PowerLaw, SkyModel, crab_spectrum
from survey.models.registry import model_classes
from survey.models.yaml_units import unit_factor

RTOL = 1e-6
FLOAT32_NODES = {"ebl-file": 2e-5}
"""The peer keeps the node energies of an absorption table in single precision and takes their logarithms so."""
AFTER_REFERENCE = ("PowerLawTemporalModel",)
"""Before its reference time the peer's power law is negative, or no number; ours is zero."""
KEPT_BY_VALUE = ("redshift", "alpha_norm")
"""The peer reads the values of these and forgets errors, limits and flags."""


def _values(component) -> dict[str, Any]:
    """Ours, as `peer_models.values`."""
    found = {"spectral": component.spectral.value(ENERGY)}
    spatial = component.parts.get("spatial")
    if spatial is not None and not isinstance(spatial, Point):
        cube = {"energy": ENERGY[:2]} if spatial.is_energy_dependent else {}
        found["spatial"] = spatial.value(LON, LAT, **cube) * np.ones(LON.shape)
    temporal = component.parts.get("temporal")
    if temporal is not None:
        found["temporal"] = temporal.value(TIMES) * np.ones(TIMES.shape)
    return found


def _compare(models: Models, dump: dict[str, Any], *, links: bool = True) -> None:
    """Ours against what the peer says of the same models."""
    assert list(models) == dump["names"]
    rows = {row["name"]: row for row in dump["parameters"]}
    assert list(models.parameter_names) == list(rows)
    factors = []
    groups: dict[str, set[str]] = {}
    for name, item in models.parameters.items():
        row = rows[name]
        factor = unit_factor(row["unit"], item.unit)
        assert factor is not None, name
        factors.append(factor)
        assert item.value == pytest.approx(row["value"] * factor, rel=RTOL, abs=1e-300), name
        if name.rpartition(".")[2] in KEPT_BY_VALUE:
            continue
        assert item.error == pytest.approx(row["error"] * factor, rel=RTOL, abs=1e-300), name
        assert item.frozen == row["frozen"], name
        for limit, found in (("min", item.minimum), ("max", item.maximum)):
            if not math.isnan(row[limit]):
                assert found == pytest.approx(row[limit] * factor, rel=RTOL), (name, limit)
            else:
                # ours keep energies and radii positive
                assert math.isinf(found) or found in (0.0, np.finfo(float).tiny), (name, limit, found)
        if row["prior"] is None:
            assert item.prior is None, name
        else:
            tag, values = row["prior"]
            expected = {key: value * (1.0 if key == "eta" else factor) for key, value in values.items()}
            assert item.prior is not None
            assert (item.prior.tag[0], item.prior.parameters) == (tag, pytest.approx(expected, rel=RTOL)), name
        if row["link"] is not None and item.link is not None:
            groups.setdefault(row["link"], set()).add(item.link)
        assert not links or (row["link"] is None) == (item.link is None), name
    assert all(len(joined) == 1 for joined in groups.values())
    for name, parts in dump["values"].items():
        ours = _values(models[name])
        assert list(ours) == list(parts), name
        for kind, listed in parts.items():
            expected = np.array(listed)
            if name in AFTER_REFERENCE and kind == "temporal":
                expected[TIMES < 59000.5] = 0
            np.testing.assert_allclose(
                ours[kind],
                expected,
                rtol=FLOAT32_NODES.get(name, RTOL),
                atol=1e-12 * np.abs(expected).max(),
                err_msg=f"{name}.{kind}",
            )
    for name, (responses, datasets) in dump["settings"].items():
        found = getattr(models[name], "datasets_names", None)
        assert datasets == (None if found is None else list(found))
        if responses is not None:
            assert responses == models[name].apply_irf
    if links and groups:
        return  # the peer loses the covariance between components when it joins their parameters
    scale = np.array(factors)
    expected = np.array(dump["covariance"]) * scale * scale[:, None]
    kept = [k for k, name in enumerate(models.parameter_names) if name.rpartition(".")[2] not in KEPT_BY_VALUE]
    np.testing.assert_allclose(models.covariance[np.ix_(kept, kept)], expected[np.ix_(kept, kept)], rtol=RTOL, atol=0)


@pytest.fixture(scope="module")
def written(peer_once, tmp_path_factory) -> Path:
    """Folder of the peer's files; they name images by path, so they are not kept from run to run."""
    folder = tmp_path_factory.mktemp("peer")
    peer_once("peer_models.py", folder, "write")
    return folder


def _dump(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.fixture
def peer_reads(peer_once, tmp_path):
    """Function from a file to what the peer finds in it, and to the file that it makes of it."""

    def read(path: Path) -> tuple[dict[str, Any], Path]:
        peer_once("peer_models.py", tmp_path / "peer", "read", str(path))
        return _dump(tmp_path / "peer" / "read.json"), path.with_name("again.yaml")

    return read


@pytest.mark.parametrize("name", ["models", "full", "linked"])
def test_peer_to_us_and_back(written, peer_reads, name):
    models = Models.read(written / f"{name}.yaml")
    _compare(models, _dump(written / f"{name}.json"))
    for full in (False, True):
        models.write(written / "ours.yaml", full=full, overwrite=True)
        assert Models.read(written / "ours.yaml").parameter_names == models.parameter_names
        found, again = peer_reads(written / "ours.yaml")
        assert found["complaints"] == []
        _compare(models, found)
        _compare(Models.read(again), found)


def test_every_model_of_the_peer_is_in_the_file(written):
    """All that we have, but for what the peer cannot serialise."""
    models = Models.read(written / "models.yaml")
    used: set[type] = set()

    def note(part: Any) -> None:
        used.add(type(part))
        for inner in ("model1", "model2"):
            if hasattr(part, inner):
                note(getattr(part, inner))

    for component in models.values():
        for part in component.parts.values():
            note(part)
    without_file = {"ScaleSpectralModel", "MeyerCrabSpectralModel"}
    for kind in ("spectral", "spatial", "temporal"):
        missing = set(model_classes(kind).values()) - used
        assert {cls.tag[0] for cls in missing} <= without_file, kind


def test_us_to_peer_and_back(written, peer_reads):
    """With a covariance of our own, over all parameters."""
    models = Models.read(written / "full.yaml")
    rng = np.random.default_rng(5)
    size = len(models.vector.names)
    steps = np.abs(models.vector.values) / 20 + 1e-3 * models.vector.steps
    root = rng.normal(size=(size, size)) * steps[:, None] / size**0.5
    models = models.with_vector(models.vector.values, root @ root.T)
    models.write(written / "ours.yaml", full=True, overwrite=True)
    found, again = peer_reads(written / "ours.yaml")
    assert found["complaints"] == []
    _compare(models, found)
    back = Models.read(again)
    _compare(back, found)
    assert list(back) == list(models)


def test_links_by_path_are_links_for_the_peer(peer_reads, tmp_path):
    models = Models([SkyModel(name, PowerLaw(index=2.5)) for name in ("a", "b", "c")])
    data = models.as_dict()
    data["components"][1]["spectral"]["parameters"][0] = {"name": "index", "link": "a.spectral.index"}
    data["components"][2]["spectral"]["parameters"][0] = {"name": "index", "link": "b.spectral.index"}
    Models.from_dict(data).write(tmp_path / "ours.yaml")
    found, again = peer_reads(tmp_path / "ours.yaml")
    links = {row["name"]: row["link"] for row in found["parameters"] if row["link"]}
    assert set(links) == {f"{name}.spectral.index" for name in "abc"}
    assert len(set(links.values())) == 1
    assert len(Models.read(again).vector.names) == 4


def test_meyer_by_value(written):
    """The peer cannot serialise it; we can."""
    models = Models.from_yaml(Models([SkyModel("crab", crab_spectrum("meyer"), Point())]).to_yaml())
    np.testing.assert_allclose(models["crab"].spectral.value(ENERGY), _dump(written / "meyer.json"), rtol=RTOL)


def test_models_that_we_have_not_are_refused_by_name():
    entry = {"name": "a", "type": "SkyModel", "spectral": {"type": "LogParabola2SpectralModel", "parameters": []}}
    with pytest.raises(
        ModelsError, match=r"a.spectral.type: LogParabola2SpectralModel: it is not supported; write it as"
    ):
        Models.from_dict({"components": [entry]})
