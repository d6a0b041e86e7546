"""Truncated and corrupt files set their observation aside with clear lines: no crash, no hang, no warning."""

import contextlib
import gzip
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survey.events.datastore import DataStoreError, open_datastore
from survey.events.fits_file import FitsError, FitsFile, decompress
from survey.events.fits_table import BinaryTable
from survey.events.gadf_writer import write_store
from survey.events.observation import ObservationRejected
from survey.events.source import ObservationSource
from survey.events.synthetic import make_observation
from survey.events.synthetic_response import SyntheticInstrument

BLOCK = 2880
WILD = ("1e300", "-1", "99999999999999999999", "'abc'", "T", "0", "NaN", "1e999", "", "'", "1.5", "-2147483648")


def small_store(folder: Path) -> ObservationSource:
    instrument = SyntheticInstrument(n_energy=6, n_offset=3)
    root = write_store(folder, [make_observation(1, 83.6, -22, n_events=100, instrument=instrument)])
    return open_datastore(root).sources[0]


def rejection(source: ObservationSource) -> str:
    with pytest.raises(ObservationRejected) as caught:
        source.load()
    return str(caught.value)


def mutate(content: bytes, headers: list[tuple[int, int]], rng: random.Random) -> bytes:
    """Change a FITS file in one of the ways that disks, networks and people do."""
    data = bytearray(content)
    first, last = rng.choice(headers)
    match rng.choice(["cut off", "cut out", "bytes", "header", "digits", "card"]):
        case "cut off":
            return content[: rng.randrange(len(content))]
        case "cut out":
            start = rng.randrange(len(content))
            return content[:start] + content[start + rng.randrange(1, 5000) :]
        case "bytes":
            for _ in range(rng.choice([1, 10, 500])):
                data[rng.randrange(len(data))] = rng.randrange(256)
        case "header":
            for _ in range(rng.choice([1, 5, 50])):
                data[rng.randrange(first, last)] = rng.choice(b"0123456789 -'=/TFE.,()AZ\xff\x00")
        case "digits":
            for place in [i for i in range(first, last) if 48 <= data[i] < 58][:: rng.choice([7, 50])]:
                data[place] = rng.choice(b"0123456789-. ")
        case "card":
            start = rng.randrange(first, last, 80)
            data[start : start + 80] = (
                bytes(data[start : start + 8]) + b"= " + rng.choice(WILD).rjust(20).encode()
            ).ljust(80)
    return bytes(data)


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("victim")
    source = small_store(folder / "store")
    content = (Path(source.root) / source.hdus[0].file).read_bytes()
    headers = [(hdu.place, hdu.start) for hdu in FitsFile.parse(content).hdus]
    broken = replace(source, root=str(folder), hdus=tuple(one._replace(file="broken.fits") for one in source.hdus))
    return broken, content, headers


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_mutated_files_are_read_or_rejected(victim, seed):
    source, content, headers = victim
    rng = random.Random(seed)
    mutated = mutate(content, headers, rng)
    if rng.random() < 0.3:
        mutated = gzip.compress(mutated, 1)
    (Path(source.root) / "broken.fits").write_bytes(mutated)
    lines: list[str] = []
    try:
        observation = source.load()
    except ObservationRejected as error:
        lines = str(error).splitlines() or ["nothing is said"]
    assert all(line.startswith("OBS_ID 1") and "cannot be read: " not in line for line in lines)
    if not lines:
        for name in ("TIME", "RA", "DEC", "ENERGY"):
            assert np.isfinite(observation.events[name]).all()
        for response in observation.responses.values():
            assert all(np.isfinite(values).all() for values in response.values.values())


