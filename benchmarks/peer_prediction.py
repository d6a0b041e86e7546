"""The peer's side of `benchmarks.prediction`: its evaluator on our exported cube. Answers as `peer_side` does."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

import numpy as np
from gammapy.datasets import MapDataset
from peer_npred import model_of

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


class Peer:
    """What the peer can be asked to do."""

    def load(self, *, cube: str, source: dict, lon: float) -> dict:
        """Read the cube, and evaluate the source for the first time."""
        self.dataset = dataset = MapDataset.read(cube, name="cube")
        start = time.perf_counter()
        dataset.models = [model_of(source, lon)]
        counts = dataset.npred_signal().data.sum()
        return {"seconds": time.perf_counter() - start, "counts": float(counts)}

    def evaluate(self, *, change: str, n: int) -> dict:
        """Median time of `n` evaluations, each with one changed parameter."""
        model = self.dataset.models["source"]
        parameter, step = {
            "norm": (model.spectral_model.amplitude, 1e-14),
            "spectrum": (model.spectral_model.index, 1e-3),
            "position": (model.spatial_model.lon_0, 1e-3),
        }[change]
        times = []
        for _ in range(n + 1):
            parameter.value += step
            start = time.perf_counter()
            counts = self.dataset.npred_signal()
            times.append(time.perf_counter() - start)
        return {"seconds": float(np.median(times[1:])), "counts": float(counts.data.sum())}


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
