"""The configuration: Gammapy's files hold, units are asked for, every problem is told in one line."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from astropy import units as u
from astropy.coordinates import Angle
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config import ClusterConfig
from survey.config import ConfigError, SurveyConfig, load_config

GAMMAPY = Path(__file__).parent / "gammapy-2.1-defaults.yaml"
POSITION = "datasets.geom.wcs.skydir={frame: icrs, lon: 83.633 deg, lat: 22.014 deg}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an empty data store, where $SURVEY_DATA and $GAMMAPY_DATA lead."""
    (tmp_path / "hess-dl3-dr1").mkdir()
    monkeypatch.setenv("SURVEY_DATA", str(tmp_path))
    monkeypatch.setenv("GAMMAPY_DATA", str(tmp_path))
    return tmp_path


def write(folder: Path, text: str = "") -> Path:
    path = folder / "field.yaml"
    path.write_text(dedent(text))
    return path


def problems(folder: Path, *overrides: str, text: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, text), [POSITION, *overrides])
    return [line.removeprefix("field.yaml: ") for line in caught.value.lines]


def test_a_position_is_all_that_a_file_needs(folder: Path) -> None:
    config = load_config(write(folder), [POSITION])
    assert config.observations.datastore == (str(folder / "hess-dl3-dr1"),)
    assert config.datasets.kind == "3d"
    assert config.datasets.geom.wcs.binsize == Angle("0.02 deg")
    assert config.general.outdir == str(folder / "out-field")
    assert (config.excess_map, config.ts_map, config.fit) == (None, None, None)


# ------------------------------------------------------------------ Gammapy's files


def test_sections_with_gammapys_defaults_count_as_absent(folder: Path) -> None:
    text = GAMMAPY.read_text()
    assert problems_of_gammapy(folder, text) == [
        "datasets.geom.wcs.skydir: missing, expected frame, lon and lat of the grid's centre"
    ]
    config = load_config(write(folder, text), [POSITION, "datasets.type=3d"])
    assert (config.excess_map, config.fit, config.flux_points, config.light_curve) == (None, None, None, None)
    assert "excess_map" in config.notes[0]
    assert load_config(write(folder), [POSITION]).datasets.geom == config.datasets.geom


def problems_of_gammapy(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, text))
    return [line.removeprefix("field.yaml: ") for line in caught.value.lines]


def test_the_defaults_hold_in_any_unit(folder: Path) -> None:
    config = load_config(write(folder), [POSITION, "excess_map.correlation_radius=6 arcmin", "fit={}"])
    assert config.excess_map is None


def test_one_value_that_is_no_default_makes_a_section_count(folder: Path) -> None:
    text = GAMMAPY.read_text().replace("correlation_radius: 0.1 deg", "correlation_radius: 0.2 deg")
    config = load_config(write(folder, text), [POSITION, "datasets.type=3d"])
    assert config.excess_map is not None
    assert config.excess_map.correlation_radius.deg == 0.2


def test_a_key_that_gammapy_lacks_makes_a_section_count(folder: Path) -> None:
    assert load_config(write(folder), [POSITION, "excess_map={index: 2}"]).excess_map is not None
    assert load_config(write(folder), [POSITION, "ts_map={}"]).ts_map is not None


def test_the_documented_example_of_gammapy_names_what_is_not_there_yet(folder: Path) -> None:
    text = """
        general: {log: {level: INFO, filename: filename.log, filemode: w}, outdir: .}
        observations:
            datastore: $GAMMAPY_DATA/hess-dl3-dr1/
            obs_ids: [23523, 23526]
            obs_file:
            obs_cone: {frame: icrs, lon: 83.633 deg, lat: 22.014 deg, radius: 3 deg}
            obs_time: {start: '2019-12-01', stop: 2020-03-01}
        datasets:
            type: 3d
            stack: false
            background: {method: ring, exclusion: , parameters: {r_in: 0.7 deg, width: 0.7 deg}}
            safe_mask: {methods: ['aeff-default', 'offset-max'], parameters: {offset_max: 2.5 deg}}
            containment_correction: true
        fit: {fit_range: {min: 0.1 TeV, max: 10 TeV}}
        flux_points: {energy: {min: 0.1 TeV, max: 10 TeV, nbins: 30}, source: source, parameters: {}}
        excess_map: {correlation_radius: 0.1 deg, energy_edges: {min: 0.1 TeV, max: 10 TeV, nbins: 1}, parameters: {}}
    """
    assert problems(folder, text=text) == [
        "fit: the stage fit does not exist yet; take this section out",
        "flux_points: the stage flux_points does not exist yet; take this section out",
        "datasets.background.method: found 'ring', which does not exist yet; use fov_background",
        "datasets.stack: found False; unstacked datasets do not exist yet: say true",
    ]


