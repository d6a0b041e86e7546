"""A small survey: a synthetic data store and a configuration that maps it in seconds."""

import copy
import hashlib
import shutil
from pathlib import Path

import pytest

import survey
from survey.events.synthetic import SyntheticSource, make_store

SETTINGS = {
    "datasets": {
        "geom": {
            "wcs": {
                "skydir": {"frame": "icrs", "lon": "83.63 deg", "lat": "-22.01 deg"},
                "binsize": "0.1 deg",
                "width": {"width": "6 deg", "height": "5 deg"},
                "binsize_irf": "0.5 deg",
            },
            "tiles": {"chunk": 10, "chunks": 3},
            "axes": {
                "energy": {"min": "0.5 TeV", "max": "20 TeV", "nbins": 4},
                "energy_true": {"min": "0.2 TeV", "max": "40 TeV", "nbins": 6},
            },
        },
        "safe_mask": {"methods": ["offset-max"], "parameters": {"offset_max": "2 deg"}},
        "background": {
            "method": "fov_background",
            "parameters": {"method": "fit"},
            "exclusion": [{"frame": "icrs", "lon": "83.63 deg", "lat": "-22.01 deg", "radius": "0.4 deg"}],
        },
    },
    "excess_map": {"correlation_radius": "0.2 deg", "index": 2.3},
    "cluster": {"kind": "none"},
}
"""A small field that tiles cut in four, on one process."""


def configured(store, outdir):
    return {"general": {"outdir": str(outdir)}, "observations": {"datastore": str(store)}, **copy.deepcopy(SETTINGS)}


@pytest.fixture(scope="session")
def configure():
    """Function that makes the configuration of a run from a data store and a folder, paths or URLs."""
    return configured


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Six observations about a source; nobody changes it."""
    source = SyntheticSource(ra=83.63, dec=-22.01, amplitude=3.5e-7, index=2.3)
    return make_store(
        tmp_path_factory.mktemp("store") / "small", n_observations=6, sources=[source], livetime=600.0, seed=3
    )


@pytest.fixture(scope="session")
def finished(store, tmp_path_factory):
    """Output of a run that nobody changes, pictures included."""
    outdir = tmp_path_factory.mktemp("finished") / "out"
    survey.run(configured(store, outdir), listeners=[])
    return outdir


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs in this process draw nothing: pictures take most of the time of a small run."""
    monkeypatch.setattr("survey.report.graph.picture_units", lambda plan, slots: [])


@pytest.fixture
def settings(store, tmp_path, finished, no_pictures):
    """Configuration of a run in a folder of the test's own; after the shared run, so that its kernels are compiled."""
    return configured(store, tmp_path / "out")


@pytest.fixture
def run(settings, finished):
    """The finished run of `settings`, in the folder of the test."""
    shutil.copytree(finished, settings["general"]["outdir"])
    return survey.open(settings["general"]["outdir"])


@pytest.fixture(scope="session")
def digest():
    """Function that hashes every file of a folder, by relative path."""

    def digest(folder):
        folder = Path(folder)
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return digest
