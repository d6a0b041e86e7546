"""Where a run keeps what: the files under ``general.outdir``, on a disk or an object store."""

from __future__ import annotations

import sys
from dataclasses import dataclass

OWN_FILES = frozenset(
    {"cube.zarr", "observations.ecsv", "maps.zarr", "maps", "npred.zarr", "models.yaml", "run.json", "ATTRIBUTION.txt"}
    | {"run.html", "dataset.fits", ".survey"}
)


@dataclass(frozen=True)
class Layout:
    """Paths of a run's products.

    Parameters
    ----------
    outdir : str
        Folder or fsspec URL of the run's output.
    """

    outdir: str

    def _join(self, *parts: str) -> str:
        return "/".join((self.outdir.rstrip("/"), *parts))

    @property
    def cube(self) -> str:
        """The DL4 store."""
        return self._join("cube.zarr")

    @property
    def maps(self) -> str:
        """The DL5 maps."""
        return self._join("maps.zarr")

    @property
    def npred(self) -> str:
        """Counts that sky models predict."""
        return self._join("npred.zarr")

    @property
    def models(self) -> str:
        """The sky models of the run."""
        return self._join("models.yaml")

    @property
    def observations(self) -> str:
        """A row an observation."""
        return self._join("observations.ecsv")

    @property
    def record(self) -> str:
        """Provenance, ledger, timings."""
        return self._join("run.json")

    @property
    def page(self) -> str:
        """Timeline, memory and links, for a browser."""
        return self._join("run.html")

    @property
    def attribution(self) -> str:
        """What the owners of the data ask to be said."""
        return self._join("ATTRIBUTION.txt")

    @property
    def dataset(self) -> str:
        """The exported DL4 file."""
        return self._join("dataset.fits")

    @property
    def work(self) -> str:
        """Plan, markers, failures, lock: nothing that a user needs to open."""
        return self._join(".survey")

    @property
    def configuration(self) -> str:
        """The configuration of the last run that started."""
        return self._join(".survey", "configuration.json")

    @property
    def pictures(self) -> str:
        """Maps as FITS and PNG files."""
        return self._join("maps")

    def picture(self, name: str, kind: str) -> str:
        """A map as a file of `kind` (``fits`` or ``png``)."""
        return self._join("maps", f"{name}.{kind}")

    def prepared(self, identity: str) -> str:
        """An observation on the survey's axes."""
        return sys.intern(self._join(".survey", "prepared", f"{identity}.prepared"))  # many units name it

    def norm(self, identity: str) -> str:
        """The background fit of an observation."""
        return sys.intern(self._join(".survey", "norms", f"{identity}.json"))

    def partial(self, tile: str, part: int) -> str:
        """Sum of one part of a tile's observations."""
        return self._join(".survey", "partial", f"{tile}.{part}.sums")
