"""Our side of the benchmarks: answers requests, one JSON object a line, as `peer_side` does for the peer.

`benchmarks.side` starts it in a process of its own. Work is done by the same functions in the same order as the workers
of a run do it, files written and read in between included; what a scheduler adds is measured apart.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
import warnings
from collections import defaultdict
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

import numpy as np
import parity_ours as ours
from parity_fields import EXCESS_RADIUS, KERNEL_WIDTH, MSH

import survey
from cluster.workspace import Workspace
from survey.config import load_config
from survey.estimators.excess import excess_map
from survey.estimators.settings import ExcessMapSettings, TSMapSettings
from survey.estimators.ts import ts_map
from survey.events.datastore import open_datastore
from survey.events.ingest import ingest
from survey.models import PowerLaw
from survey.outputs import create_cube_store
from survey.reduction.background_fit import field_of_view, field_of_view_totals, fit_background
from survey.reduction.contribution import accumulate
from survey.reduction.graph import reduction_units
from survey.reduction.prepare import prepare
from survey.report.dataset import map_dataset, to_bytes
from survey.sky.regions import ExclusionSpec, exclusion_mask
from survey.survey_plan import make_plan

warnings.simplefilter("ignore")

MAP_VARIABLES = ["counts", "background", "n_safe", "exposure", "psf_exposure", "edisp_exposure", "irf_exposure"]


class Ours:
    """What we can be asked to do."""

    def __init__(self) -> None:
        self.data = Path(os.environ["SURVEY_DATA"])
        self.stores: dict[str, Any] = {}
        self.dataset: Any = None

    def archive(self, *, out: str) -> dict:
        """Make the archive of the observations."""
        start = time.perf_counter()
        ingest(str(self.data / "hess-dl3-dr1"), out, kind="none", workers=1, listeners=[])
        return {"seconds": time.perf_counter() - start}

    def read(self, *, store: str, obs_id: int) -> dict:
        """Read one observation with its events, good times and responses."""
        if store not in self.stores:
            self.stores[store] = {source.obs_id: source for source in open_datastore(store).sources}
        source = self.stores[store][obs_id]
        start = time.perf_counter()
        observation = source.load()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "parts": 2 + len(observation.responses)}

    def reduce(self, *, store: str, obs_ids: list[int], out: str) -> dict:
        """Reduce observations to a cube on disk: read, prepare, fit the norm, add up the tiles, write."""
        shutil.rmtree(out, ignore_errors=True)
        field = replace(MSH, obs_ids=tuple(obs_ids))
        start = time.perf_counter()
        config = ours.config(field, self.data, Path(out))
        config["observations"]["datastore"] = store
        plan = make_plan(load_config(config))
        workspace = Workspace(plan.layout.work)
        create_cube_store(plan, workspace, overwrite=True)
        spent: dict[str, float] = defaultdict(float)
        spent["plan"] = time.perf_counter() - start
        done: set[str] = set()
        results: dict[str, dict] = {}
        for unit in reduction_units(plan):
            begin = time.perf_counter()
            module, name = unit.function.split(":")
            options = {"done": frozenset(done & set(unit.after))} if unit.after else {}
            results[unit.slot] = getattr(import_module(module), name)(**unit.keywords(), **options)
            done.add(unit.slot)
            spent[unit.slot.split("/")[0]] += time.perf_counter() - begin
        seconds = time.perf_counter() - start
        counts = sum(answer["ledger"]["in_cube"] for answer in results.values() if "ledger" in answer)
        norms = [results[slot]["norm"] for slot in sorted(results) if slot.startswith("background/")]
        return {"seconds": seconds, "counts": counts, "norms": norms, "stages": dict(spent)}

    def reduce_in_memory(self, *, store: str, obs_ids: list[int]) -> dict:
        """Reduce observations to a cube in memory, as the peer does: read, prepare, fit the norm, add up the tiles."""
        start = time.perf_counter()
        pixels, axes, settings = ours.grid(MSH), ours.axes(MSH), ours.settings(MSH)
        exclusion = ExclusionSpec(regions=ours.exclusion(MSH))
        wanted = set(obs_ids)
        prepared, norms = [], {}
        for source in open_datastore(store).sources:
            if source.obs_id not in wanted:
                continue
            observation = prepare(source.load(), pixels, axes, settings)
            geometry = field_of_view(observation, pixels)
            excluded = None if geometry is None else exclusion_mask(geometry, exclusion)
            totals = field_of_view_totals(observation, pixels, axes, geometry, excluded)
            norms[observation.identity] = fit_background(totals, axes).background_norm
            prepared.append(observation)
        counts = 0
        for tile in pixels.tiles():
            near = [one for one in prepared if tile in pixels.tiles_near(one.ra, one.dec, one.radius)]
            sums = accumulate(near, pixels.geometry(pixels.window(tile)), axes, norms=norms)
            counts += int(sums["counts"].sum())
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "counts": counts, "norms": [norm.norm for _, norm in sorted(norms.items())]}

    def run(self, *, store: str, obs_ids: list[int], out: str, kind: str, workers: int) -> dict:
        """The whole command: units, markers, pictures and all; and the largest memory of a worker."""
        shutil.rmtree(out, ignore_errors=True)
        config = ours.config(replace(MSH, obs_ids=tuple(obs_ids)), self.data, Path(out))
        config["observations"]["datastore"] = store
        config["cluster"] = {"kind": kind, "workers": workers}
        start = time.perf_counter()
        run = survey.run(config, listeners=[])
        seconds = time.perf_counter() - start
        assert not run.record["failed_units"]
        return {"seconds": seconds, "timings": run.record["timings"], "export": run.export()}

    def open(self, *, out: str) -> dict:
        """Read a finished cube into memory."""
        cube = survey.open(out).cube
        self.dataset = cube[[*MAP_VARIABLES, "energy_edges", "energy_true_edges", "rad_edges"]].load()
        self.header = cube.sky.wcs
        self.dataset.attrs = {"binsize": MSH.binsize, "cell": ours.grid(MSH).cell}
        return {"seconds": 0.0}

    def deepen(self, *, out: str) -> dict:
        """A deep field: as many times the background that half of the safe bins have counts, and Poisson counts of it."""
        safe = self.dataset["n_safe"].values > 0
        background = np.where(safe, self.dataset["background"].values, 0.0)
        low, high = 1.0, 1e6
        for _ in range(60):
            middle = np.sqrt(low * high)
            filled = 1 - np.exp(-middle * background[safe]).mean()
            low, high = (middle, high) if filled < 0.5 else (low, middle)
        random = np.random.default_rng(1552)
        deep = self.dataset.copy()
        deep["background"] = deep["background"].copy(data=low * background)
        deep["counts"] = deep["counts"].copy(data=random.poisson(low * background).astype(np.int32))
        for name in ("exposure", "psf_exposure", "edisp_exposure", "irf_exposure"):
            deep[name] = deep[name] * low
        hdus = map_dataset(deep, self.header, cell=deep.attrs["cell"])
        Path(out).write_bytes(to_bytes(hdus))
        self.dataset = deep
        filled = (deep["counts"].values[safe] > 0).mean()
        return {"seconds": 0.0, "filled": float(filled), "factor": float(low)}

    def ts_map(self, *, rtol: float, out: str) -> dict:
        """TS map of the cube in memory, a joint fit of all energy bins."""
        settings = TSMapSettings(spectral_model=PowerLaw(index=2.0), kernel_width=KERNEL_WIDTH, rtol=rtol)
        start = time.perf_counter()
        maps = ts_map(self.dataset, settings)
        seconds = time.perf_counter() - start
        image = maps["sqrt_ts"].values[0]
        np.save(out, image)
        return {"seconds": seconds, "pixels": int(np.isfinite(image).sum())}

    def excess_map(self, *, out: str) -> dict:
        """Excess map of the cube in memory, all energies together."""
        settings = ExcessMapSettings(
            correlation_radius=EXCESS_RADIUS, spectral_model=PowerLaw(index=2.0), sum_over_energy_groups=True
        )
        start = time.perf_counter()
        maps = excess_map(self.dataset, settings)
        seconds = time.perf_counter() - start
        np.save(out, maps["sqrt_ts"].values[0])
        return {"seconds": seconds}


def main() -> None:
    """Answer until the input ends."""
    side = Ours()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(side, request.pop("task"))(**request)
        answer["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(answer, default=float), flush=True)


if __name__ == "__main__":
    main()
