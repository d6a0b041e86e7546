"""Event files changed at random in one place: refused in clear lines, or read with the counts that astropy reads.

What is read goes on through the reduction, where it is set aside in a line or adds finite numbers to a cube.
"""

import gzip
import io
import os
import random
import re
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from survey.events.datastore import open_datastore
from survey.events.fits_file import FitsFile
from survey.events.gadf_writer import write_store
from survey.events.observation import Observation, ObservationRejected
from survey.events.source import ObservationSource
from survey.events.synthetic import make_observation
from survey.events.synthetic_response import SyntheticInstrument
from survey.reduction.axes import Axes
from survey.reduction.contribution import contribution
from survey.reduction.prepare import prepare
from survey.reduction.settings import ReductionSettings
from survey.sky.energy import RAD_EDGES, EnergyAxis
from survey.sky.grid import SkyGrid

BLOCK, CARD = 2880, 80
NEEDED = ("EVENTS", "GTI", "AEFF", "EDISP", "PSF", "BKG")
WILD = ("1e300", "-1", "99999999999999999999", "'abc'", "T", "0", "NaN", "1e999", "", "'", "1.5", "-2147483648")
AXES = Axes(
    EnergyAxis.from_bounds("energy", 0.3, 30.0, 3), EnergyAxis.from_bounds("energy_true", 0.1, 80.0, 4), RAD_EDGES
)
GRID = SkyGrid.create(proj="CAR", frame="icrs", lon=83.6, lat=-22.0, binsize=0.2, width=(4, 4), binsize_irf=1.0)
SETTINGS = ReductionSettings(safe_methods=("offset-max",), safe_offset_max=2.0)
SECONDS = 20.0
"""No file of this size may take longer, however busy the machine is."""


@dataclass(frozen=True)
class Victim:
    """A sound file, and the source that reads what is put in its place."""

    source: ObservationSource
    path: Path
    content: bytes
    hdus: dict[str, tuple[int, int, int]]
    """By name: where the header begins, where the data begin, bytes of data."""

    def cards(self, name: str, pattern: str) -> list[int]:
        """Places of the cards of a header whose keywords match."""
        place, start, _ = self.hdus[name]
        return [at for at in range(place, start, CARD) if re.fullmatch(pattern, self.keyword(at))]

    def keyword(self, at: int) -> str:
        return self.content[at : at + 8].decode().strip()

    def value(self, name: str, keyword: str) -> str:
        (at,) = self.cards(name, keyword)
        return self.content[at + 10 : at + CARD].decode().partition("/")[0].strip()


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutations")
    instrument = SyntheticInstrument(n_energy=6, n_offset=3)
    root = write_store(folder / "store", [make_observation(1, 83.6, -22, n_events=200, instrument=instrument)])
    source = open_datastore(root).sources[0]
    content = (Path(source.root) / source.hdus[0].file).read_bytes()
    changed = replace(source, root=str(folder), hdus=tuple(one._replace(file="one.fits") for one in source.hdus))
    hdus = {hdu.name: (hdu.place, hdu.start, hdu.size) for hdu in FitsFile.parse(content).hdus}
    return Victim(changed, folder / "one.fits", content, hdus)


def with_card(content: bytes, at: int, value: str) -> bytes:
    """The file with the value of a card replaced."""
    card = content[at : at + 8] + b"= " + value.rjust(20).encode()
    return content[:at] + card.ljust(CARD)[:CARD] + content[at + CARD :]


