"""What `survey run` refuses: one line each, exit status 2, and nothing is written."""

import copy
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from survey import cli, pipeline
from survey.events.synthetic import make_store
from survey.refusal import Refusal

GEOM = "datasets.geom"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("refusals") / "small", n_observations=2, livetime=60.0)


@pytest.fixture
def config(store: Path, tmp_path: Path) -> dict:
    return {
        "general": {"outdir": str(tmp_path / "out")},
        "observations": {"datastore": str(store)},
        "datasets": {
            "geom": {
                "wcs": {
                    "skydir": {"frame": "icrs", "lon": "83.63 deg", "lat": "-22.01 deg"},
                    "binsize": "0.2 deg",
                    "width": {"width": "4 deg", "height": "4 deg"},
                },
                "axes": {
                    "energy": {"min": "0.5 TeV", "max": "20 TeV", "nbins": 2},
                    "energy_true": {"min": "0.2 TeV", "max": "40 TeV", "nbins": 3},
                },
            },
        },
        "cluster": {"kind": "none"},
    }


def run(config: dict, folder: Path, *arguments: str) -> Result:
    path = folder / "survey.yaml"
    path.write_text(yaml.safe_dump(config))
    return CliRunner().invoke(cli.app, ["run", str(path), *arguments])


def refusal(result: Result) -> str:
    """The line of a refusal."""
    lines = [line for line in result.stderr.splitlines() if line.startswith(("refused:", "failed:"))]
    assert result.exit_code == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = lines
    return line.removeprefix("refused: ").removeprefix("survey.yaml: ")


REFUSED = [
    pytest.param(
        f"{GEOM}.axes.energy.nbins=true",
        f"{GEOM}.axes.energy.nbins: found True, expected a value, not true or false",
        id="a truth value for a number",
    ),
    pytest.param(
        f"{GEOM}.wcs.binsiz=0.1 deg",
        f"{GEOM}.wcs.binsiz: unknown key; did you mean {GEOM}.wcs.binsize?",
        id="an unknown key, with the nearest valid one",
    ),
    pytest.param(
        f"{GEOM}.wcs.binsize=0.1",
        f"{GEOM}.wcs.binsize: found 0.1, expected an angle with a unit, such as '0.5 deg'",
        id="a missing unit",
    ),
    pytest.param(
        f"{GEOM}.axes.energy.max=10 deg",
        f"{GEOM}.axes.energy.max: found '10 deg', expected an energy with a unit, such as '1 TeV'",
        id="a unit of something else",
    ),
    pytest.param(
        f"{GEOM}.axes.energy.min=30 TeV",
        f"{GEOM}.axes.energy: found min 30.0 TeV and max 20.0 TeV, an empty energy range; expected min below max",
        id="an empty energy range",
    ),
    pytest.param(
        "observations.datastore=/no/such/store",
        "observations.datastore: found '/no/such/store', expected something that exists; there is nothing at /no/such/store",
        id="an absent data store",
    ),
    pytest.param(
        "observations.obs_ids=[999]", "observations: obs_ids: 999 not in the data store small", id="an unknown id"
    ),
    pytest.param(
        "observations.obs_cone={frame: icrs, lon: 0 deg, lat: 50 deg, radius: 1 deg}",
        "observations: no observation is selected: there are 2, obs_cone removed the last 2",
        id="no observation selected",
    ),
    pytest.param("catalog={}", "catalog: the stage catalog does not exist yet; take this section out", id="catalog"),
    pytest.param(
        "flux_points={energy: {min: 1 TeV, max: 10 TeV, nbins: 3}}",
        "flux_points: the stage flux_points does not exist yet; take this section out",
        id="flux points",
    ),
    pytest.param(
        "datasets.type=1d",
        "datasets.type: found '1d'; the stage for 1d does not exist yet: say 3d",
        id="spectra of regions",
    ),
    pytest.param(
        "cluster.kind=gateway",
        "cluster.address: missing, kind gateway needs it: the gateway's URL, "
        "for example https://hub.example.org/services/dask-gateway",
        id="a kind of cluster without what it needs",
    ),
]


@pytest.mark.parametrize(("change", "line"), REFUSED)
def test_what_cannot_be_done_is_refused_in_one_line(change: str, line: str, config: dict, tmp_path: Path) -> None:
    assert refusal(run(config, tmp_path, "--set", change)) == line
    assert not (tmp_path / "out").exists()


def test_a_file_of_models_that_is_not_there_is_refused(config: dict, tmp_path: Path) -> None:
    line = refusal(run(config, tmp_path, "--models", str(tmp_path / "m.yaml")))
    assert line.startswith(f"--models {tmp_path / 'm.yaml'}: ")
    assert not (tmp_path / "out").exists()


def test_models_need_responses_in_the_cube(config: dict, tmp_path: Path) -> None:
    selection = "datasets.map_selection=[counts, background, exposure]"
    line = refusal(run(config, tmp_path, "--models", "m.yaml", "--set", selection))
    assert "predicted counts need psf, edisp, add them to datasets.map_selection" in line


def test_foreign_files_are_refused_and_kept(config: dict, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    line = refusal(run(config, tmp_path))
    assert line.startswith(
        f"general.outdir: found files in {tmp_path / 'out'} that are not of a survey run (thesis.tex), "
    )
    assert line.endswith("or give --overwrite to write beside them")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_refused(config: dict, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    config["general"]["outdir"] = str(tmp_path / "file" / "out")
    line = refusal(run(config, tmp_path))
    assert line.startswith(f"general.outdir: cannot write to {tmp_path / 'file' / 'out'} (")


def test_a_link_that_leads_nowhere_is_refused(config: dict, tmp_path: Path) -> None:
    for name, target in (("away", "scratch"), ("loop", "loop")):
        (tmp_path / name).symlink_to(target)
        for outdir in (tmp_path / name, tmp_path / name / "below" / "it"):
            config["general"]["outdir"] = str(outdir)
            assert f"{tmp_path / name} is a link to {target}, where nothing is; mend" in refusal(run(config, tmp_path))
        with pytest.raises(Refusal, match="there is no run in"):
            pipeline.status(tmp_path / name)
    with pytest.raises(Refusal, match="there is no run in"):
        pipeline.status(Path(__file__))
    (tmp_path / ".survey").touch()
    with pytest.raises(Refusal, match="there is no run in"):
        pipeline.status(tmp_path)


def test_a_problem_of_a_simulation_names_the_file(config: dict, tmp_path: Path) -> None:
    config["simulation"] = {
        "pointings": {"pattern": "drift", "alt": "75 deg", "az": "0 deg"},
        "sky": {"models": "no.yaml"},
    }
    (tmp_path / "survey.yaml").write_text(yaml.safe_dump(config))
    result = CliRunner().invoke(cli.app, ["simulate", str(tmp_path / "survey.yaml"), str(tmp_path / "data")])
    assert "refused: survey.yaml: simulation.sky.models: found " in result.stderr
    assert refusal(result).startswith("simulation.sky.models: found ")


def test_several_problems_are_told_at_once(config: dict, tmp_path: Path) -> None:
    spoiled = copy.deepcopy(config)
    spoiled["datasets"]["geom"]["wcs"]["binsize"] = "0.1"
    spoiled["catalog"] = {}
    spoiled["observation"] = {}
    result = run(spoiled, tmp_path)
    assert result.exit_code == 2
    lines = [line.removeprefix("refused: survey.yaml: ").partition(":")[0] for line in result.stderr.splitlines()]
    assert sorted(lines) == ["catalog", f"{GEOM}.wcs.binsize", "observation"]