def test_mutated_indexes_are_read_or_refused(tmp_path):
    source = small_store(tmp_path / "store")
    rng = random.Random(5)
    for kind in ("hdu", "obs"):
        path = Path(source.root) / f"{kind}-index.fits.gz"
        content = path.read_bytes()
        plain = gzip.decompress(content)
        headers = [(hdu.place, hdu.start) for hdu in FitsFile.parse(plain).hdus]
        for _ in range(60):
            path.write_bytes(gzip.compress(mutate(plain, headers, rng), 1))
            with contextlib.suppress(DataStoreError):
                open_datastore(source.root)
        path.write_bytes(content)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_gzip_is_named(tmp_path, keep):
    source = small_store(tmp_path / "store")
    path = Path(source.root) / source.hdus[0].file
    content = gzip.compress(path.read_bytes())
    path.write_bytes(content[: max(int(keep * len(content)), 3)])
    assert rejection(source) == "OBS_ID 1 data/obs_000001.fits: is truncated gzip"


def test_truncated_file_names_the_hdu(tmp_path):
    source = small_store(tmp_path / "store")
    path = Path(source.root) / source.hdus[0].file
    path.write_bytes(path.read_bytes()[:-BLOCK])
    assert rejection(source).startswith("OBS_ID 1 data/obs_000001.fits: is truncated or corrupt: HDU 6 needs ")


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b"<html>", "is no FITS file: it begins with b'<html>'")]
)
def test_what_is_no_fits_file_is_named(tmp_path, content, words):
    source = small_store(tmp_path / "store")
    (Path(source.root) / source.hdus[0].file).write_bytes(content)
    assert words in rejection(source)


def header(*cards: str) -> bytes:
    return "".join(card.ljust(80) for card in (*cards, "END")).encode().ljust(BLOCK)


PRIMARY = header("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0")


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        (["NAXIS   = 999999999"], "NAXIS is 999999999, expected at most 999"),
        (["NAXIS   = 2", "NAXIS1  = -1", "NAXIS2  = 1"], "NAXIS1 is -1, expected a whole number >= 0"),
        (
            ["NAXIS   = 2", "NAXIS1  = 1000000000000", "NAXIS2  = 1000000000000"],
            "needs 10{24} bytes of data, 0 are there",
        ),
        (["NAXIS   = 2", "NAXIS1  = 'x'", "NAXIS2  = 1"], "NAXIS1 is 'x', expected a whole number"),
    ],
)
def test_sizes_are_proved_before_anything_is_allocated(cards, words):
    content = PRIMARY + header("XTENSION= 'BINTABLE'", "BITPIX  = 8", *cards)
    broken = FitsFile.parse(content).broken
    assert words.replace("10{24}", "1" + "0" * 24) in broken


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        (["TFIELDS = 1000000000"], "TFIELDS is 1000000000"),
        (["TFIELDS = 1", "TFORM1  = '9D'"], "columns take 72 bytes a row, NAXIS1 says 8"),
        (["TFIELDS = 1", "TFORM1  = 'nonsense'"], "TFORM1 is 'NONSENSE'"),
        (["TFIELDS = 1", "TFORM1  = 'D'", "TSCAL1  = 1e999"], "TSCAL1 is inf"),
        (["TFIELDS = 1", "TFORM1  = 'D'", "GCOUNT  = 0"], "1 rows of 8 bytes do not fit"),
    ],
)
def test_tables_whose_header_lies_are_refused(cards, words):
    lines = ["XTENSION= 'BINTABLE'", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 8", "NAXIS2  = 1"]
    content = PRIMARY + header(*lines, *cards) + bytes(BLOCK)
    with pytest.raises(FitsError, match=words):
        BinaryTable(FitsFile.parse(content).hdus[1])


def test_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr("survey.events.fits_file.MAX_BYTES", 10_000)
    with pytest.raises(FitsError, match="unpacks to more than 10000 bytes"):
        decompress(gzip.compress(bytes(1_000_000)))


def test_missing_padding_is_told_and_read(tmp_path):
    source = small_store(tmp_path / "store")
    path = Path(source.root) / source.hdus[0].file
    content = path.read_bytes()
    last = FitsFile.parse(content).hdus[-1]
    path.write_bytes(content[: last.start + last.size])
    assert "the last block is not padded to 2880 bytes" in "\n".join(source.load().notes)
