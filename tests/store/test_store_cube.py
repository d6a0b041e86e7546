"""Datasets: what a template holds, that shards are whole, bytes reproducible, windows right, newer formats refused."""

import hashlib
import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from survey.sky.energy import RAD_EDGES, EnergyAxis
from survey.sky.grid import SkyGrid, Tile, Window
from survey.store import urls
from survey.store.cube import (
    ShardError,
    create_cube,
    create_dataset,
    finalise,
    open_cube,
    read_window,
    write_block,
    write_tables,
)
from survey.store.provenance import FORMAT_VERSION, FormatError, provenance
from survey.store.quantum import quantum
from survey.store.variables import CUBE, DEFAULT_VARIABLES, Variable

GRID = SkyGrid.create(
    proj="CAR",
    frame="icrs",
    lon=83,
    lat=22,
    binsize=0.1,
    width=(6.3, 4.4),
    binsize_irf=0.4,
    tile_chunks=2,
    chunk_pixels=8,
)
AXES = SimpleNamespace(
    energy=EnergyAxis.from_bounds("energy", 0.1, 100, 3),
    energy_true=EnergyAxis.from_bounds("energy_true", 0.05, 120, 4),
    rad_edges=RAD_EDGES[::22],
)
SIZES = {"energy": 3, "energy_true": 4, "rad": 3}


@pytest.fixture(params=["local", "memory"])
def url(request, tmp_path) -> str:
    root = str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}"
    return f"{root}/cube.zarr/stacked"


def full(name: str, seed: int = 0) -> np.ndarray:
    """A whole array of a variable."""
    variable = CUBE[name]
    spatial = GRID.cells if variable.is_on_cells else GRID.shape
    shape = (*(SIZES[dim] for dim in variable.dims[:-2]), *spatial)
    return np.random.default_rng(seed + len(name)).integers(0, 9, shape).astype(variable.dtype)


def block(name: str, tile: Tile, seed: int = 0) -> np.ndarray:
    window = GRID.window(tile)
    part = GRID.cell_window(window) if CUBE[name].is_on_cells else window
    return full(name, seed)[(..., *part.slices)]


def write_all(url: str, seed: int = 0, names=DEFAULT_VARIABLES, tiles=None) -> None:
    create_cube(url, GRID, AXES, variables=names)
    for tile in tiles or GRID.tiles():
        write_block(url, {name: block(name, tile, seed) for name in names}, GRID, tile)
    write_tables(url, observation_id=[7, 5], gti=[[0, 1], [2, 3]], reference={"mjdrefi": 51910, "mjdreff": 0.5})
    finalise(url, provenance=provenance({"datasets": {}}, GRID, [7, 5]))


def hashes(folder: str) -> dict[str, str]:
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_cube_reads_back_with_dims_units_quanta_and_axes(url: str) -> None:
    write_all(url)
    cube = open_cube(url)
    assert set(DEFAULT_VARIABLES) <= set(cube.data_vars)
    for name in DEFAULT_VARIABLES:
        array = cube[name]
        assert array.dims == CUBE[name].dims
        assert array.dtype == CUBE[name].dtype
        assert array.attrs["units"] == CUBE[name].units
        assert array.attrs["long_name"] == CUBE[name].long_name
        low = {"energy": AXES.energy.low, "energy_true": AXES.energy_true.low}.get(array.dims[0])
        np.testing.assert_array_equal(array.attrs["quantum"], quantum(name, low))
        np.testing.assert_array_equal(array.values, full(name))
    np.testing.assert_array_equal(cube["energy_edges"], AXES.energy.edges)
    np.testing.assert_array_equal(cube["energy_true"], AXES.energy_true.centers)
    np.testing.assert_array_equal(cube["rad_edges"], AXES.rad_edges)
    assert {"energy_edges", "energy_true_edges", "rad_edges"} <= set(cube.coords)
    assert cube["energy_edges"].dims == ("energy_edge",)
    assert cube["energy"].attrs["units"] == "TeV"
    assert cube.attrs["status"] == "complete"
    assert cube.attrs["format_version"] == FORMAT_VERSION
    assert SkyGrid.from_key(cube.attrs["grid"]) == GRID
    assert cube.attrs["wcs"] == GRID.header()
    np.testing.assert_array_equal(cube["observation_id"], [7, 5])
    np.testing.assert_array_equal(cube["gti_stop"], [1, 3])
    assert cube["gti_start"].attrs["mjdrefi"] == 51910


def test_plain_xarray_shows_a_cube_without_this_package(tmp_path) -> None:
    write_all(str(tmp_path / "cube.zarr" / "stacked"))
    for cube in (
        xr.open_zarr(tmp_path / "cube.zarr" / "stacked", chunks=None),
        xr.open_zarr(tmp_path / "cube.zarr", group="stacked", chunks=None),
    ):
        assert cube["psf_exposure"].dims == ("energy_true", "rad", "y_irf", "x_irf")
        np.testing.assert_array_equal(cube["counts"], full("counts"))
        assert cube["livetime"].attrs["units"] == "s"
        assert cube["livetime"].dtype == "float64"
        assert "energy_edges" in cube.coords


