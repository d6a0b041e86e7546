"""Places at which formulas for spectra would divide by zero or lose their digits, and the sense of every model."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy.special import erf, erfc, erfi, exp1, expn, gamma, gammaincc

from survey.models import (
    EBL_FILES,
    AbsorptionTable,
    BrokenPowerLaw,
    CompoundSpectrum,
    ConstantSpectrum,
    EBLAbsorptionNorm,
    ExpCutoffPowerLaw,
    GaussianSpectrum,
    LogParabola,
    Parameter,
    ParameterVector,
    PiecewiseNorm,
    PowerLaw,
    PowerLaw2,
    PowerLawNorm,
    Scale,
    SmoothBrokenPowerLaw,
    SuperExpCutoffPowerLaw4FGLDR3,
    TemplateSpectrum,
    crab_spectrum,
)
from survey.models.crab import REFERENCES
from tests.models.spectra_cases import SPECTRA, absorption_table

ENERGY = np.geomspace(0.05, 60, 40)


@pytest.mark.parametrize("index", [1.0, 1 + 1e-12, 1 - 1e-7, 2.0, 2 + 1e-9])
def test_power_laws_pass_through_logarithmic_integrals(index):
    model, other = PowerLaw2(index=index, emin=0.5, emax=50), PowerLaw(index=index)
    assert model.integral(0.5, 50.0) == pytest.approx(model.amplitude, rel=1e-12)
    assert model.value(2.0) / model.value(5.0) == pytest.approx(0.4**-index, rel=1e-12)
    power = Decimal(2) - Decimal(index)
    with localcontext(prec=60):
        low, high = Decimal("0.5").ln(), Decimal(50).ln()
        exact = ((power * high).exp() - (power * low).exp()) / power if power else high - low
    assert other.energy_flux(0.5, 50.0) == pytest.approx(1e-8 * float(exact), rel=1e-12)
    assert np.isfinite(model.integral_gradient(0.7, 9.0)).all()


def test_broken_power_law_of_equal_indices_is_a_power_law():
    np.testing.assert_allclose(
        BrokenPowerLaw(ebreak=3, amplitude=1e-9).value(ENERGY), 9 * PowerLaw(amplitude=1e-9).value(ENERGY)
    )
    np.testing.assert_allclose(SmoothBrokenPowerLaw().value(ENERGY), PowerLaw().value(ENERGY), rtol=1e-14)
    assert np.isfinite(SmoothBrokenPowerLaw().gradient(ENERGY)).all()


@pytest.mark.parametrize("beta", [1e-3, 1e-9, 0.0])
@pytest.mark.parametrize("indices", [(1.5, 3.0), (3.0, 1.5)])
def test_smooth_break_becomes_sharp(beta, indices):
    smooth = SmoothBrokenPowerLaw(index1=indices[0], index2=indices[1], ebreak=2.0, reference=2.0, beta=beta)
    sharp = BrokenPowerLaw(index1=indices[0], index2=indices[1], ebreak=2.0)
    np.testing.assert_allclose(smooth.value(ENERGY), sharp.value(ENERGY), rtol=1.1 * beta + 1e-12)
    edges = np.array([0.5, 1.9, 2.1, 9.0])
    np.testing.assert_allclose(
        smooth.integral(edges[:-1], edges[1:]), sharp.integral(edges[:-1], edges[1:]), rtol=beta + 1e-9
    )
    assert np.isfinite(smooth.gradient(np.append(ENERGY, 2.0))).all()


def test_no_cutoff_is_a_power_law_and_its_derivative_is_finite():
    model = ExpCutoffPowerLaw(index=2.1, lambda_=0.0)
    np.testing.assert_allclose(model.value(ENERGY), PowerLaw(index=2.1).value(ENERGY), rtol=1e-14)
    gradient = model.gradient(ENERGY)
    np.testing.assert_allclose(gradient[3], -ENERGY * model.value(ENERGY), rtol=1e-12)
    assert np.isfinite(gradient).all()
    # a fit may step below zero
    np.testing.assert_allclose(model.replaced(lambda_=-0.01).value(ENERGY), model.value(ENERGY) * np.exp(0.01 * ENERGY))


@pytest.mark.parametrize("index_2", [1e-12, 1e-4, 0.01, 0.499 / np.log(60), 0.501 / np.log(60), 2.0])
def test_cutoff_of_dr3_is_smooth_in_index_2(index_2):
    model = SuperExpCutoffPowerLaw4FGLDR3(index_1=1.9, expfactor=0.7, index_2=index_2)
    energy = [0.3, 0.999, 1.0, 1.01, 3.0, 60.0]

    def exact(energy: float, index_2: Decimal) -> Decimal:
        t, a = Decimal(energy).ln(), Decimal("0.7")
        return ((a / index_2 - Decimal("1.9")) * t + a / index_2**2 * (1 - (index_2 * t).exp())).exp()

    with localcontext(prec=90):
        b, h = Decimal(index_2), Decimal("1e-30")
        values = [float(exact(e, b)) for e in energy]
        slopes = [float((exact(e, b + h) - exact(e, b - h)) / (2 * h)) for e in energy]
    np.testing.assert_allclose(model.value(energy), 1e-8 * np.array(values), rtol=1e-12)
    np.testing.assert_allclose(model.gradient(energy)[4], 1e-8 * np.array(slopes), rtol=1e-10, atol=1e-22)


def upper_gamma(s: float, x: np.ndarray) -> np.ndarray:
    """Incomplete gamma function for any s, by its recurrence from a positive one."""
    if s == 0:
        return exp1(x)
    if s == -1:
        return expn(2, x) / x
    return gamma(s) * gammaincc(s, x) if s > 0 else (upper_gamma(s + 1, x) - x**s * np.exp(-x)) / s


@pytest.mark.parametrize("index", [0.5, 1.0, 1.7, 2.0, 3.3])
def test_cutoff_integrals_agree_with_the_incomplete_gamma_function(index):
    edges = np.geomspace(0.1, 50, 9)
    model = ExpCutoffPowerLaw(index=index, lambda_=0.3)
    exact = -1e-8 * 0.3 ** (index - 1) * np.diff(upper_gamma(1 - index, 0.3 * edges))
    np.testing.assert_allclose(model.integral(edges[:-1], edges[1:]), exact, rtol=1e-10)


@pytest.mark.parametrize("beta", [2.0, 0.1, -0.2])
def test_log_parabola_integrals_agree_with_error_functions(beta):
    model = LogParabola(reference=1.0, alpha=2.2, beta=beta)
    width, function = np.sqrt(abs(beta)), erf if beta > 0 else erfi
    ends = [width * (t + 1.2 / (2 * beta)) for t in (-2.0, 3.0)]
    exact = np.exp(1.2**2 / (4 * beta)) * np.sqrt(np.pi) / (2 * width) * (function(ends[1]) - function(ends[0]))
    assert model.integral(np.exp(-2), np.exp(3)) == pytest.approx(1e-8 * exact, rel=1e-12)
    flat = model.replaced(beta=1e-9 * beta)
    assert flat.integral(0.1, 20.0) == pytest.approx(PowerLaw(index=2.2).integral(0.1, 20.0), rel=1e-7)


def test_line_far_away_keeps_its_digits():
    model = GaussianSpectrum(mean=1.0, sigma=0.1)
    exact = 0.5 * (erfc(9 / np.sqrt(2)) - erfc(10 / np.sqrt(2)))
    assert model.integral(1.9, 2.0) == pytest.approx(1e-8 * exact, rel=1e-11)
    assert model.integral(1e-3, 50.0) == pytest.approx(1e-8, rel=1e-12)
    # a line that is narrower than the quadrature's panels, in a product
    narrow = GaussianSpectrum(mean=3.0, sigma=0.003) * PowerLawNorm(tilt=1.0, reference=3.0)
    assert narrow.integral(0.1, 100.0) == pytest.approx(1e-8 * (1 + 1e-6), rel=1e-9)


def test_piecewise_norm_keeps_the_values_of_its_last_nodes():
    model = PiecewiseNorm([1.0, 10.0], [2.0, 8.0])
    np.testing.assert_allclose(model.value([0.1, 1.0, 10**0.5, 10.0, 99.0]), [2, 2, 4, 8, 8])
    assert list(model.parameters) == ["norm_0", "norm_1"]
    linear = PiecewiseNorm([1.0, 10.0], [2.0, 8.0], interp="lin")
    np.testing.assert_allclose(linear.value([0.1, 5.5, 99.0]), [2, 5, 8])
    nothing = PiecewiseNorm([1.0, 10.0], [0.0, 0.0])
    assert nothing.value(3.0) == 0
    assert np.isfinite(nothing.gradient(3.0)).all()


def test_template_with_zeros_falls_to_zero_and_integrates():
    model = TemplateSpectrum([1.0, 2.0, 4.0, 8.0], [1e-8, 1e-8, 0.0, 0.0])
    np.testing.assert_allclose(model.value([1.5, 4.0, 6.0, 100.0]), [1e-8, 0, 0, 0], rtol=1e-13)
    slope = (np.log(np.finfo(float).tiny) - np.log(1e-8)) / np.log(2)
    tail = 1e-8 * 2.0 / -(slope + 1)
    assert model.integral(1.0, 100.0) == pytest.approx(1e-8 + tail, rel=1e-9)
    # and in a product, whose integral knows where it falls
    product = model * PowerLawNorm(tilt=-1.0, reference=2.0)
    exact = 1e-8 * (4 - 1) / 4 + 1e-8 * 2.0 / -(slope + 2)
    assert product.integral(1.0, 100.0) == pytest.approx(exact, rel=1e-9)
    # a straight line over the logarithm of energy, cut where it falls below zero
    linear = TemplateSpectrum([1.0, np.e], [2.0, 1.0], unit="", values_scale="lin")
    assert linear.value(np.e**2.5) == 0
    assert linear.integral(1.0, 30.0) == pytest.approx(np.e**2 - 3, rel=1e-12)
    assert TemplateSpectrum([1.0], [3e-9]).value(7.0) == pytest.approx(3e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TemplateSpectrum([2.0, 1.0], [1.0, 1.0]), "TemplateSpectralModel: energy .* increasing"),
        (lambda: TemplateSpectrum([1.0, 2.0], [1.0]), "TemplateSpectralModel: 1 values; expected 2"),
        (lambda: TemplateSpectrum([1.0, 2.0], [1.0, np.nan]), "TemplateSpectralModel: values hold nan"),
        (
            lambda: TemplateSpectrum([1.0, 2.0], [1.0, 1.0], values_scale="sqrt"),
            "values_scale 'sqrt'; expected one of log",
        ),
        (lambda: PiecewiseNorm([1.0]), "PiecewiseNormSpectralModel: energy has 1 nodes; expected at least 2"),
        (lambda: PiecewiseNorm([1.0, 2.0], [1.0]), "PiecewiseNormSpectralModel: 1 norms; expected 2"),
        (lambda: PiecewiseNorm([1.0, 2.0], interp="sqrt"), "interp 'sqrt'; expected one of log, lin"),
        (lambda: PowerLaw() * PowerLaw(), "a product of PowerLawSpectralModel in TeV-1 s-1 m-2 and .* to be a norm"),
        (lambda: PowerLaw() + PowerLawNorm(), "add of .* PowerLawNormSpectralModel in no unit; expected the same unit"),
        (lambda: CompoundSpectrum(PowerLaw(), PowerLaw(), "pow"), "operator 'pow'; expected one of add, sub, mul"),
        (lambda: crab_spectrum("milagro"), "Crab spectrum 'milagro'; expected one of meyer"),
        (
            lambda: AbsorptionTable(np.array([1.0, 2.0]), np.array([0.1]), np.ones((2, 2))),
            r"shape \(2, 2\); expected \(1, 2\)",
        ),
        (lambda: LogParabola().integral(0.0, 1.0), "an energy of 0 TeV; expected positive"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_numbers_do_not_multiply_spectra():
    with pytest.raises(TypeError):
        PowerLaw() * 2.0


def test_compound_has_the_parameters_of_both():
    index = Parameter("index", 2.3, link="shared")
    model = PowerLaw(index=index) + LogParabola(alpha=Parameter("alpha", 2.3, link="shared"))
    assert list(model.parameters)[:4] == ["model1.index", "model1.amplitude", "model1.reference", "model2.amplitude"]
    vector = ParameterVector({"source": model.parameters})
    assert vector.names == ("shared", "source.model1.amplitude", "source.model2.amplitude", "source.model2.beta")
    back = model.with_parameters(vector.assign(np.array([2.5, 1e-8, 1e-8, 0.1]))["source"])
    assert (back.model1.index, back.model2.alpha, back.model2.beta) == (2.5, 2.5, 0.1)
    nested = model * PowerLawNorm()
    assert "model1.model2.beta" in nested.parameters
    assert nested.replaced(**{"model1.model2.beta": 0.3}).model1.model2.beta == 0.3
    assert nested.unit == "TeV-1 s-1 m-2"
    assert (PowerLawNorm() * PowerLawNorm()).is_norm


def test_scale_hides_the_parameters_of_its_model():
    model = Scale(SPECTRA["LogParabola"], norm=2.0)
    assert list(model.parameters) == ["norm"]
    np.testing.assert_allclose(model.value(ENERGY), 2 * SPECTRA["LogParabola"].value(ENERGY))


def test_constant_without_unit_is_a_norm():
    model = ConstantSpectrum(const=Parameter("const", 0.7))
    assert model.is_norm
    assert (PowerLaw() * model).value(1.0) == pytest.approx(0.7e-8)


def test_absorption_is_that_of_the_table():
    table = absorption_table()
    model = EBLAbsorptionNorm(table, redshift=0.3)
    np.testing.assert_allclose(model.value(table.energy), table.values[2], rtol=1e-12)
    np.testing.assert_allclose(model.replaced(alpha_norm=2.0).value(table.energy), table.values[2] ** 2, rtol=1e-12)
    assert model.replaced(redshift=0.0).value(50.0) <= 1  # extrapolated, never above one
    middle = model.replaced(redshift=0.2).value(table.energy)
    np.testing.assert_allclose(middle, np.sqrt(table.values[1] * table.values[2]), rtol=1e-12)
    assert model.parameters["redshift"].frozen


@pytest.mark.data
@pytest.mark.parametrize("name", EBL_FILES)
def test_published_absorption_grows_with_redshift_and_norm(name, survey_data):
    model = EBLAbsorptionNorm.read(survey_data / "ebl" / EBL_FILES[name], redshift=0.2)
    near, far = model.replaced(redshift=0.1).value(ENERGY), model.replaced(redshift=0.5).value(ENERGY)
    assert ((near >= model.value(ENERGY)) & (model.value(ENERGY) >= far) & (far >= 0) & (near <= 1)).all()
    assert model.value(0.05) > 0.9
    assert model.value(20.0) < 0.05
    assert (model.replaced(alpha_norm=1.2).value(ENERGY) <= model.value(ENERGY)).all()
    absorbed = PowerLaw() * model
    whole = absorbed.integral(0.1, 10.0)
    edges = np.geomspace(0.1, 10.0, 8)
    assert absorbed.integral(edges[:-1], edges[1:]).sum() == pytest.approx(float(whole), rel=1e-12)


def test_absorption_tables_that_are_no_such_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"EBLAbsorptionNormSpectralModel: filename .*ebl\.fits: no such file"):
        EBLAbsorptionNorm.read(tmp_path / "ebl.fits")
    from astropy.io import fits

    fits.PrimaryHDU().writeto(tmp_path / "ebl.fits")
    with pytest.raises(ValueError, match="no HDU PARAMETERS, ENERGIES, SPECTRA; expected an XSPEC table model"):
        EBLAbsorptionNorm.read(tmp_path / "ebl.fits")


@pytest.mark.parametrize("reference", REFERENCES)
def test_crab_spectra_are_near_each_other(reference):
    flux = crab_spectrum(reference).integral(1.0, 10.0)
    assert flux == pytest.approx(2.1e-7, rel=0.2)
