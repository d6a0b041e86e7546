"""What model files are refused for: a line each, with component and key."""

import copy

import numpy as np
import pytest
import yaml

from survey.models import (
    FoVBackgroundModel,
    Models,
    ModelsError,
    Parameter,
    PowerLaw,
    SkyModel,
    TemplateNPredModel,
)
from survey.models.links import resolve_links
from survey.models.spatial import to_icrs_matrix, unit_vectors
from survey.models.spatial_template import TemplateSpatial
from survey.refusal import Refusal

GOOD = {
    "name": "crab",
    "type": "SkyModel",
    "datasets_names": ["a"],
    "apply_irf": {"exposure": True, "psf": True, "edisp": True},
    "spectral": {
        "type": "PowerLawSpectralModel",
        "parameters": [
            {"name": "index", "value": 2.3, "min": 0.0, "max": 5.0},
            {"name": "amplitude", "value": 3.5e-12, "unit": "cm-2 s-1 TeV-1"},
            {"name": "reference", "value": 1.0, "unit": "TeV", "frozen": True},
        ],
    },
    "spatial": {
        "type": "GaussianSpatialModel",
        "frame": "icrs",
        "parameters": [
            {"name": "lon_0", "value": 83.6, "unit": "deg"},
            {"name": "lat_0", "value": 22.0, "unit": "deg"},
            {"name": "sigma", "value": 0.1, "unit": "deg"},
        ],
    },
}
INDEX, AMPLITUDE, SIGMA = ("spectral", "parameters", 0), ("spectral", "parameters", 1), ("spatial", "parameters", 2)
LEFT_OUT = object()


def _changed(path, value, start=GOOD):
    """The good component with one entry changed."""
    data = copy.deepcopy(start)
    target = data
    for key in path[:-1]:
        target = target[key]
    if value is LEFT_OUT:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return data


def _refusal(*components, **others):
    with pytest.raises(ModelsError) as caught:
        Models.from_dict({"components": list(components), **others})
    return str(caught.value)


