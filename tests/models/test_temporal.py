"""Time dependences: exact integrals, samples that follow them, files."""

import itertools
import os
import pickle

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from scipy.integrate import quad
from scipy.stats import chisquare

from survey.models import (
    ConstantTime,
    ExpDecayTime,
    GaussianTime,
    GeneralizedGaussianTime,
    LightCurveTemplate,
    LinearTime,
    PowerLawTime,
    SineTime,
    TemplatePhaseCurve,
)

T = 55000.0
PHASE = np.linspace(0, 0.9, 10)
MODELS = [
    ConstantTime(),
    LinearTime(alpha=1.0, beta=0.3, t_ref=T, scale="tt"),
    ExpDecayTime(t0=2.0, t_ref=T, scale="tt"),
    GaussianTime(t_ref=T + 1, sigma=0.7, scale="tt"),
    GeneralizedGaussianTime(t_ref=T + 1, t_rise=0.4, t_decay=1.3, eta=0.8, scale="tt"),
    PowerLawTime(alpha=-0.7, t_ref=T - 0.1, scale="tt"),
    PowerLawTime(alpha=-1.0, t_ref=T - 0.1, scale="tt"),
    SineTime(amp=0.8, omega=7.0, t_ref=T, scale="tt"),
    LightCurveTemplate([0, 1, 1.5, 3], [1, 0.2, 2, 0], t_ref=T, scale="tt"),
    LightCurveTemplate([0.5, 1, 1.5, 2], [1, 0.2, 2, 0.1], t_ref=T, scale="tt", values_scale="log"),
    TemplatePhaseCurve(PHASE, 1 + np.sin(6 * PHASE) ** 2, t_ref=T, f0=2e-5, f1=1e-15, scale="tt"),
    TemplatePhaseCurve(PHASE, 1 + np.sin(6 * PHASE) ** 2, t_ref=T - 0.3, phi_ref=0.2, f0=1e-6, scale="tt"),
]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_integral_is_that_of_the_value(model):
    start, stop = T + 0.13, T + 2.71
    points = np.linspace(start, stop, 120)
    expected = sum(quad(model.value, a, b, epsabs=1e-12)[0] for a, b in itertools.pairwise(points))
    # the lines of a table have corners between the points of quad
    rel = 1e-4 if isinstance(model, LightCurveTemplate | TemplatePhaseCurve) else 1e-9
    assert float(model.integral(start, stop)) == pytest.approx(expected / (stop - start), rel=rel)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_integrals_add_and_are_a_fraction_of_all_time(model):
    edges = T + np.array([0.1, 0.7, 1.9, 2.2])
    parts = model.integral(edges[:-1], edges[1:])
    assert parts.shape == (3,)
    assert parts.sum() == pytest.approx(float(model.integral(edges[0], edges[-1])), rel=1e-9)
    assert model.mean(edges[:-1], edges[1:]) == pytest.approx(parts.sum())


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_samples_follow_the_integral(model):
    start, stop = np.array([T + 0.1, T + 1.2]), np.array([T + 0.9, T + 2.4])
    times = model.sample_time(np.random.default_rng(3), 20_000, start, stop)
    assert ((times >= start[0]) & (times <= start[0] + 0.8) | (times >= start[1]) & (times <= stop[1])).all()
    edges = [np.linspace(a, b, 26) for a, b in zip(start, stop, strict=True)]
    found = np.concatenate([np.histogram(times, edge)[0] for edge in edges])
    wanted = np.concatenate([model.integral(edge[:-1], edge[1:]) * (edge[-1] - edge[0]) for edge in edges])
    assert found.sum() == 20_000
    some = wanted > 1e-4 * wanted.sum()
    assert found[~some].sum() <= 1e-3 * 20_000
    wanted = wanted[some] / wanted[some].sum() * found[some].sum()
    assert chisquare(found[some], wanted).pvalue > 1e-4


def test_samples_of_a_pulsar_have_its_phases():
    model = TemplatePhaseCurve(PHASE, PHASE + 0.1, t_ref=T, scale="tt")
    times = model.sample_time(np.random.default_rng(1), 20_000, T, T + 0.02)
    phase = model.cycles(times - T) % 1
    edges = np.linspace(0, 1, 21)
    x, y, _ = model._table
    fine = np.interp(np.linspace(0.0005, 0.9995, 1000), x, y).reshape(20, 50).sum(axis=1)
    assert chisquare(np.histogram(phase, edges)[0], fine / fine.sum() * 20_000).pvalue > 1e-4


