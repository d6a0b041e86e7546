"""Times the event sampling of one observation beside the peer's ``MapDatasetEventSampler``.

``SURVEY_PEER_PYTHON=... python -m benchmarks.simulation``: the same responses and models on both sides, one thread each, on
one core. The peer samples a dataset on a grid of 0.02 degrees and 8 degrees wide, which it makes first; the time of that is
given apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.side import THREADS
from survey.compiled import use_kernel_cache

RA, DEC = 83.63, -22.0
ONTIME, LIVETIME = 1680.0, 1600.0
REPEATS = 20


def main() -> dict[str, float]:
    """Print and return both times, and the number of events."""
    use_kernel_cache()
    from astropy.coordinates import EarthLocation

    from survey.events.gadf_writer import write_store
    from survey.events.observation import Observation, Pointing, TimeReference
    from survey.models.collection import Models
    from survey.models.components import SkyModel
    from survey.models.power_laws import PowerLaw
    from survey.models.spatial import Point
    from survey.models.spatial_disk import Disk, Shell
    from survey.models.spatial_gauss import Gaussian
    from survey.simulation.array import ParametrisedArray
    from survey.simulation.sampler import sample_events

    def spectrum(index: float) -> PowerLaw:
        return PowerLaw(index=index, amplitude=1e-7)

    models = Models(
        [
            SkyModel("point", spectrum(2.3), Point(lon_0=RA + 0.4, lat_0=DEC)),
            SkyModel("gauss", spectrum(2.1), Gaussian(lon_0=RA - 0.7, lat_0=DEC + 0.5, sigma=0.2)),
            SkyModel("disk", spectrum(2.4), Disk(lon_0=RA + 0.3, lat_0=DEC - 1.0, r_0=0.3)),
            SkyModel("shell", spectrum(2.2), Shell(lon_0=RA - 1.0, lat_0=DEC - 0.6, radius=0.3, width=0.1)),
        ]
    )
    tables = dict(ParametrisedArray(background_rate=12.0).responses(20.0))
    reference = TimeReference(mjdrefi=55927, mjdreff=0.0, scale="tt")
    pointing = Pointing("icrs", RA, DEC, 70.0, 180.0)
    start, stop = np.array([0.0]), np.array([ONTIME])
    seconds = []
    for seed in range(REPEATS + 1):
        begin = time.perf_counter()
        events = sample_events(
            pointing,
            responses=tables,
            gti_start=start,
            gti_stop=stop,
            livetime=LIVETIME,
            reference=reference,
            models=tuple(models.values()),
            rng=np.random.default_rng(seed),
        )
        seconds.append(time.perf_counter() - begin)
    ours = median(seconds[1:])
    observation = Observation(
        identity="simulated-1",
        obs_id=1,
        pointing=pointing,
        reference=reference,
        gti_start=start,
        gti_stop=stop,
        ontime=ONTIME,
        livetime=LIVETIME,
        events=events,
        responses=tables,
        location=EarthLocation.from_geodetic(16.5, -23.27, 1835.0),
        zenith=20.0,
        metadata={"OBJECT": "field", "TELESCOP": "HESS", "INSTRUME": "PARAMETRISED"},
    )
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder) / "store", [observation])
        models.write(Path(folder) / "models.yaml")
        done = subprocess.run(
            [
                os.environ["SURVEY_PEER_PYTHON"],
                str(Path(__file__).parent / "peer_simulation.py"),
                str(Path(folder) / "store"),
                str(Path(folder) / "models.yaml"),
            ],
            env={**os.environ, **dict.fromkeys(THREADS, "1")},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    peer = json.loads(done.stdout.splitlines()[-1])
    print(f"ours {1e3 * ours:.1f} ms for {events['RA'].size} events (first, with preparation: {seconds[0]:.2f} s)")
    print(
        f"peer {peer['seconds']:.2f} s for {peer['events']} events, and {peer['dataset']:.2f} s for the dataset before"
    )
    print(f"ratio {peer['seconds'] / ours:.0f}, with the dataset {(peer['seconds'] + peer['dataset']) / ours:.0f}")
    return {"ours": ours, "peer": peer["seconds"], "dataset": peer["dataset"], "events": float(events["RA"].size)}


if __name__ == "__main__":
    main()