CASES = [
    (("type",), "SkyModle", "crab.type: unknown 'SkyModle', expected the type of a component; nearest: SkyModel"),
    (
        ("spectral", "type"),
        "PowerLawSpectralModle",
        "crab.spectral.type: unknown 'PowerLawSpectralModle', expected the tag of a spectral model; "
        "nearest: PowerLawSpectralModel",
    ),
    (
        ("spatial", "type"),
        "gaus",
        "crab.spatial.type: unknown 'gaus', expected the tag of a spatial model; nearest: gauss",
    ),
    (("spatial", "type"), "PowerLawSpectralModel", "crab.spatial.type: unknown 'PowerLawSpectralModel'"),
    (("spectral", "type"), None, "crab.spectral.type: unknown None"),
    (("spectral", "type"), LEFT_OUT, "crab.spectral.type: missing"),
    (
        ("spectral", "type"),
        "NaimaSpectralModel",
        "crab.spectral.type: NaimaSpectralModel: Gammapy writes it but cannot",
    ),
    (("name",), LEFT_OUT, "components[0].name: missing, expected the name of the component"),
    (("name",), 3, "components[0].name: 3, expected a text; put it in quotes"),
    (("spectral",), LEFT_OUT, "crab.spectral: missing, expected type and parameters of a spectrum"),
    (("spatail",), {}, "crab.spatail: unknown key; nearest: spatial"),
    (("apply_irf",), {"psff": True}, "crab.apply_irf.psff: unknown; nearest: psf"),
    (("apply_irf",), {"psf": 1}, "crab.apply_irf.psf: 1, expected true or false"),
    (("datasets_names",), 3, "crab.datasets_names: 3, expected a list of names"),
    (
        ("spatial", "frame"),
        "altaz",
        "crab.spatial: GaussianSpatialModel: frame 'altaz'; expected one of icrs, galactic",
    ),
    (("spectral", "frame"), "icrs", "crab.spectral.frame: unknown key"),
    ((*AMPLITUDE, "unit"), LEFT_OUT, "crab.spectral.amplitude.unit: missing, expected a unit such as TeV-1 s-1 cm-2"),
    ((*AMPLITUDE, "unit"), "", "crab.spectral.amplitude.unit: missing, expected a unit such as TeV-1 s-1 cm-2"),
    ((*AMPLITUDE, "unit"), "cm-2 s-1", "crab.spectral.amplitude.unit: 'cm-2 s-1', expected a unit such as TeV-1"),
    ((*INDEX, "unit"), "TeV", "crab.spectral.index.unit: 'TeV', expected no unit"),
    ((*INDEX, "value"), 5.5, "crab.spectral.index.value: 5.5 is outside its limits [0, 5]; change value, min or max"),
    ((*SIGMA, "value"), -0.1, "crab.spatial.sigma.value: -0.1 is outside its limits [0, inf] in deg"),
    ((*INDEX, "min"), 7, "crab.spectral.index.min: 7 is above max 5"),
    ((*INDEX, "value"), "steep", "crab.spectral.index.value: 'steep', expected a number"),
    (
        (*AMPLITUDE, "value"),
        "1 potato",
        "crab.spectral.amplitude.value: '1 potato', expected a number in cm-2 s-1 TeV-1",
    ),
    ((*INDEX, "value"), float("nan"), "crab.spectral.index.value: nan, expected a finite number"),
    ((*INDEX, "value"), LEFT_OUT, "crab.spectral.index.value: missing, expected a number"),
    ((*INDEX, "frozen"), "no", "crab.spectral.index.frozen: 'no', expected true or false"),
    ((*INDEX, "frozn"), True, "crab.spectral.index.frozn: unknown key; nearest: frozen"),
    ((*INDEX, "name"), "indx", "crab.spectral.parameters[0].name: no parameter 'indx'; nearest: index"),
    ((*SIGMA, "name"), "lat_0", "crab.spatial.lat_0: given twice; take out one"),
    (
        (*INDEX, "link"),
        "other.spectral.index",
        "crab.spectral.index.link: 'other.spectral.index' is no parameter; nearest",
    ),
    ((*INDEX, "link"), 3, "crab.spectral.index.link: 3, expected a label or the path of a parameter"),
    ((*INDEX, "prior"), {"type": "GausPrior"}, "crab.spectral.index.prior.type: unknown 'GausPrior', expected"),
    ((*INDEX, "prior"), 3, "crab.spectral.index.prior: 3, expected type and parameters"),
    (
        (*INDEX, "prior"),
        {"type": "GaussianPrior", "parameters": [{"name": "sigma", "value": -1}]},
        "crab.spectral.index.prior: GaussianPrior: sigma -1.0, expected a positive value",
    ),
]


@pytest.mark.parametrize(
    ("path", "value", "line"), CASES, ids=[f"{'.'.join(map(str, c[0]))}={c[1]!s:.12}" for c in CASES]
)
@pytest.mark.filterwarnings("ignore:crab.sp.+ not in the file")
def test_component(path, value, line):
    text = _refusal(_changed(path, value))
    assert text.startswith(line) or any(one.startswith(line) for one in text.splitlines()), text


def test_all_problems_are_told_at_once_with_the_file(tmp_path):
    bad = _changed((*AMPLITUDE, "unit"), LEFT_OUT)
    bad = _changed((*SIGMA, "value"), -1, bad)
    other = _changed(("name",), "vela", _changed(("spectral", "type"), "plaw"))
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"components": [bad, other]}))
    with pytest.raises(ModelsError) as caught:
        Models.read(tmp_path / "m.yaml")
    lines = caught.value.lines
    assert [line.removeprefix(f"{tmp_path}/m.yaml: ").split(": ")[0] for line in lines] == [
        "crab.spectral.amplitude.unit",
        "crab.spatial.sigma.value",
        "vela.spectral.type",
    ]
    assert isinstance(caught.value, Refusal)
    assert isinstance(caught.value, ValueError)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ModelsError, match=r"m.yaml: cannot be read \(No such file"):
        Models.read(tmp_path / "m.yaml")
    for text, line in [
        ("a: [", "no YAML in line"),
        ("3", "components: expected a list of models"),
        ("component: []", "components: expected a list of models; nearest: component"),
        ("components: [3]", r"components\[0\]: 3, expected a model with name, type and spectral"),
    ]:
        with pytest.raises(ModelsError, match=line):
            Models.from_yaml(text)