def test_a_template_is_zero_and_running(url: str) -> None:
    create_cube(url, GRID, AXES)
    cube = open_cube(url)
    assert cube.attrs["status"] == "running"
    assert not cube["exposure"].values.any()
    assert "counts_off" not in cube
    create_cube(url, GRID, AXES, variables=["counts", "counts_off"])
    assert set(open_cube(url).data_vars) == {"counts", "counts_off"}
    assert "energy_true" not in open_cube(url).coords


def test_any_order_and_a_second_run_give_the_same_bytes(tmp_path) -> None:
    first, second = str(tmp_path / "a" / "cube.zarr" / "s"), str(tmp_path / "b" / "cube.zarr" / "s")
    write_all(first)
    write_all(second, seed=3)
    assert hashes(str(tmp_path / "a")) != hashes(str(tmp_path / "b"))
    # over what another configuration left
    write_all(second, tiles=GRID.tiles()[::-1])
    assert hashes(str(tmp_path / "a")) == hashes(str(tmp_path / "b"))
    for tile in GRID.tiles()[:2]:
        write_block(second, {"counts": block("counts", tile, 5)}, GRID, tile)
        write_block(second, {"counts": block("counts", tile)}, GRID, tile)
    assert hashes(str(tmp_path / "a")) == hashes(str(tmp_path / "b"))
    metadata = "".join(path.read_text() for path in tmp_path.rglob("zarr.json"))
    assert str(tmp_path) not in metadata


def test_a_shard_of_zeros_over_another_leaves_no_trace(tmp_path) -> None:
    empty, other = str(tmp_path / "a" / "s"), str(tmp_path / "b" / "s")
    zeros = np.zeros_like(block("counts", Tile(0, 0)))
    for url in (empty, other):
        create_cube(url, GRID, AXES, variables=["counts"])
        write_block(url, {"counts": zeros}, GRID, Tile(0, 0))
    write_block(other, {"counts": block("counts", Tile(0, 0))}, GRID, Tile(0, 0))
    write_block(other, {"counts": zeros}, GRID, Tile(0, 0))
    assert hashes(empty) == hashes(other)


def test_a_tile_is_one_file_a_variable(tmp_path) -> None:
    write_all(str(tmp_path / "s"))
    rows, columns = GRID.tile_shape
    for name in ("counts", "psf_exposure"):
        assert sum(path.is_file() for path in (tmp_path / "s" / name / "c").rglob("*")) == rows * columns


def test_writes_of_parts_of_shards_are_refused(url: str) -> None:
    create_cube(url, GRID, AXES)
    whole = block("counts", Tile(0, 0))
    with pytest.raises(ShardError, match="rows or columns 0 to 15 of 44, expected whole shards of 16"):
        write_block(url, {"counts": whole[:, :15]}, GRID, Tile(0, 0))
    with pytest.raises(ShardError, match="expected whole shards"):
        write_block(url, {"counts": whole}, GRID, Tile(2, 0))
    with pytest.raises(ShardError, match="expected whole shards"):
        write_block(url, {"counts": whole}, GRID, Tile(0, 7))
    with pytest.raises(ShardError, match=r"array of shape \(2, 16, 16\)"):
        write_block(url, {"counts": whole[:2]}, GRID, Tile(0, 0))
    with pytest.raises(ShardError, match="no such dim"):
        write_block(url, {"counts": whole}, GRID, Tile(0, 0), group=0)
    other = SkyGrid.create(proj="TAN", frame="icrs", lon=83, lat=22, binsize=0.1, width=6)
    with pytest.raises(ShardError, match="its grid is"):
        write_block(url, {"counts": whole}, other, Tile(0, 0))
    with pytest.raises(KeyError, match="no variable 'flux', only background"):
        write_block(url, {"flux": whole}, GRID, Tile(0, 0))
    assert not open_cube(url)["counts"].values.any()


@pytest.mark.parametrize("window", [Window(0, 44, 0, 63), Window(13, 19, 30, 34), Window(43, 44, 62, 63)])
def test_windows_are_read_across_shards_with_the_cells_they_touch(url: str, window: Window) -> None:
    write_all(url, names=("exposure", "irf_exposure", "counts", "livetime"))
    found = read_window(url, ["exposure", "irf_exposure", "livetime"], window)
    np.testing.assert_array_equal(found["exposure"], full("exposure")[:, *window.slices])
    np.testing.assert_array_equal(found["livetime"], full("livetime")[window.slices])
    np.testing.assert_array_equal(found["irf_exposure"], full("irf_exposure")[:, *GRID.cell_window(window).slices])
    with pytest.raises(ValueError, match="expected within 44 x 63"):
        read_window(url, ["exposure"], window.grown(50))


