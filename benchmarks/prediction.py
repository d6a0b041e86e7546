"""Evaluations of a source as a fit asks for them, beside the peer's: ``python -m benchmarks.prediction``.

A Gaussian of 0.28 degrees, whose cut-out is all of 3.5 x 3.5 degrees of 0.02, 20 reconstructed and 30 true energies,
responses that vary over the field. One core each; the median of evaluations, from the models to the counts on the dataset,
that change one parameter: the norm, the spectral index, the longitude.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

import numpy as np

from benchmarks.side import Side

N_EVALUATIONS = {"norm": 20, "spectrum": 20, "position": 10}
REPEATS = 3
SOURCE = {"type": "gauss", "sigma": 0.28, "east": 0.11, "north": -0.07}


class Ours:
    """Our evaluator; answers as the peer's side does."""

    def __init__(self) -> None:
        from parity_cubes import cube_of, grid_of, model_of
        from parity_predictions import Responses

        from survey.fitting.evaluator import SourceEvaluator

        self.responses = Responses(varies=True, size=175, cell=7)
        self.dataset = cube_of(self.responses)
        self.grid = grid_of(self.responses)
        self.model = model_of(SOURCE, self.responses.lon)
        self.make = SourceEvaluator
        self.shape = tuple(self.dataset.sizes[dim] for dim in ("energy", "y", "x"))

    def export(self, *, out: str) -> dict:
        """Write the cube as the peer reads it."""
        from survey.report.dataset import map_dataset, to_bytes

        Path(out).write_bytes(to_bytes(map_dataset(self.dataset, self.grid.wcs, cell=self.responses.cell)))
        return {"seconds": 0.0, "lon": self.responses.lon}

    def load(self) -> dict:
        """Join the responses and evaluate for the first time."""
        start = time.perf_counter()
        self.evaluator = self.make(self.dataset, self.model.spatial)
        counts = self.evaluator.counts(self.model.spatial, self.model.spectral).array
        return {"seconds": time.perf_counter() - start, "counts": float(counts.sum())}

    def evaluate(self, *, change: str, n: int) -> dict:
        """Median time of `n` evaluations, each with one changed parameter."""
        shape, spectrum = self.model.spatial, self.model.spectral
        self.evaluator.counts(shape, spectrum)
        times = []
        for _ in range(n + 1):
            start = time.perf_counter()
            if change == "norm":
                spectrum = spectrum.replaced(amplitude=spectrum.amplitude * 1.001)
            elif change == "spectrum":
                spectrum = spectrum.replaced(index=spectrum.index + 1e-3)
            else:
                shape = shape.replaced(lon_0=shape.lon_0 + 1e-3)
            counts = np.zeros(self.shape)
            self.evaluator.counts(shape, spectrum).add_to(counts)
            times.append(time.perf_counter() - start)
        return {"seconds": float(np.median(times[1:])), "counts": float(counts.sum())}


def serve() -> None:
    """Answer until the input ends."""
    from survey.compiled import use_kernel_cache

    use_kernel_cache()
    side = Ours()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(side, request.pop("task"))(**request)
        answer["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(answer), flush=True)


def main() -> dict[str, tuple[float, float]]:
    """Print and return seconds of an evaluation by what changed, ours and the peer's: medians of turns one after the other."""
    root = Path(__file__).parents[1]
    ours = Side([sys.executable, "-m", "benchmarks.prediction", "serve"], core=0, environment={"PYTHONPATH": str(root)})
    peer = Side([os.environ["SURVEY_PEER_PYTHON"], str(root / "benchmarks" / "peer_prediction.py")], core=0)
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder, ours, peer:
        cube = f"{folder}/cube.fits"
        lon = ours.ask("export", out=cube)["lon"]
        found["first"] = ours.ask("load")["seconds"], peer.ask("load", cube=cube, source=SOURCE, lon=lon)["seconds"]
        for change, n in N_EVALUATIONS.items():
            turns = [
                [side.ask("evaluate", change=change, n=n)["seconds"] for side in (ours, peer)] for _ in range(REPEATS)
            ]
            a, b = np.median(turns, axis=0)
            found[change] = float(a), float(b)
    for change, (a, b) in found.items():
        print(f"{change:10} ours {1e3 * a:8.2f} ms   peer {1e3 * b:8.2f} ms   {b / a:6.1f} times")
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main()