def test_names_that_repeat():
    assert _refusal(GOOD, GOOD) == "crab: 2 components have this name; give each its own"
    model = SkyModel("a", PowerLaw())
    with pytest.raises(ModelsError, match="a: 2 components have this name"):
        Models([model, model])


def test_two_backgrounds_of_one_dataset():
    one, two = FoVBackgroundModel.for_dataset("x"), FoVBackgroundModel("other", datasets_names="x")
    with pytest.raises(ModelsError, match=r"\w+, \w+: all are background models of the dataset x, expected one"):
        Models([one, two])
    with pytest.raises(ModelsError, match=r"b.datasets_names: \['x', 'y'\], expected the name of one dataset"):
        FoVBackgroundModel("b", datasets_names=["x", "y"])
    assert _refusal({"type": "FoVBackgroundModel"}).startswith("components[0].datasets_names: None, expected the name")


def _indices(*links):
    """Components s0, s1, ... whose index is linked as given."""
    entries = []
    for k, link in enumerate(links):
        entry = _changed(("name",), f"s{k}")
        entry["spectral"]["parameters"][0] = {"name": "index", **link}
        entries.append(entry)
    return entries


@pytest.mark.parametrize(
    ("links", "circle"),
    [
        ((0,), "s0.spectral.index -> s0.spectral.index"),
        ((1, 0), "s0.spectral.index -> s1.spectral.index -> s0.spectral.index"),
        ((1, 2, 3, 1), "s1.spectral.index -> s2.spectral.index -> s3.spectral.index -> s1.spectral.index"),
    ],
)
def test_circular_links_name_the_chain_once(links, circle):
    entries = _indices(*({"link": f"s{k}.spectral.index", "value": 2.0} for k in links))
    first = circle.split(" ", 1)[0]
    assert _refusal(*entries) == f"{first}.link: circular link: {circle}; give one of them a value and no link"


def test_links_between_parameters_that_differ():
    text = _refusal(*_indices({"value": 2.0, "link": "index@x"}, {"value": 2.5, "link": "index@x"}))
    assert text == (
        "s1.spectral.index.value: 2.5 differs from 2, with which link 'index@x' joins it; give both the same value"
    )
    text = _refusal(*_indices({"value": 2.0}, {"value": 2.0, "link": "s0.spectral.amplitude"}))
    assert text.startswith(
        "s1.spectral.index.link: 's0.spectral.amplitude' joins it, in no unit, with a parameter in TeV-1"
    )
    index = Parameter("index", 2.0, link="x")
    with pytest.raises(ModelsError, match=r"link 'x' joins parameters of different values"):
        Models([SkyModel("a", PowerLaw(index=index)), SkyModel("b", PowerLaw(index=index.with_value(3)))])
    frozen = Parameter("index", 2.0, link="x", frozen=True)
    with pytest.raises(ModelsError, match=r"b.spectral.index.frozen: true, but a.spectral.index, with which link 'x'"):
        Models([SkyModel("a", PowerLaw(index=index)), SkyModel("b", PowerLaw(index=frozen))])


def test_links_of_nothing_are_nothing():
    assert resolve_links({}, set()) == {}