def headers(victim: Victim, rng: random.Random) -> tuple[bytes, bool | None]:
    """A keyword gets a wild value, goes, or is not text any more."""
    name = rng.choice(NEEDED)
    at = rng.choice(victim.cards(name, r"[A-Z0-9_-]+"))
    match rng.choice(["wild", "gone", "noise", "no end"]):
        case "wild":
            return with_card(victim.content, at, rng.choice(WILD)), None
        case "gone":
            needed = victim.keyword(at) in {"XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "TFIELDS", "END"}
            return victim.content[:at] + b" " * CARD + victim.content[at + CARD :], needed or None
        case "noise":
            return victim.content[:at] + rng.randbytes(CARD) + victim.content[at + CARD :], None
        case _:
            (end,) = victim.cards(name, "END")
            return victim.content[:end] + b"COMMENT ".ljust(CARD) + victim.content[end + CARD :], True


def sizes(victim: Victim, rng: random.Random) -> tuple[bytes, bool | None]:
    """A table says that it has more or fewer rows, columns or bytes than it has."""
    name = rng.choice(NEEDED)
    keyword = rng.choice(["NAXIS1", "NAXIS2", "TFIELDS", "PCOUNT", "BITPIX", "GCOUNT"])
    was = int(victim.value(name, keyword))
    is_now = rng.choice([was + 1, was - 1, 2 * was + 1, -was - 1, was + 10**6, 10**12, 0])
    (at,) = victim.cards(name, keyword)
    breaks = is_now != was and (keyword in ("NAXIS1", "BITPIX") or (keyword == "NAXIS2" and not 0 <= is_now < 10**5))
    return with_card(victim.content, at, str(is_now)), breaks or None


def types(victim: Victim, rng: random.Random) -> tuple[bytes, bool | None]:
    """A column says that it is of another type."""
    name = rng.choice(NEEDED)
    at = rng.choice(victim.cards(name, r"TFORM\d+"))
    form = victim.content[at + 10 : at + CARD].decode().partition("/")[0].strip(" '")
    repeat, letter = form[:-1], form[-1]
    other = rng.choice("LXBIJKAEDCMPQZ?")
    width = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "E": 4, "K": 8, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
    breaks = width.get(other) != width[letter]
    return with_card(victim.content, at, f"'{repeat + other}'"), breaks or None


def truncations(victim: Victim, rng: random.Random) -> tuple[bytes, bool | None]:
    """The file ends early, or a piece of it is missing."""
    size = len(victim.content)
    if rng.random() < 0.7:
        return victim.content[: rng.randrange(size - BLOCK)], True
    start = rng.randrange(BLOCK, size - BLOCK)
    return victim.content[:start] + victim.content[start + rng.randrange(BLOCK, 5 * BLOCK) :], None


def values(victim: Victim, rng: random.Random) -> tuple[bytes, bool | None]:
    """A number in a table is wild, or bytes of it are noise."""
    name = rng.choice(NEEDED)
    _, start, size = victim.hdus[name]
    data = bytearray(victim.content)
    if rng.random() < 0.5:
        for _ in range(rng.choice([1, 10, 200])):
            data[start + rng.randrange(size)] = rng.randrange(256)
        return bytes(data), None
    with fits.open(io.BytesIO(victim.content)) as hdus:
        table = hdus[name].data
        column = rng.choice([one for one in table.names if table[one].dtype.kind == "f"])
        flat = table[column].reshape(-1)
        wild = rng.choice([np.nan, np.inf, -np.inf, 1e30, -1.0])
        flat[rng.randrange(flat.size)] = wild
        table[column] = flat.reshape(table[column].shape)
        content = io.BytesIO()
        hdus.writeto(content)
    needed = name != "EVENTS" or column in ("TIME", "RA", "DEC", "ENERGY")
    return content.getvalue(), (not np.isfinite(wild) and needed) or None


KINDS = (headers, sizes, types, truncations, values)


def by_astropy(content: bytes) -> dict[str, np.ndarray] | None:
    """Columns of the events, as astropy reads them; None where it does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with fits.open(io.BytesIO(content)) as hdus:
                table = hdus["EVENTS"].data
                return {name: np.array(table[name]) for name in ("TIME", "RA", "DEC", "ENERGY")}
        except (KeyError, ValueError, AssertionError, fits.VerifyError):
            return None


def check(victim: Victim, seed: int) -> str:
    """Change the file once, read it, and hold what comes out against the law; returns how it ended."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    content, breaks = kind(victim, rng)
    told = f"seed {seed}, {kind.__name__}"
    victim.path.write_bytes(gzip.compress(content, 1) if rng.random() < 0.2 else content)
    begun = time.perf_counter()
    try:
        observation = victim.source.load()
    except ObservationRejected as error:
        lines = str(error).splitlines()
        assert lines, told
        for line in lines:
            assert re.match(r"OBS_ID 1 (one\.fits|.*\[)", line), f"{told}: {line}"
            assert "cannot be read: " not in line, f"{told}: {line}"
            assert len(line) < 400, f"{told}: {line}"
            assert line.isprintable(), f"{told}: {line!r}"
        return "rejected"
    finally:
        assert time.perf_counter() - begun < SECONDS, told
    assert not breaks, f"{told}: the format is broken and nothing is said"
    expected = by_astropy(content)
    if (
        expected is None
    ):  # astropy wants every card of the table whole: the events are all there, and the oddity is told
        assert any(re.match(r"\[[A-Z]+\] [A-Z0-9_]+: ", note) for note in observation.notes), told
        expected = by_astropy(victim.content)
        ended = "read by us alone"
    else:
        ended = "read"
    assert observation.n_events == len(expected["TIME"]), told
    for name, column in expected.items():
        found = observation.events[name]
        assert np.isfinite(found).all(), told
        if name in ("TIME", "ENERGY"):
            edges = np.quantile(column, [0, 0.25, 0.5, 0.75, 1])
            np.testing.assert_array_equal(np.histogram(found, edges)[0], np.histogram(column, edges)[0], told)
    reduce(observation, told)
    return ended


def reduce(observation: Observation, told: str) -> None:
    """Bring an observation to the axes of a survey and into a cube."""
    prepared, line = None, ""
    try:
        prepared = prepare(observation, GRID, AXES, SETTINGS)
    except ObservationRejected as error:
        line = str(error)
    if prepared is None:
        assert line.startswith(observation.identity), told
        assert len(line.splitlines()) == 1, told
        return
    assert prepared.ledger.read == observation.n_events, told
    sums = contribution(prepared, GRID.geometry(GRID.full_window), AXES)
    assert sums["counts"].sum() == prepared.n_in_cube, told
    for name, values in sums.items():
        assert np.isfinite(values).all(), f"{told}: {name}"
        assert (values >= 0).all(), f"{told}: {name}"


@pytest.mark.parametrize("part", range(5))
def test_mutated_files_are_refused_or_counted_as_astropy_does(victim, part):
    seed = int(os.environ.get("SURVEY_MUTATIONS_SEED", "0"))
    ended = [check(victim, seed + one) for one in range(200 * part, 200 * (part + 1))]
    assert ended.count("rejected") > 50
    assert ended.count("read") > 10
