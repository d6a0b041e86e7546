"""Model files: round trips, units of all spellings, links, covariance, what the peer writes."""

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from survey.models import (
    AbsorptionTable,
    CompoundSpectrum,
    ConstantSpatial,
    ConstantSpectrum,
    EBLAbsorptionNorm,
    FoVBackgroundModel,
    Gaussian,
    GaussianPrior,
    GeneralizedGaussianPrior,
    LogParabola,
    MeyerCrab,
    Models,
    Parameter,
    PiecewiseNorm,
    Point,
    PowerLaw,
    PowerLawNorm,
    Scale,
    SkyModel,
    TemplateNPredModel,
    TemplateSpectrum,
    UniformPrior,
)
from survey.models.registry import model_classes
from survey.models.yaml_units import scaled, unit_factor, written_unit

TABLE = AbsorptionTable(
    energy=np.array([0.1, 1.0, 10.0]), redshift=np.array([0.1, 0.2]), values=np.array([[1, 0.9, 0.5], [1, 0.8, 0.2]])
)
HOLDERS = ("CompoundSpectralModel", "PiecewiseNormSpectralModel", "TemplateSpectralModel", "ScaleSpectralModel")
FROM_FILES = ("EBLAbsorptionNormSpectralModel", "TemplateSpatialModel")


def _plain(kind):
    """Classes of a kind that are made of parameters alone."""
    classes = {cls.tag[0]: cls for cls in model_classes(kind).values()}
    named = {tag: cls for tag, cls in classes.items() if tag not in (*HOLDERS, *FROM_FILES) and "Template" not in tag}
    return [pytest.param(cls, id=tag) for tag, cls in sorted(named.items())]


def _crooked(model):
    """The model with values, errors, limits and flags that are no defaults."""
    changed = {}
    for number, (name, item) in enumerate(model.parameters.items()):
        value = item.value * 1.0625 or 0.01
        if not item.minimum <= value <= item.maximum:
            value = item.value
        changed[name] = Parameter(
            name,
            value,
            item.unit,
            error=abs(value) / 30,
            minimum=min(value * 0.5, value * 2) if number % 2 else item.minimum,
            maximum=max(value * 0.5, value * 2) if number % 3 else item.maximum,
            frozen=not item.frozen if number % 2 else item.frozen,
            scale=item.scale,
        )
    return model.replaced(**changed)


def _again(models, **options):
    return Models.from_yaml(models.to_yaml(**options))


def _same(one, other):
    """Equal, but for the last bits of what was brought to another unit and back."""
    assert list(one) == list(other)
    assert one.parameter_names == other.parameter_names
    for name, item in one.parameters.items():
        found = other.parameters[name]
        for field in ("value", "error", "minimum", "maximum"):
            assert getattr(found, field) == pytest.approx(getattr(item, field), rel=1e-14), (name, field)
        assert (found.unit, found.frozen, found.link) == (item.unit, item.frozen, item.link), name
    for name, component in one.items():
        assert component.tag == other[name].tag
        assert [type(part) for part in component.parts.values()] == [type(p) for p in other[name].parts.values()]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("cls", _plain("spectral"))
def test_spectra(cls, full):
    models = Models([SkyModel("a", _crooked(cls()))])
    _same(_again(models, full=full), models)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("cls", _plain("spatial"))
def test_shapes(cls, full):
    frame = {} if cls is ConstantSpatial else {"frame": "galactic"}
    models = Models([SkyModel("a", PowerLaw(), _crooked(cls(**frame)))])
    assert _again(models, full=full) == models


@pytest.mark.parametrize("cls", _plain("temporal"))
def test_time_dependences(cls):
    models = Models([SkyModel("a", PowerLaw(), temporal=_crooked(cls(scale="tt")))])
    assert _again(models) == models