def test_windows_go_on_across_the_seam_of_a_ring(tmp_path) -> None:
    ring = SkyGrid.create(proj="CAR", frame="galactic", lon=0, lat=0, binsize=2, width=(360, 20), binsize_irf=4)
    url = str(tmp_path / "s")
    create_cube(url, ring, AXES, variables=["counts", "irf_exposure"])
    counts = np.arange(3 * 10 * 180, dtype=np.int32).reshape(3, 10, 180)
    cells = np.arange(4 * 5 * 90, dtype=np.float64).reshape(4, 5, 90)
    write_block(url, {"counts": counts, "irf_exposure": cells}, ring, Tile(0, 0))
    for columns in ((-6, 8), (170, 190), (-180, 0), (0, 180)):
        found = read_window(url, ["counts", "irf_exposure"], (2, 6, *columns))
        wanted = np.arange(*columns) % 180
        np.testing.assert_array_equal(found["counts"], counts[:, 2:6, wanted])
        wanted = np.arange(columns[0] // 2, columns[1] // 2) % 90
        np.testing.assert_array_equal(found["irf_exposure"], cells[:, 1:3, wanted])


def test_groups_are_a_leading_dim_with_a_shard_each(url: str) -> None:
    create_cube(url, GRID, AXES, variables=["counts", "irf_exposure"], groups=["low zenith", "high zenith"])
    tile = Tile(0, 1)
    write_block(url, {name: block(name, tile) for name in ("counts", "irf_exposure")}, GRID, tile, group=1)
    cube = open_cube(url)
    assert cube["counts"].dims == ("group", "energy", "y", "x")
    assert cube["group"].values.tolist() == ["low zenith", "high zenith"]
    window = GRID.window(tile)
    np.testing.assert_array_equal(cube["counts"].values[1][:, *window.slices], block("counts", tile))
    assert not cube["counts"].values[0].any()
    found = read_window(url, ["irf_exposure"], window, group=1)
    np.testing.assert_array_equal(found["irf_exposure"], block("irf_exposure", tile))
    with pytest.raises(ShardError, match="group 2, expected one of 0 to 1"):
        write_block(url, {"counts": block("counts", tile)}, GRID, tile, group=2)


def test_maps_have_the_same_home(url: str) -> None:
    variables = [
        Variable("sqrt_ts", ("energy", "y", "x"), "", "significance", fill=float("nan")),
        Variable("niter", ("y", "x"), "", "iterations", dtype="int32"),
    ]
    bands = np.array([[0.1, 1.0], [1.0, 10.0]])
    create_dataset(
        url,
        GRID,
        variables,
        coordinates={
            "energy": (("energy",), np.sqrt(bands.prod(axis=1)), {"units": "TeV"}),
            "energy_edges": (("energy", "edge"), bands, {"units": "TeV"}),
        },
        attributes={"kind": "ts"},
    )
    tile = Tile(1, 1)
    values = np.ones((2, *GRID.window(tile).shape))
    write_block(url, {"sqrt_ts": values}, GRID, tile)
    finalise(url)
    maps = open_cube(url)
    assert np.isnan(maps["sqrt_ts"].values).sum() == 2 * GRID.ny * GRID.nx - values.size
    np.testing.assert_array_equal(maps["energy_edges"], bands)
    assert maps.attrs["kind"] == "ts"


def test_newer_and_foreign_formats_are_refused_by_name(tmp_path) -> None:
    url = str(tmp_path / "s")
    create_cube(url, GRID, AXES, variables=["counts"])
    path = tmp_path / "s" / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["attributes"]["format_version"] = FORMAT_VERSION + 1
    path.write_text(json.dumps(metadata))
    for read in (open_cube, lambda url: read_window(url, ["counts"], (0, 1, 0, 1))):
        with pytest.raises(FormatError, match=f"format_version {FORMAT_VERSION + 1}, this release reads up to"):
            read(url)
    metadata["attributes"] = {}
    path.write_text(json.dumps(metadata))
    with pytest.raises(FormatError, match="expected a dataset of gammasurvey"):
        open_cube(url)
    with pytest.raises(FileNotFoundError, match="there is no dataset"):
        open_cube(str(tmp_path / "elsewhere"))


def test_provenance_is_the_same_wherever_a_run_takes_place() -> None:
    def made(folder: str, workers: int, binsize: float = 0.1) -> dict:
        return provenance(
            {
                "general": {"outdir": folder},
                "cluster": {"workers": workers},
                "observations": {"datastore": [f"{folder}/data"], "obs_ids": [1]},
                "datasets": {"background": {"exclusion": f"{folder}/mask.fits"}, "binsize": binsize},
            },
            GRID,
            [1],
        )

    assert made("/one", 1) == made("/two/three", 8)
    assert made("/one", 1) != made("/one", 1, 0.2)
    assert urls.join("/one") not in json.dumps(made("/one", 1))


def test_nothing_warns_on_the_way(tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_all(f"memory://{tmp_path.name}/cube.zarr/s", names=("counts",))
        open_cube(f"memory://{tmp_path.name}/cube.zarr/s", chunks={})["counts"].sum().compute()