@pytest.mark.parametrize(
    ("spectral", "line"),
    [
        ({"type": "compound", "operator": "mul"}, "crab.spectral.model1: None, expected type and parameters"),
        (
            {"type": "compound", "model1": GOOD["spectral"], "model2": GOOD["spectral"], "operator": "pow"},
            "crab.spectral.operator: 'pow', expected one of add, sub, mul",
        ),
        (
            {"type": "compound", "model1": GOOD["spectral"], "model2": GOOD["spectral"], "operator": "mul"},
            "crab.spectral: CompoundSpectralModel: a product of PowerLawSpectralModel in TeV-1 s-1 m-2",
        ),
        ({"type": "scale", "parameters": []}, "crab.spectral.model: missing (Gammapy does not write it), expected"),
        ({"type": "template"}, "crab.spectral.energy: missing"),
        (
            {"type": "template", "energy": {"data": [1, 2]}, "values": {"data": [1, 2], "unit": ""}},
            "crab.spectral.energy.unit: missing, expected a unit such as TeV",
        ),
        (
            {"type": "template", "energy": {"data": [1, 2], "unit": "TeV"}, "values": {"data": [1, 2], "unit": "cm2"}},
            "crab.spectral.values.unit: 'cm2', expected a unit such as TeV-1 s-1 cm-2",
        ),
        (
            {"type": "template", "energy": {"data": [1, "x"], "unit": "TeV"}, "values": {"data": [1, 2], "unit": ""}},
            "crab.spectral.energy.data: expected a list of numbers",
        ),
        (
            {
                "type": "template",
                "energy": {"data": [1, 2], "unit": "TeV"},
                "values": {"data": [1, 2], "unit": ""},
                "parameters": [{"name": "norm", "value": 2.0}],
            },
            "crab.spectral.parameters[0].name: 'norm', but the model has no parameters",
        ),
        (
            {"type": "piecewise-norm", "energy": {"data": [2, 1], "unit": "TeV"}},
            "crab.spectral: PiecewiseNormSpectralModel: energy [2. 1.]; expected positive, increasing energies",
        ),
        ({"type": "ebl-norm", "filename": "no.fits"}, "crab.spectral.filename: no.fits: no such file"),
    ],
)
def test_spectra_that_hold_others(spectral, line):
    assert _refusal(_changed(("spectral",), spectral)).startswith(line)


def test_template_of_counts_without_its_file():
    entry = {"name": "b", "type": "TemplateNPredModel"}
    assert _refusal(entry) == "b.filename: missing, expected the name of a file"
    assert _refusal(entry | {"filename": "no.fits"}).startswith("b.filename: no.fits: no such file")
    with pytest.raises(ModelsError, match=r"b.datasets_names: \['x', 'y'\]"):
        TemplateNPredModel("b", "no.fits", datasets_names=["x", "y"])


def test_covariance_of_other_models(tmp_path):
    assert _refusal(GOOD, covariance="no.dat").startswith("covariance: no.dat cannot be read (No such file")
    (tmp_path / "c.dat").write_text("| Parameters | 0 |\n| index | 1.0 |\n")
    with pytest.raises(
        ModelsError, match=r"covariance: .*c.dat holds 1 rows, expected one for each of the 8 parameters"
    ):
        Models.from_dict({"components": [GOOD], "covariance": "c.dat"}, folder=tmp_path)
    (tmp_path / "c.dat").write_text("| Parameters | 0 |\n| index | x |\n")
    with pytest.raises(ModelsError, match=r"covariance: .*c.dat: row 'index' does not hold 8 numbers"):
        Models.from_dict({"components": [GOOD], "covariance": "c.dat"}, folder=tmp_path)
    with pytest.raises(ModelsError, match=r"covariance: shape \(2, 2\), expected \(3, 3\)"):
        Models([SkyModel("a", PowerLaw())], covariance=np.eye(2))


def _image(path, *, edge, cube=False):
    """A Gaussian of 2 x 2 degrees at the Galactic centre, on a constant."""
    from astropy.io import fits
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = (
        ["GLON-CAR", "GLAT-CAR"],
        [0, 0],
        [-0.1, 0.1],
        [10.5, 10.5],
    )
    y, x = np.indices((20, 20)) - 9.5
    data = np.exp(-0.5 * (x**2 + y**2) / 2.0**2) + edge
    header = wcs.to_header()
    header["BUNIT"] = "sr-1"
    units = [fits.PrimaryHDU(np.stack([data, data]) if cube else data, header)]
    if cube:
        units.append(
            fits.BinTableHDU.from_columns([fits.Column("Energy", "D", unit="TeV", array=[1, 10])], name="ENERGIES")
        )
    fits.HDUList(units).writeto(path)