@pytest.mark.parametrize(
    "spectrum",
    [
        CompoundSpectrum(PowerLaw(), PowerLawNorm(norm=2.0), "mul"),
        CompoundSpectrum(CompoundSpectrum(PowerLaw(), PowerLaw(index=3), "add"), EBLAbsorptionNorm(TABLE), "mul"),
        CompoundSpectrum(TemplateSpectrum([0.1, 1, 10], [3e-7, 2e-8, 1e-9]), PowerLawNorm(), "mul"),
        CompoundSpectrum(PowerLaw(), ConstantSpectrum(const=Parameter("const", 0.7)), "mul"),
        Scale(LogParabola(beta=0.3), norm=2.0),
        TemplateSpectrum([0.1, 1, 10], [3e-7, 0, 1e-9], values_scale="lin"),
        MeyerCrab(norm=0.3),
    ],
    ids=lambda spectrum: type(spectrum).__name__,
)
def test_spectra_that_hold_others_and_tables(spectrum):
    models = Models([SkyModel("a", spectrum, Point())])
    energy = np.geomspace(0.05, 50, 20)
    for full in (False, True):
        found = _again(models, full=full)
        _same(models, found)
        np.testing.assert_allclose(found["a"].spectral.value(energy), spectrum.value(energy), rtol=1e-13)


def test_components_of_every_kind(tmp_path):
    (tmp_path / "npred.fits").write_bytes(b"")
    norms = PiecewiseNorm([0.1, 1, 10], [1, Parameter("norm_1", 2.0, frozen=True, scale=0.1), 3], interp="lin")
    models = Models(
        [
            SkyModel("a", PowerLaw(), datasets_names=("x", "y"), apply_irf={"psf": False}),
            FoVBackgroundModel.for_dataset("x", spectral=norms),
            FoVBackgroundModel("named", datasets_names="y"),
            TemplateNPredModel("b", tmp_path / "npred.fits", datasets_names=["x"]),
        ]
    )
    models.write(tmp_path / "models.yaml")
    data = yaml.safe_load((tmp_path / "models.yaml").read_text())
    assert "name" not in data["components"][1]
    assert data["components"][3]["filename"] == "npred.fits"
    assert Models.read(tmp_path / "models.yaml") == models


def test_fluxes_are_written_per_square_centimetre_with_the_digits_of_the_user():
    text = """
    components:
    - name: a
      type: sky-model
      spectral:
        type: pl
        parameters:
        - {name: index, value: 2.3}
        - {name: amplitude, value: 3.57e-12, unit: cm-2 s-1 TeV-1, error: 1.1e-13, min: 1.0e-14, max: .nan}
        - {name: reference, value: 1, unit: TeV}
    """
    models = Models.from_yaml(text)
    amplitude = models["a"].spectral.parameters["amplitude"]
    assert (amplitude.value, amplitude.error, amplitude.minimum) == (3.57e-8, 1.1e-9, 1e-10)
    entry = yaml.safe_load(models.to_yaml())["components"][0]["spectral"]["parameters"][1]
    assert entry == {"name": "amplitude", "value": 3.57e-12, "unit": "TeV-1 s-1 cm-2", "error": 1.1e-13, "min": 1e-14}


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("cm-2 s-1 TeV-1", 1e4),
        ("1 / (cm2 s TeV)", 1e4),
        ("1/(cm^2 s TeV)", 1e4),
        ("TeV**-1 cm**-2 s**-1", 1e4),
        ("ph cm-2 s-1 MeV-1", 1e10),
        ("1 / (m2 TeV s)", 1.0),
        ("m-2 s-1 GeV-1", 1e3),
        ("cm-2 s-1", None),
        ("potatoes", None),
    ],
)
def test_spellings_of_units(unit, factor):
    found = unit_factor(unit, "TeV-1 s-1 m-2")
    assert found == (None if factor is None else pytest.approx(factor, rel=1e-12))


def test_areas_are_written_in_square_centimetres_and_times_are_left():
    assert [written_unit(unit) for unit in ("TeV-1 s-1 m-2", "s-1 m-2", "m2 s", "deg", "d-1", "rad d-1")] == [
        "TeV-1 s-1 cm-2", "s-1 cm-2", "cm2 s", "deg", "d-1", "rad d-1",
    ]  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(st.integers(-(10**15), 10**15), st.integers(-60, 60), st.sampled_from([1e4, 1e-4, 1e10, 1e-6]))
def test_powers_of_ten_keep_the_digits(digits, exponent, factor):
    value = float(f"{digits}e{exponent}")
    assert scaled(scaled(value, factor), 1 / factor) == value