@pytest.mark.parametrize("name", ["fit", "flux_points", "light_curve", "catalog"])
def test_sections_whose_stage_does_not_exist_yet_are_refused_by_name(folder: Path, name: str) -> None:
    (line,) = problems(folder, f"{name}={{something: 1}}")
    assert line.startswith(f"{name}: the stage {name} does not exist yet")


def test_1d_is_refused_said_or_meant(folder: Path) -> None:
    region = "datasets.on_region={frame: icrs, lon: 83.6 deg, lat: 22 deg, radius: 0.1 deg}"
    assert "1d" in problems(folder, "datasets.type=1d")[0]
    assert "left out with an on_region, which means 1d" in problems(folder, region)[0]
    assert load_config(write(folder), [POSITION, region, "datasets.type=3d"]).datasets.kind == "3d"


@pytest.mark.parametrize(
    ("overrides", "workers"),
    [([], 2), (["general.n_jobs=1"], 2), (["general.n_jobs=4"], 4), (["general.n_jobs=4", "cluster.workers=3"], 3)],
)
def test_workers_of_the_cluster_win_over_n_jobs(folder: Path, overrides: list[str], workers: int) -> None:
    config = load_config(write(folder), [POSITION, *overrides])
    assert config.cluster.workers == workers
    assert load_config(yaml.safe_load(config.to_yaml())).cluster.workers == workers


def test_n_jobs_may_be_changed_later_and_fits_the_jobs(folder: Path) -> None:
    config = load_config(write(folder), [POSITION, "general.n_jobs=4"])
    assert load_config(config, ["general.n_jobs=5"]).cluster.workers == 5
    slurm = "cluster={kind: slurm, memory: 1 GB, jobs: 4}"
    assert load_config(write(folder), [POSITION, "general.n_jobs=4", slurm]).cluster.workers_a_job == 1
    assert problems(folder, "general.n_jobs=6", slurm) == [
        "cluster.jobs: found 4, which does not divide cluster.workers, 6"
    ]


def test_paths_of_the_cluster_are_those_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISK", str(folder / "disk"))
    monkeypatch.delenv("NOWHERE", raising=False)

    def cluster(text: str) -> ClusterConfig:
        return load_config(write(folder), [POSITION, f"cluster={text}"]).cluster

    assert cluster("{scratch: $DISK/a}").scratch == str(folder / "disk/a")
    assert cluster("{scratch: ~/a}").scratch == str(Path.home() / "a")
    assert cluster("{kind: slurm, memory: 1 GB, scratch: $DISK/a}").scratch == "$DISK/a"  # of the job's machine
    assert cluster("{kind: existing, scheduler_file: a.json}").scheduler_file == str(folder / "a.json")
    files = cluster("{tls: true, tls_ca: ca.pem, tls_cert: $DISK/c.pem, tls_key: ~/k.pem}")
    assert (files.tls_ca, files.tls_cert) == (str(folder / "ca.pem"), str(folder / "disk/c.pem"))
    assert problems(folder, "cluster={kind: existing, scheduler_file: $NOWHERE/a}") == [
        "cluster.scheduler_file: found '$NOWHERE/a', expected a path whose variables are set; $NOWHERE is not. "
        "Say: export NOWHERE=/path/to/data"
    ]


# ------------------------------------------------------------------ problems


