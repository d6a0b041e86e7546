"""The products of a run, opened lazily: the cube, the maps, the table of observations, the record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from survey.layout import Layout
from survey.refusal import Refusal

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import QTable, Table


@dataclass(frozen=True)
class Run:
    """A finished run.

    Parameters
    ----------
    outdir : str
        Folder or URL of its output.
    """

    outdir: str

    @property
    def layout(self) -> Layout:
        """Where its products are."""
        return Layout(self.outdir)

    @cached_property
    def record(self) -> dict[str, Any]:
        """Provenance, ledger, timings: ``run.json``."""
        from survey.store import urls

        try:
            record: dict[str, Any] = json.loads(urls.read_bytes(self.layout.record))
        except FileNotFoundError:
            raise Refusal(
                f"there is no finished run in {self.outdir}: run.json is missing; `survey run` makes it"
            ) from None
        if record.get("state") in ("running", "stopped"):
            how = f"it was stopped ({record['reason']})" if record["reason"] else "it is running, or was killed"
            raise Refusal(
                f"there is no finished run in {self.outdir}: {how}; `survey run` goes on, `survey status` says how far it is"
            )
        return record

    @cached_property
    def cube(self) -> xr.Dataset:
        """The DL4 cube: an xarray.Dataset that reads what is asked for; `.sky` cuts out and plots."""
        import survey.report.accessor  # noqa: F401 - registers .sky
        from survey.store.cube import open_cube

        return open_cube(f"{self.layout.cube}/{self.record['dataset']}")

    @cached_property
    def maps(self) -> xr.DataTree:
        """The DL5 maps: ``maps["ts"]``, ``maps["excess"]``; `.sky` plots a map by its name."""
        import xarray as xr

        import survey.report.accessor  # noqa: F401 - registers .sky
        from survey.store.cube import open_cube

        return xr.DataTree.from_dict({name: open_cube(f"{self.layout.maps}/{name}") for name in self.record["maps"]})

    @cached_property
    def npred(self) -> xr.Dataset:
        """Counts that the run's sky models predict, of sources and of the background; read when asked for.

        Raises
        ------
        Refusal
            When the run had no models.
        """
        import survey.report.accessor  # noqa: F401 - registers .sky
        from survey.store.cube import open_cube

        if not self.record.get("predicted_counts"):
            raise Refusal(f"the run in {self.outdir} had no sky models; give it some with --models")
        return open_cube(f"{self.layout.npred}/{self.record['dataset']}")

    @cached_property
    def observations(self) -> Table:
        """A row an observation."""
        import io

        from astropy.table import Table

        from survey.store import urls

        return Table.read(io.BytesIO(urls.read_bytes(self.layout.observations)), format="ascii.ecsv")

    def peaks(self, *, threshold: float = 5.0, separation: float = 0.3, band: int = 0) -> QTable:
        """What stands out in the map of significance: that of the TS map where there is one, else of the excess map.

        Parameters
        ----------
        threshold : float
            Least significance.
        separation : float
            Least distance between two peaks, deg.
        band : int
            Energy band of the map.

        Returns
        -------
        astropy.table.QTable
            See `survey.estimators.peaks.find_peaks`.

        Raises
        ------
        Refusal
            When the run made no map of significance, or has no such band.
        """
        from survey.estimators.peaks import find_peaks

        made = [name for name in ("ts", "excess") if name in self.record["maps"]]
        if not made:
            raise Refusal(f"the run in {self.outdir} made no map of significance; add ts_map or excess_map to its file")
        maps = self.maps[made[0]].to_dataset()
        bands = maps.sizes["energy"]
        if not 0 <= band < bands:
            raise Refusal(f"found band {band}, the map {made[0]} has {bands}: expected 0 to {bands - 1}")
        image = maps["sqrt_ts"].isel(energy=band).values
        return find_peaks(image, maps.sky.wcs, threshold=threshold, separation=separation)

    def export(self) -> str:
        """Write the cube as ``dataset.fits``, which ``gammapy.datasets.MapDataset.read`` opens; returns where it is."""
        from survey.report.dataset import map_dataset, to_bytes
        from survey.store import urls

        cube = self.cube
        hdus = map_dataset(cube, cube.sky.wcs, cell=int(cube.attrs["cell"]), name=str(self.record["dataset"]))
        urls.write_bytes(self.layout.dataset, to_bytes(hdus))
        return self.layout.dataset

    @property
    def n_set_aside(self) -> int:
        """Observations that were set aside."""
        return int(self.record["observations"]["set_aside"])

    @property
    def exit_status(self) -> int:
        """0 done; 1 units other than observations failed; 3 done, with observations set aside."""
        if self.record["failed_units"]:
            return 1
        return 3 if self.n_set_aside else 0

    def summary(self) -> str:
        """What was made, in a few lines."""
        record = self.record
        counts, ledger = record["observations"], record["ledger"]
        lines = [
            f"{counts['used']} observations used, {counts['set_aside']} set aside; {ledger['read']} events read, "
            f"{ledger['in_cube']} in the cube"
        ]
        for name, stage in record["timings"]["stages"].items():
            ran = stage["done"] + stage["set_aside"] + stage["failed"]
            lines.append(
                f"{name:<18} {stage['done']:>6} done, {stage['skipped']:>6} found done, {stage['seconds']:8.1f} s of work"
            )
            if ran != stage["done"]:
                lines[-1] += f", {stage['set_aside']} set aside, {stage['failed']} failed"
        lines += [f"set aside: {line}" for line in record["set_aside"][:10]]
        if len(record["set_aside"]) > 10:
            lines.append(f"... and {len(record['set_aside']) - 10} more: see {self.layout.observations}")
        lines += [f"failed: {line}" for line in record["failed_units"]]
        lines.append(
            f"{record['wall_seconds']:.0f} s in all; products in {self.outdir}, pictures in {self.outdir}/maps"
        )
        return "\n".join(lines)


def open_run(outdir: str) -> Run:
    """Open the products of a run.

    Raises
    ------
    Refusal
        When there is no finished run in `outdir`.
    """
    from cluster.object_store import check_stores

    check_stores(str(outdir))
    run = Run(str(outdir))
    _ = run.record
    return run
