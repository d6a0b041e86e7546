"""The peer's side of the benchmarks: runs in the peer's environment and answers requests, one JSON object a line.

Not imported by anything: `benchmarks.side` starts it. Every answer has ``seconds``, the wall-clock time of the task
alone, and ``peak_memory``, the largest resident size of this process so far, in bytes.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

import astropy.units as u
import numpy as np
from gammapy.data import DataStore
from gammapy.datasets import MapDataset
from gammapy.estimators import ExcessMapEstimator, TSMapEstimator
from gammapy.makers import FoVBackgroundMaker, MapDatasetMaker, SafeMaskMaker
from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel
from parity_fields import EXCESS_RADIUS, KERNEL_WIDTH, MSH
from peer_common import empty_dataset, exclusion_mask

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


class Peer:
    """What the peer can be asked to do."""

    def __init__(self) -> None:
        self.store = DataStore.from_dir(Path(os.environ["SURVEY_DATA"]) / "hess-dl3-dr1")
        self.empty = empty_dataset(MSH)
        self.excluded = exclusion_mask(MSH)
        self.stacked: MapDataset | None = None

    def read(self, *, obs_id: int) -> dict:
        """Read one observation with its events, good times and responses."""
        start = time.perf_counter()
        observation = self.store.obs(obs_id)
        parts = (observation.events, observation.gti, observation.aeff, observation.edisp, observation.psf)
        background = observation.bkg
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "parts": len(parts) + (background is not None)}

    def reduce(self, *, obs_ids: list[int], oversampling: int | None) -> dict:
        """Reduce observations and stack them, as the peer's ``Analysis`` does: cut-outs, makers, one stack."""
        start = time.perf_counter()
        stacked = self.empty.copy(name="stacked")
        maker = MapDatasetMaker(background_oversampling=oversampling)
        safe = SafeMaskMaker(
            methods=list(MSH.safe_methods),
            offset_max=MSH.offset_max * u.deg,
            aeff_percent=MSH.aeff_percent,
            fixed_offset=0 * u.deg,
        )
        scale = FoVBackgroundMaker(method="scale", exclusion_mask=self.excluded)
        norms = []
        for obs_id in obs_ids:
            observation = self.store.obs(obs_id)
            pointing = observation.get_pointing_icrs(observation.tmid)
            dataset = stacked.cutout(pointing, width=2 * MSH.offset_max * u.deg, name=f"run-{obs_id}")
            dataset = scale.run(safe.run(maker.run(dataset, observation), observation))
            norms.append(dataset.background_model.spectral_model.norm.value)
            stacked.stack(dataset)
        seconds = time.perf_counter() - start
        self.stacked = stacked
        return {"seconds": seconds, "counts": float(stacked.counts.data.sum()), "norms": norms}

    def load(self, *, path: str) -> dict:
        """Read a stacked dataset from FITS: both sides make maps from the same one."""
        self.stacked = MapDataset.read(path, name="stacked")
        return {"seconds": 0.0}

    def ts_map(self, *, rtol: float, out: str) -> dict:
        """TS map of the stacked dataset, a joint fit of all energy bins."""
        low, high = MSH.energy[:2]
        estimator = TSMapEstimator(
            kernel_model=SkyModel(
                spectral_model=PowerLawSpectralModel(index=2.0), spatial_model=PointSpatialModel(), name="kernel"
            ),
            kernel_width=KERNEL_WIDTH * u.deg,
            energy_edges=[low, high] * u.TeV,
            sum_over_energy_groups=False,
            rtol=rtol,
            selection_optional=[],
        )
        start = time.perf_counter()
        result = estimator.run(self.stacked)
        seconds = time.perf_counter() - start
        image = np.squeeze(result.sqrt_ts.data)
        np.save(out, image)
        return {"seconds": seconds, "pixels": int(np.isfinite(image).sum())}

    def excess_map(self, *, out: str) -> dict:
        """Excess map of the stacked dataset, all energies, with errors and upper limits left out."""
        estimator = ExcessMapEstimator(
            correlation_radius=EXCESS_RADIUS * u.deg,
            spectral_model=PowerLawSpectralModel(index=2.0),
            sum_over_energy_groups=True,
            selection_optional=[],
        )
        start = time.perf_counter()
        result = estimator.run(self.stacked)
        seconds = time.perf_counter() - start
        np.save(out, np.squeeze(result.sqrt_ts.data))
        return {"seconds": seconds}


def main() -> None:
    """Answer until the input ends."""
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(peer, request.pop("task"))(**request)
        answer["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