class _Map:
    """Pixels of a square around the Galactic centre."""

    def __init__(self, half, shift=0.0):
        lon, lat = np.meshgrid(np.arange(-half, half + 0.01, 0.1) + shift, np.arange(-half, half + 0.01, 0.1))
        self.vectors = to_icrs_matrix("galactic") @ unit_vectors(lon.ravel(), lat.ravel())
        self.solid_angle = np.full(lon.size, 3e-6)


@pytest.mark.parametrize(
    ("half", "shift", "edge", "normalize", "refused"),
    [
        (0.8, 0.0, 0.5, False, False),  # covered
        (3.0, 0.0, 0.5, False, True),
        (3.0, 0.0, 0.01, False, True),
        (3.0, 0.0, 0.0, False, False),  # fades before its edge
        (3.0, 0.0, 0.01, True, False),  # noise around a source
        (3.0, 0.0, 0.5, True, True),
        (0.8, 9.0, 0.5, False, False),  # wholly elsewhere
    ],
)
def test_template_that_ends_inside_the_map(tmp_path, half, shift, edge, normalize, refused):
    _image(tmp_path / "image.fits", edge=edge)
    spatial = TemplateSpatial.read(tmp_path / "image.fits", normalize=normalize)
    models = Models([SkyModel("diffuse", PowerLaw(), spatial), SkyModel("other", PowerLaw())])
    if refused:
        with pytest.raises(
            ModelsError, match=r"diffuse.spatial.filename: image.fits covers \d+ of 3721 pixels of the map"
        ):
            models.check_covers(_Map(half, shift))
    else:
        models.check_covers(_Map(half, shift))


def test_cube_that_ends_inside_the_energies(tmp_path):
    _image(tmp_path / "cube.fits", edge=0.5, cube=True)
    models = Models([SkyModel("diffuse", PowerLaw(), TemplateSpatial.read(tmp_path / "cube.fits"))])
    models.check_covers(_Map(0.8), energy=[1.0, 10.0])
    with pytest.raises(ModelsError, match=r"cube.fits covers 1 to 10 TeV, expected 0.01 to 10 TeV"):
        models.check_covers(_Map(0.8), energy=[0.01, 10.0])


def test_template_of_counts_has_to_cover_the_map(tmp_path):
    _image(tmp_path / "counts.fits", edge=0.0)
    models = Models([TemplateNPredModel("bkg", tmp_path / "counts.fits")])
    models.check_covers(_Map(0.8))
    with pytest.raises(ModelsError, match=r"bkg.filename: counts.fits covers \d+ of 3721 pixels"):
        models.check_covers(_Map(3.0))


def test_template_that_cannot_be_read(tmp_path):
    (tmp_path / "image.fits").write_bytes(b"SIMPLE")
    part = {"type": "TemplateSpatialModel", "filename": "image.fits"}
    with pytest.raises(ModelsError, match=r"crab.spatial: "):
        Models.from_dict({"components": [_changed(("spatial",), part)]}, folder=tmp_path)
    part["filename"] = "none.fits"
    assert _refusal(_changed(("spatial",), part)).startswith("crab.spatial.filename: none.fits: no such file")


def test_template_round_trip(tmp_path):
    _image(tmp_path / "image.fits", edge=0.0)
    for normalize in (True, False):
        spatial = TemplateSpatial.read(tmp_path / "image.fits", normalize=normalize)
        models = Models([SkyModel("a", PowerLaw(), spatial)])
        models.write(tmp_path / "models.yaml", overwrite=True)
        entry = yaml.safe_load((tmp_path / "models.yaml").read_text())["components"][0]["spatial"]
        assert (entry["filename"], entry["normalize"], entry["unit"]) == ("image.fits", normalize, "sr-1")
        assert Models.read(tmp_path / "models.yaml") == models
        assert Models.from_dict(models.as_dict()) == models
