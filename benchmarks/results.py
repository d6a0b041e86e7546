"""Results of the benchmarks: rows, and the two files that they are written to."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "numba", "scipy", "astropy", "xarray", "zarr", "dask")


@dataclass(frozen=True)
class Row:
    """One comparison.

    Parameters
    ----------
    name : str
        What was done.
    peer, ours : float
        Medians of both sides.
    unit : str
        ``s`` or ``GB``.
    target : float or None
        Ratio of the two that is aimed at.
    limit : float or None
        Largest value of ours that is aimed at.
    """

    name: str
    peer: float
    ours: float
    unit: str
    target: float | None = None
    limit: float | None = None

    @property
    def ratio(self) -> float:
        """How many times less ours is."""
        return self.peer / self.ours

    @property
    def met(self) -> bool:
        """Whether the aim is met."""
        enough = self.target is None or self.ratio >= self.target
        return enough and (self.limit is None or self.ours < self.limit)

    @property
    def aim(self) -> str:
        """The aim in words."""
        if self.limit is not None:
            return f"below {self.limit:g} {self.unit}"
        return "" if self.target is None else f"{self.target:g}x"


def processor() -> str:
    """Name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def amount(value: float, unit: str) -> str:
    """A number with its unit, small times in ms or us."""
    if unit == "s" and value < 1e-3:
        return f"{value * 1e6:.3g} us"
    if unit == "s" and value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.3g} {unit}"


def described(value: Any) -> str:
    """A remark's value on one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {described(item)}" for name, item in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


READING = (
    "Made by `make bench`. Both sides in one run, on one and the same core, one thread each, warm, tasks alternating;\n"
    "medians of {repeats}, each of them a median of three where the task (20 observations, a map) takes less than two\n"
    "seconds: the system takes memory back from a process that stands still in the other side's turn. Counts and norms of\n"
    "the timed reductions are checked to agree, and so are the timed maps."
)


def write_results(
    rows: Iterable[Row],
    remarks: Mapping[str, Any],
    *,
    folder: Path | None,
    repeats: int,
    stem: str = "RESULTS",
    title: str = "Benchmarks beside Gammapy 2.1",
    about: str = READING,
) -> str:
    """Write ``RESULTS.md`` and ``results.json``; returns the text of the first.

    Parameters
    ----------
    rows : iterable of Row
        Comparisons.
    remarks : mapping
        What else was measured.
    folder : pathlib.Path or None
        Where to; None writes nothing.
    repeats : int
        That the medians are of.
    stem, title, about : str
        Name of the files (upper case, and lower case for JSON), heading and first paragraph of the text.
    """
    rows = list(rows)
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"# {title}",
        "",
        about.format(repeats=repeats),
        "",
        f"{processor()}; Python {platform.python_version()}, {packages}.",
        "",
        "| what | Gammapy 2.1 | here | ratio | aim | |",
        "|---|---:|---:|---:|---:|---|",
        *(
            f"| {row.name} | {amount(row.peer, row.unit)} | {amount(row.ours, row.unit)} | {row.ratio:.3g} | {row.aim} "
            f"| {('met' if row.met else 'missed') if row.aim else ''} |"
            for row in rows
        ),
        "",
        *(f"- {name}: {described(value)}" for name, value in remarks.items()),
        "",
    ]
    text = "\n".join(lines)
    if folder is not None:
        (folder / f"{stem}.md").write_text(text)
        content = {
            "rows": [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows],
            "remarks": dict(remarks),
        }
        (folder / f"{stem.lower()}.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    return text
