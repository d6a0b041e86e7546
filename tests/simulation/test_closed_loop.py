"""The closed loop: simulated events by component, energy and place beside the counts that the cube predicts."""

import numpy as np
import xarray as xr
from sampler_cases import DEC, RA, array_responses, observation

from survey.events.observation import Pointing
from survey.fitting.prediction import predict
from survey.models.components import SkyModel
from survey.models.cutoff_power_laws import ExpCutoffPowerLaw
from survey.models.power_laws import PowerLaw
from survey.models.spatial import Point
from survey.models.spatial_disk import Disk, Shell
from survey.models.spatial_gauss import Gaussian
from survey.reduction.axes import Axes
from survey.reduction.contribution import VARIABLES, accumulate
from survey.reduction.prepare import prepare
from survey.reduction.settings import ReductionSettings
from survey.sky.energy import RAD_EDGES, EnergyAxis
from survey.sky.grid import SkyGrid
from survey.store.variables import CUBE

AXES = Axes(
    EnergyAxis.from_bounds("energy", 0.5, 30.0, 6),
    EnergyAxis.from_bounds("energy_true", 0.1, 120.0, 72),
    RAD_EDGES,
)
BINSIZE, CELL, BLOCK = 0.02, 10, 20
GRID = SkyGrid.create(
    proj="TAN",
    frame="icrs",
    lon=RA,
    lat=DEC,
    binsize=BINSIZE,
    width=(4.4, 4.4),
    binsize_irf=CELL * BINSIZE,
    tile_chunks=5,
)
# the cut lies outside the grid
SETTINGS = ReductionSettings(safe_methods=(), offset_max=3.9, mask_invalid_background=False)
POINTINGS = ((0.0, 0.0), (0.5, -0.4))
LEAST = 20.0
"""Predicted counts that a bin needs to be compared."""


def place(east, north):
    """ICRS position at an offset from the middle of the grid, deg."""
    return {"lon_0": RA + east / np.cos(np.radians(DEC)), "lat_0": DEC + north}


def sky():
    """Sources of every shape, as bright as two Crab nebulae."""
    scale = 8e-7
    return [
        SkyModel("point", PowerLaw(index=2.3, amplitude=scale), Point(**place(0.33, 0.21))),
        SkyModel("gauss", PowerLaw(index=2.1, amplitude=scale), Gaussian(**place(-1.0, 0.4), sigma=0.25)),
        SkyModel(
            "disk",
            ExpCutoffPowerLaw(index=2.0, amplitude=scale, lambda_=0.1),
            Disk(**place(0.9, -1.0), r_0=0.4),
        ),
        SkyModel("shell", PowerLaw(index=2.5, amplitude=scale), Shell(**place(-0.7, -0.9), radius=0.3, width=0.1)),
    ]


def stacked(observations):
    """The cube of observations."""
    prepared = [prepare(made, GRID, AXES, SETTINGS) for made in observations]
    sums = accumulate(prepared, GRID.geometry(GRID.full_window), AXES, variables=VARIABLES)
    return xr.Dataset(
        {name: (CUBE[name].dims, values) for name, values in sums.items()},
        coords={
            "energy": ("energy", AXES.energy.centers),
            "energy_edges": ("energy_edge", AXES.energy.edges),
            "energy_true_edges": ("energy_true_edge", AXES.energy_true.edges),
            "rad_edges": ("rad_edge", AXES.rad_edges),
        },
        attrs={"binsize": BINSIZE, "cell": CELL, "grid": GRID.key()},
    )


def counts_of(observations, number):
    """Counts (e, y, x) of the events of one component."""
    counts = np.zeros((AXES.energy.size, *GRID.shape))
    for made in observations:
        chosen = made.events["MC_ID"] == number
        energy = AXES.energy.index(made.events["ENERGY"][chosen].astype(float))
        y, x, inside = GRID.pixel_index(made.events["RA"][chosen], made.events["DEC"][chosen])
        inside &= energy >= 0
        np.add.at(counts, (energy[inside], y[inside], x[inside]), 1.0)
    return counts


def blocks(values):
    """Sums over blocks of pixels."""
    n_energy, ny, nx = values.shape
    return values.reshape(n_energy, ny // BLOCK, BLOCK, nx // BLOCK, BLOCK).sum(axis=(2, 4))


def pulls(counts, expected):
    """Pulls of the bins that expect enough; those that expect less are one bin together."""
    used = expected >= LEAST
    rest = expected[~used].sum()
    found = (counts[used] - expected[used]) / np.sqrt(expected[used])
    return np.append(found, (counts[~used].sum() - rest) / np.sqrt(rest)) if rest > LEAST else found


def closed_loop(ontime):
    """Number of events, and pulls by component, for an ontime in s a pointing."""
    models = sky()
    observations = [
        observation(
            models,
            obs_id=number,
            pointing=Pointing("icrs", place(east, north)["lon_0"], DEC + north),
            tables=array_responses(),
            start=np.array([0.0]),
            stop=np.array([ontime]),
            livetime=0.9 * ontime,
        )
        for number, (east, north) in enumerate(POINTINGS, start=1)
    ]
    dataset = stacked(observations)
    predicted = predict(dataset, models, components=True)
    names = ["background", *(model.name for model in models)]
    found = {}
    total = np.zeros((AXES.energy.size, *GRID.shape))
    for number, name in enumerate(names):
        counts = counts_of(observations, number)
        total += counts
        found[name] = pulls(blocks(counts), blocks(predicted[name].values))
    np.testing.assert_array_equal(total, dataset["counts"].values)
    return int(total.sum()), found


def check(found):
    """Chi2 per degree of freedom of all bins, and of every component as far as its bins allow."""
    together = np.concatenate(list(found.values()))
    report = {name: (values.size, round(float(np.mean(values**2)), 3)) for name, values in found.items()}
    for name, (n_bins, value) in report.items():
        assert abs(value - 1.0) < max(0.1, 4.0 * np.sqrt(2.0 / n_bins)), (name, report)
    assert abs(np.mean(together)) < 4.0 / np.sqrt(together.size)
    return float(np.mean(together**2)), together.size, report


def test_simulated_events_are_the_predicted_counts():
    n_events, found = closed_loop(5e4)
    assert n_events > 1e5
    value, n_bins, report = check(found)
    assert abs(value - 1.0) < max(0.1, 4.0 * np.sqrt(2.0 / n_bins)), report


def test_a_million_events_are_the_predicted_counts():
    n_events, found = closed_loop(5e5)
    assert n_events > 1e6
    value, n_bins, report = check(found)
    print(f"{n_events} events, {n_bins} bins, chi2 / dof {value:.3f}, by component {report}")
    assert abs(value - 1.0) < 0.1, report
