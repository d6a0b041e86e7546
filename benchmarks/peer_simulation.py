"""The peer's event sampler on a store with one observation and a file of models: prints seconds and events as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings

import astropy.units as u
from gammapy.data import DataStore
from gammapy.datasets import MapDataset, MapDatasetEventSampler
from gammapy.makers import MapDatasetMaker
from gammapy.maps import MapAxis, WcsGeom
from gammapy.modeling.models import FoVBackgroundModel, Models

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


def main() -> None:
    """Sample twice, the first time to warm up; the dataset is made apart."""
    store, models = sys.argv[1:]
    observation = DataStore.from_dir(store).get_observations()[0]
    energy = MapAxis.from_energy_bounds(0.1, 100, 10, unit="TeV", per_decade=True)
    energy_true = MapAxis.from_energy_bounds(0.06, 140, 10, unit="TeV", per_decade=True, name="energy_true")
    migra = MapAxis.from_bounds(0.2, 5, nbin=160, node_type="edges", name="migra")
    geom = WcsGeom.create(
        skydir=observation.get_pointing_icrs(observation.tmid), binsz=0.02, width=8 * u.deg, axes=[energy]
    )
    begin = time.perf_counter()
    empty = MapDataset.create(geom, energy_axis_true=energy_true, migra_axis=migra, name="one")
    dataset = MapDatasetMaker(selection=["exposure", "background", "psf", "edisp"]).run(empty, observation)
    made = time.perf_counter() - begin
    dataset.models = [*Models.read(models), FoVBackgroundModel(dataset_name="one")]
    seconds = []
    for seed in (0, 1):
        begin = time.perf_counter()
        events = MapDatasetEventSampler(random_state=seed).run(dataset, observation)
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"dataset": made, "seconds": seconds[-1], "events": len(events.table)}))


if __name__ == "__main__":
    main()