def test_numbers_without_a_point_and_with_their_unit():
    text = """
    components:
    - name: a
      type: SkyModel
      spectral:
        type: PowerLawSpectralModel
        parameters:
        - {name: index, value: 2}
        - {name: amplitude, value: 1e-12, unit: cm-2 s-1 TeV-1, max: "1e-10 cm-2 s-1 TeV-1"}
        - {name: reference, value: 500 GeV}
    """
    parameters = Models.from_yaml(text)["a"].spectral.parameters
    assert (parameters["amplitude"].value, parameters["amplitude"].maximum) == (1e-8, 1e-6)
    assert parameters["reference"].value == 0.5


def test_priors_are_in_the_unit_of_their_parameter():
    amplitude = Parameter("amplitude", 3e-8, "TeV-1 s-1 m-2", prior=GaussianPrior(mu=2e-8, sigma=1e-9, weight=0.5))
    index = Parameter("index", 2.0, scale=0.1, prior=UniformPrior(min=1, max=4))
    reference = Parameter(
        "reference", 1.0, "TeV", frozen=True, prior=GeneralizedGaussianPrior(mu=1.0, sigma=2.0, eta=0.3)
    )
    models = Models([SkyModel("a", PowerLaw(amplitude=amplitude, index=index, reference=reference))])
    entry = yaml.safe_load(models.to_yaml())["components"][0]["spectral"]["parameters"][1]["prior"]
    assert [item["value"] for item in entry["parameters"]] == [2e-12, 1e-13]
    found = _again(models)["a"].spectral.parameters
    for name in ("amplitude", "index", "reference"):
        assert found[name].prior == models["a"].spectral.parameters[name].prior


def test_links_by_label_survive():
    text = """
    components:
    - name: a
      type: SkyModel
      spectral:
        type: PowerLawSpectralModel
        parameters:
        - {name: index, value: 2.5, error: 0.1, max: 4.0, link: index@d2VY}
        - {name: amplitude, value: 1.0e-12, unit: cm-2 s-1 TeV-1}
    - name: b
      type: SkyModel
      spectral:
        type: PowerLawSpectralModel
        parameters:
        - {name: index, value: 2.5, link: index@d2VY}
        - {name: amplitude, value: 1.0e-12, unit: cm-2 s-1 TeV-1}
    """
    models = Models.from_yaml(text)
    assert models.vector.names == ("index@d2VY", "a.spectral.amplitude", "b.spectral.amplitude")
    assert models["b"].spectral.parameters["index"] == models["a"].spectral.parameters["index"]
    assert _again(models) == models


def _chain(*links):
    """Power laws 0, 1, ... whose index is linked as given, or has the value 2.5."""
    components = [
        {
            "name": f"s{k}",
            "type": "SkyModel",
            "spectral": {
                "type": "pl",
                "parameters": [
                    {"name": "index", "value": 2.5} if link is None else {"name": "index", "link": link},
                    {"name": "amplitude", "value": 1e-12, "unit": "cm-2 s-1 TeV-1"},
                ],
            },
        }
        for k, link in enumerate(links)
    ]
    return {"components": components}


def test_links_by_path_may_chain_and_become_labels():
    models = Models.from_dict(_chain("s1.spectral.index", "s2.spectral.index", None))
    assert [item.spectral.index for item in models.values()] == [2.5] * 3
    assert models.vector.names[0] == "index@s2.spectral"
    assert _again(models) == models
    joined = Models.from_dict(_chain("s1.spectral.index", None))
    assert joined.with_parameters({"s0.spectral.index": 3.0})["s1"].spectral.index == 3.0


def test_covariance_beside_the_file(tmp_path):
    index = Parameter("index", 2.3, link="index@x", scale=0.1)
    models = Models(
        [SkyModel("a", PowerLaw(index=index), Point()), SkyModel("b", PowerLaw(index=index), Gaussian(sigma=0.2))]
    )
    rng = np.random.default_rng(3)
    size = len(models.vector.names)
    root = rng.normal(size=(size, size)) * models.vector.steps[:, None]
    models = models.with_vector(models.vector.values, root @ root.T)
    models.write(tmp_path / "models.yaml")
    assert (tmp_path / "models_covariance.dat").exists()
    found = Models.read(tmp_path / "models.yaml")
    np.testing.assert_allclose(found.covariance, models.covariance, rtol=1e-12, atol=0)
    np.testing.assert_allclose(found.vector_covariance, root @ root.T, rtol=1e-12)
    _same(found, models)
    with pytest.raises(ValueError, match=r"models.yaml: exists already"):
        models.write(tmp_path / "models.yaml")
    models.write(tmp_path / "models.yaml", covariance=False, overwrite=True)
    assert "covariance" not in yaml.safe_load((tmp_path / "models.yaml").read_text())


