"""``survey export``: the cube of a run as one FITS file for Gammapy."""

from __future__ import annotations

import survey.report.accessor  # noqa: F401 - registers .sky
from survey.products import open_run
from survey.report.dataset import map_dataset, to_bytes
from survey.store import urls


def export(outdir: str) -> str:
    """Write ``dataset.fits`` of a finished run; returns where it is.

    Raises
    ------
    Refusal
        When there is no finished run in `outdir`.
    """
    run = open_run(outdir)
    cube = run.cube
    hdus = map_dataset(cube, cube.sky.wcs, cell=int(cube.attrs["cell"]), name=str(run.record["dataset"]))
    urls.write_bytes(run.layout.dataset, to_bytes(hdus))
    return run.layout.dataset
