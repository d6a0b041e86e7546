"""A small survey: a synthetic data store and a configuration that maps it in seconds."""

import pytest

from survey.events.synthetic import SyntheticSource, make_store


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Six observations about a source; nobody changes it."""
    source = SyntheticSource(ra=83.63, dec=-22.01, amplitude=3.5e-7, index=2.3)
    return make_store(
        tmp_path_factory.mktemp("store") / "small", n_observations=6, sources=[source], livetime=600.0, seed=3
    )


@pytest.fixture
def settings(store, tmp_path):
    """Configuration of a small field that tiles cut in four, on one process."""
    return {
        "general": {"outdir": str(tmp_path / "out")},
        "observations": {"datastore": str(store)},
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