def test_all_problems_are_told_at_once_with_their_paths(folder: Path) -> None:
    assert problems(
        folder,
        "datasets.geom.wcs.binsize=0.02",
        "datasets.geom.wcs.binsz=1 deg",
        "datasets.geom.axes.energy={min: 10 TeV, max: 1 TeV, nbins: 3}",
        "observations.datastore=$SURVEY_DATA/nowhere",
        "observations.obs_ids=[1, crab]",
        "ts_map.model={spatial: gauss}",
        "fit.fit_range.min=1 TeV",
        "binsize_irf=0.2 deg",
    ) == [
        "fit: the stage fit does not exist yet; take this section out",
        f"observations.datastore: found '$SURVEY_DATA/nowhere', expected something that exists; there is nothing at "
        f"{folder}/nowhere",
        "observations.obs_ids[1]: found 'crab', expected a valid integer",
        "datasets.geom.wcs.binsize: found 0.02, expected an angle with a unit, such as '0.5 deg'",
        "datasets.geom.wcs.binsz: unknown key; did you mean datasets.geom.wcs.binsize?",
        "datasets.geom.axes.energy: found min 10.0 TeV and max 1.0 TeV, an empty energy range; expected min below max",
        "ts_map.model.spatial: found 'gauss', expected one of point, gaussian, disk; did you mean gaussian?",
        "binsize_irf: unknown key; did you mean datasets.geom.wcs.binsize_irf?",
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("datasets.geom.wcs.binsize=1 TeV", "an angle with a unit"),
        ("datasets.geom.wcs.binsize=0 deg", "above zero"),
        ("datasets.geom.wcs.binsize=9 deg", "pixels smaller than the grid"),
        ("datasets.geom.wcs.width.width=400 deg", "at most 360 deg"),
        ("datasets.geom.wcs.proj=SIN", "one of CAR, TAN, AIT, MOL"),
        ("datasets.geom.axes.energy.min=1", "an energy with a unit"),
        ("datasets.geom.axes.energy.min=0 TeV", "above zero"),
        ("datasets.geom.axes.energy.nbins=0", "greater than or equal to 1"),
        ("datasets.geom.axes.energy={min: 1 TeV}", "min, max and nbins together"),
        ("datasets.background.parameters={method: guess}", "one of scale, fit"),
        ("datasets.background.exclusion=nowhere.fits", "there is nothing at"),
        (
            "datasets.background.exclusion=[{frame: icrs, lon: 1 deg, lat: 1 deg}]",
            "expected radius for the type circle",
        ),
        ("datasets.safe_mask.methods=[aeff-best]", "one of aeff-default"),
        ("observations.obs_cone={frame: icrs}", "without lon, lat, radius"),
        ("observations.obs_filter={ZEN_PNT: [45, 0]}", "[least, greatest]"),
        ("observations.obs_time={start: yesterday, stop: 2004-01-01}", "a date and time"),
        ("observations.obs_time={start: 2004-01-02, stop: 2004-01-01}", "start before stop"),
        ("observations.strict=perhaps", "a valid boolean"),
        ("observations=3", "a mapping of keys"),
        ("observations.datastore=$NO_SUCH_VARIABLE/x", "export NO_SUCH_VARIABLE="),
        ("excess_map={energy_bands: [[2 TeV, 1 TeV]]}", "an empty energy range"),
        ("excess_map={energy_bands: [[1 TeV, 2 TeV]], energy_edges: [1 TeV, 2 TeV]}", "either energy_edges or"),
        ("ts_map={model: {spatial: gaussian}}", "expected sigma for the shape gaussian"),
        ("cluster={workers: 0}", "greater than or equal to 1"),
    ],
)
def test_one_line_says_what_was_expected(folder: Path, override: str, expected: str) -> None:
    (line,) = problems(folder, override)
    path = line.partition(": ")[0].partition("[")[0]
    assert override.startswith(path) or path.startswith(override.partition("=")[0])
    assert expected in line


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("observations.obs_id", "observations.obs_ids"),
        ("offset_max", "datasets.geom.selection.offset_max"),
        ("datasets.geom.binsize", "datasets.geom.wcs.binsize"),
        ("cluster.worker", "cluster.workers"),
        ("tsmap", "ts_map"),
        ("excess_map.n_sigma_ul", "excess_map.parameters.n_sigma_ul"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_valid_one(folder: Path, key: str, nearest: str) -> None:
    assert problems(folder, f"{key}=1") == [f"{key}: unknown key; did you mean {nearest}?"]


def test_what_a_section_lacks_is_said_by_key(folder: Path) -> None:
    lines = problems(folder, "cluster={kind: slurm, workers: 2, jobs: 3, dashboard: 8787}")
    assert [line.partition(": ")[0] for line in lines] == ["cluster.dashboard"]
    lines = problems(folder, "cluster={kind: slurm, workers: 2, jobs: 3}")
    assert [line.partition(": ")[0] for line in lines] == ["cluster.memory", "cluster.jobs"]
    assert problems(folder, "cluster.memory=-4 GB") == [
        "cluster.memory: '-4 GB' is not an amount of memory; write for example '2 GB', '1500 MB' or 'auto'"
    ]


def test_convolved_maps_are_refused_where_pixels_differ(folder: Path) -> None:
    (line,) = problems(folder, "datasets.geom.wcs.proj=AIT", "ts_map={}")
    assert line.startswith("ts_map: maps that are convolved need pixels of one size")


def test_products_need_their_maps(folder: Path) -> None:
    lines = problems(
        folder, "datasets.map_selection=[counts, exposure]", "ts_map={}", "datasets.background.method=fov_background"
    )
    assert lines == [
        "datasets.background.method: needs background in datasets.map_selection",
        "ts_map: needs background, edisp, psf in datasets.map_selection",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("datasets: {geom: 1\n", "line 2"),
        ("datasets: {}\ndatasets: {}\n", "the key 'datasets' stands twice"),
        ("- 1\n", "expected a mapping of sections"),
        ("\t- a", "line 1"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "field.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        load_config(path)


def test_an_absent_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path / "no.yaml")):
        load_config(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    "override", ["general.outdir", "general..outdir=x", "observations.obs_ids.3=1", "general.n_jobs=[1"]
)
def test_an_override_that_makes_no_sense_is_named(folder: Path, override: str) -> None:
    text = "observations: {obs_ids: [1]}"
    assert problems(folder, override, text=text)[0].startswith(f"--set {override}: ")


# ------------------------------------------------------------------ values


def test_paths_are_relative_to_the_file_and_variables_expand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mask.fits").touch()
    (folder / "more").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    text = """
        general: {outdir: results}
        observations: {datastore: [~/more, "${SURVEY_DATA}/hess-dl3-dr1"], roots: [more/..]}
        datasets: {background: {exclusion: mask.fits}}
    """
    config = load_config(write(folder, text), [POSITION])
    assert config.general.outdir == str(folder / "results")
    assert config.observations.datastore == (str(folder / "more"), str(folder / "hess-dl3-dr1"))
    assert config.observations.roots == (str(folder),)
    assert config.datasets.background.exclusion == str(folder / "mask.fits")


def test_survey_data_is_looked_up_as_gammapy_data_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SURVEY_DATA")
    config = load_config(write(folder), [POSITION, "observations.datastore=$SURVEY_DATA/hess-dl3-dr1"])
    assert config.observations.datastore == (str(folder / "hess-dl3-dr1"),)


def test_urls_are_left_alone(folder: Path) -> None:
    overrides = ["observations.datastore=s3://bucket/$USER_X/dl3.zarr", "general.outdir=memory://out"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USER_X", "me")
        config = load_config(write(folder), [POSITION, *overrides])
    assert config.observations.datastore == ("s3://bucket/me/dl3.zarr",)
    assert config.general.outdir == "memory://out"


def test_inputs_need_not_exist_if_not_asked_for(folder: Path) -> None:
    config = load_config(write(folder), [POSITION, "observations.datastore=nowhere"], to_run=False)
    assert config.observations.datastore == (str(folder / "nowhere"),)


def test_regions_may_stand_in_the_file(folder: Path) -> None:
    text = """
        datasets:
            background:
                exclusion:
                    - {frame: icrs, lon: 5h34m31s, lat: 22d0m52s, radius: 24 arcmin}
                    - {type: ellipse, frame: galactic, lon: 10 deg, lat: 0 deg, width: 2 deg, height: 1 deg}
                    - galactic;circle(184.5, -5.8, 0.5)
    """
    circle, ellipse, ds9 = load_config(write(folder, text), [POSITION]).datasets.background.exclusion or ()
    assert not isinstance(circle, str)
    assert not isinstance(ellipse, str)
    assert (circle.lon.deg, circle.radius.deg) == pytest.approx((83.62916666666667, 0.4))
    assert ellipse.angle.deg == 0
    assert ds9 == "galactic;circle(184.5, -5.8, 0.5)"


@pytest.mark.parametrize(
    ("override", "bands"),
    [
        ("excess_map={index: 2}", None),
        ("excess_map={energy_edges: [1 TeV, 3000 GeV, 10 TeV]}", [(1, 3), (3, 10)]),
        ("excess_map={energy_edges: {min: 1 TeV, max: 100 TeV, nbins: 2}}", [(1, 10), (10, 100)]),
        ("excess_map={energy_bands: [[1 TeV, 10 TeV], [1 TeV, 3 TeV]]}", [(1, 10), (1, 3)]),
    ],
)
def test_energy_bands(folder: Path, override: str, bands: list[tuple[float, float]] | None) -> None:
    section = load_config(write(folder), [POSITION, override]).excess_map
    assert section is not None
    found = section.bands()
    assert found is bands or found == [pytest.approx(band) for band in bands or ()]


def test_the_keys_of_the_selection_arrive(folder: Path) -> None:
    selection = load_config(full(folder)).observations.as_selection()
    assert selection.obs_ids == (1, 2)
    assert selection.cone is not None
    assert (selection.cone.ra, selection.cone.dec, selection.cone.radius) == pytest.approx((83.6, 22, 2))
    assert len(selection.windows) == 2
    assert selection.ranges == {"ZEN_PNT": (0, 45)}
    assert selection.required == {"aeff", "edisp", "psf", "bkg"}


def test_all_chooses_every_map(folder: Path) -> None:
    config = load_config(write(folder), [POSITION, "ts_map={selection_optional: all}"])
    assert config.ts_map is not None
    assert config.ts_map.optional == {"errn-errp", "ul", "sensitivity"}


def full(folder: Path) -> dict[str, Any]:
    return {
        "general": {"outdir": str(folder / "out"), "n_jobs": 3, "log": {"level": "WARNING"}},
        "observations": {
            "datastore": str(folder / "hess-dl3-dr1"),
            "obs_ids": [1, 2],
            "obs_cone": {"frame": "icrs", "lon": "83.6 deg", "lat": "22 deg", "radius": "2 deg"},
            "obs_time": {"start": ["2004-01-01", "2005-01-01"], "stop": ["2004-02-01", "2005-02-01"]},
            "obs_filter": {"ZEN_PNT": [0, 45]},
        },
        "datasets": {
            "geom": {"wcs": {"skydir": {"frame": "icrs", "lon": "5h34m", "lat": "22 deg"}, "proj": "TAN"}},
            "background": {"method": "fov_background", "exclusion": ["icrs;circle(1,2,3)"]},
            "safe_mask": {"methods": "offset-max", "parameters": {"fixed_offset": "0.5 deg"}},
        },
        "excess_map": {"energy_edges": ["1 TeV", "10 TeV"], "parameters": {"selection_optional": "all"}},
        "ts_map": {"model": {"spatial": "disk", "r_0": "6 arcmin"}, "energy_bands": [["1 TeV", "10 TeV"]]},
        "cluster": {"kind": "none"},
    }


def test_yaml_reads_back_as_the_same_configuration(folder: Path) -> None:
    config = load_config(full(folder))
    again = load_config(yaml.safe_load(config.to_yaml()))
    assert again.as_dict() == config.as_dict()
    assert again.cluster == config.cluster


def test_a_configuration_is_taken_as_it_is(folder: Path) -> None:
    config = load_config(full(folder))
    assert load_config(config) is config
    assert load_config(config, ["general.n_jobs=5"]).general.n_jobs == 5


def test_a_configuration_cannot_be_changed(folder: Path) -> None:
    config: SurveyConfig = load_config(full(folder))
    with pytest.raises(ValueError, match="frozen"):
        config.general.n_jobs = 7  # type: ignore[misc]


@settings(max_examples=30, deadline=None)
@given(value=st.floats(1e-9, 180, allow_nan=False), unit=st.sampled_from(["deg", "arcmin", "arcsec", "rad"]))
def test_angles_survive_the_round_trip_in_any_unit(
    tmp_path_factory: pytest.TempPathFactory, value: float, unit: str
) -> None:
    raw = full(tmp_path_factory.getbasetemp())
    raw["datasets"]["geom"]["selection"] = {"offset_max": f"{value!r} {unit}"}
    config = load_config(raw, to_run=False)
    assert config.datasets.geom.selection.offset_max.deg == pytest.approx((value * u.Unit(unit)).to_value("deg"))
    again = load_config(yaml.safe_load(config.to_yaml()), to_run=False)
    assert again.datasets.geom.selection.offset_max.deg == config.datasets.geom.selection.offset_max.deg