def test_time_scale_is_that_of_the_reference():
    reference = Time("2015-03-01T00:00:00", scale="utc")
    model = GaussianTime(t_ref=reference.mjd, sigma=1e-3)
    assert float(model.value(reference.tt.mjd)) == pytest.approx(1, abs=1e-9)
    assert float(model.replaced(sigma=1e-3).value(reference.utc.mjd)) < 0.95  # 67 s off
    with pytest.raises(ValueError, match=r"LinearTemporalModel: scale 'local'; expected one of tai"):
        LinearTime(scale="local")


def test_power_law_begins_at_its_reference():
    model = PowerLawTime(alpha=-0.5, t_ref=T, scale="tt")
    np.testing.assert_array_equal(model.value([T - 1, T]), 0)
    assert float(model.integral(T - 1, T + 1)) == pytest.approx(1.0)


def test_negative_norm_has_no_times():
    with pytest.raises(ValueError, match="negative in a part of the interval"):
        SineTime(amp=1.5, omega=6.0, t_ref=T).sample_time(np.random.default_rng(0), 10, T, T + 3)
    with pytest.raises(ValueError, match="expected start < stop"):
        ConstantTime().sample_time(np.random.default_rng(0), 10, T, T)


def test_light_curve_is_read_with_its_reference(tmp_path, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    meta = {"MJDREFI": 55000, "MJDREFF": 0.5, "TIMESYS": "tt"}
    table = Table({"TIME": np.array([0.0, 43200.0, 86400.0]), "NORM": np.array([1.0, 3.0, 2.0])}, meta=meta)
    table["TIME"].unit = "s"
    table.write(tmp_path / "curve.fits")
    model = LightCurveTemplate.read("$SOMEWHERE/curve.fits")
    assert model.filename == "$SOMEWHERE/curve.fits"
    np.testing.assert_allclose(model.value(55000.5 + np.array([0, 0.25, 0.75])), [1, 2, 2.5], rtol=1e-8)
    assert float(model.integral(55000.5, 55001.5)) == pytest.approx(0.5 * 2 + 0.5 * 2.5)
    # beyond the ends the lines go on, down to zero
    np.testing.assert_allclose(model.value(55000.5 + np.array([-0.1, 1.2, 9.0])), [0.6, 1.6, 0], atol=1e-7)
    assert pickle.loads(pickle.dumps(model)) == model
    table.meta = {}
    table.write(tmp_path / "bare.fits")
    with pytest.raises(ValueError, match=r"bare\.fits: no MJDREFI, MJDREFF; give the reference time"):
        LightCurveTemplate.read(tmp_path / "bare.fits")


def test_energy_dependent_light_curve_is_one_at_each_energy():
    model = LightCurveTemplate([0, 1], [[1, 4], [2, 2]], energy=[1, 100], t_ref=T, scale="tt")
    assert model.is_energy_dependent
    np.testing.assert_allclose(model.value(T + 0.5, [1.0, 10.0, 100.0]), [2, 2, 2])
    np.testing.assert_allclose(model.at_energy(10).value([T, T + 1]), [2**0.5, 8**0.5])
    with pytest.raises(ValueError, match="depends on energy"):
        model.value(T)
    with pytest.raises(ValueError, match="at_energy"):
        model.integral(T, T + 1)


@pytest.mark.data
def test_phase_curve_of_a_binary(survey_data):
    assert os.environ["SURVEY_DATA"]
    path = "$SURVEY_DATA/tests/phasecurve_LSI_DC.fits"
    period = 26.496 * 86400
    model = TemplatePhaseCurve.read(path, t_ref=43366.275, f0=1 / period, scale="tt")
    with fits.open(survey_data / "tests" / "phasecurve_LSI_DC.fits") as hdus:
        norm = hdus[1].data["NORM"]
    raw = TemplatePhaseCurve.read(path, normalize=False, t_ref=43366.275, f0=1 / period, scale="tt")
    at = raw.t_ref + 26.496 * raw.phase
    np.testing.assert_allclose(raw.value(at), norm, rtol=1e-6)
    # the mean over whole periods is one when normalised
    assert float(model.integral(T, T + 10 * 26.496)) == pytest.approx(1, rel=1e-9)
    assert pickle.loads(pickle.dumps(model.replaced(f0=2e-6))).f0 == 2e-6