def test_covariance_of_linked_parameters_is_that_of_the_first(tmp_path):
    """The peer writes zeros for the others."""
    data = _chain("s1.spectral.index", None)
    names = Models.from_dict(data).parameter_names
    matrix = np.zeros((6, 6))
    matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1] = 0.04, 1e-14, 1e-14, 1e-26
    lines = ["| Parameters | " + " | ".join(str(k) for k in range(6)) + " |"]
    lines += [f"| {name} | " + " | ".join(str(v) for v in row) + " |" for name, row in zip(names, matrix, strict=True)]
    (tmp_path / "c.dat").write_text("\n".join(lines))
    models = Models.from_dict(data | {"covariance": "c.dat"}, folder=tmp_path)
    assert models["s1"].spectral.parameters["index"].error == pytest.approx(0.2)
    assert models.covariance[0, 3] == models.covariance[3, 3] == 0.04
    assert models.covariance[3, 1] == pytest.approx(1e-10)


def test_absorption_table_is_found_beside_the_file_and_in_the_data(tmp_path, monkeypatch):
    from astropy.io import fits

    columns = {
        "PARAMETERS": [fits.Column("VALUE", "2D", array=[[0.1, 0.2]])],
        "ENERGIES": [
            fits.Column("ENERG_LO", "D", array=[1e8, 1e9]),
            fits.Column("ENERG_HI", "D", array=[1e9, 1e10]),
        ],
        "SPECTRA": [
            fits.Column("PARAMVAL", "D", array=[0.1, 0.2]),
            fits.Column("INTPSPEC", "2D", array=[[1, 0.5], [1, 0.3]]),
        ],
    }
    (tmp_path / "ebl").mkdir()
    units = [fits.BinTableHDU.from_columns(value, name=name) for name, value in columns.items()]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(tmp_path / "ebl" / "table.fits")
    spectrum = CompoundSpectrum(PowerLaw(), EBLAbsorptionNorm.read(tmp_path / "ebl" / "table.fits"), "mul")
    models = Models([SkyModel("a", spectrum)])
    models.write(tmp_path / "ebl" / "models.yaml")
    assert "filename: table.fits" in (tmp_path / "ebl" / "models.yaml").read_text()
    assert Models.read(tmp_path / "ebl" / "models.yaml") == models
    elsewhere = models.to_yaml().replace(str(tmp_path), "/no/such")
    monkeypatch.setenv("SURVEY_DATA", str(tmp_path))
    assert Models.from_yaml(elsewhere) == models


def test_parameters_that_are_left_out_have_their_defaults():
    text = """
    components:
    - name: a
      type: SkyModel
      spatial: {type: DiskSpatialModel, frame: icrs, parameters: [{name: lon_0, value: 1, unit: deg}]}
      spectral: {type: ConstantSpectralModel, parameters: []}
    """
    with pytest.warns(UserWarning, match=r"a.spatial: not in the file, so by default: lat_0 = 0 deg, r_0 = 1 deg"):
        models = Models.from_yaml(text)
    assert models["a"].spatial.edge_width == 0.01


def test_other_content_of_the_file_is_left_alone():
    """Results of fits stand in the same file."""
    data = {"optimize_result": {"success": True}, "metadata": {"creator": "x"}, **_chain(None)}
    assert list(Models.from_yaml(yaml.safe_dump(data))) == ["s0"]
    old = {"interp": "log", "scale_method": "scale10", "scale_transform": "lin", "scale": 1.0, "scan_min": None}
    data["components"][0]["spectral"]["parameters"][0] |= old
    assert list(Models.from_yaml(yaml.safe_dump(data))) == ["s0"]


def test_old_template_of_counts(tmp_path):
    """Before Gammapy 0.19 a background had its parameters without a spectrum."""
    (tmp_path / "b.fits").write_bytes(b"")
    entry = {
        "name": "b",
        "type": "TemplateNPredModel",
        "datasets_names": "x",
        "filename": "b.fits",
        "parameters": [{"name": "norm", "value": 1.01, "unit": "", "frozen": False}],
    }
    component = Models.from_dict({"components": [entry]}, folder=tmp_path)["b"]
    assert (component.spectral.norm, component.datasets_names) == (1.01, ("x",))
