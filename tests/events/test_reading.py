"""Reading gives back what was written, bit by bit, from any arrangement of files."""

import gzip
import json
import shutil

import numpy as np
import pytest
from astropy.io import fits
from spoiled_store import replaced, set_keys, with_rows

from survey.events.datastore import DataStoreError, open_datastore
from survey.events.fits_file import FitsFile
from survey.events.fits_table import BinaryTable
from survey.events.gadf_writer import write_store
from survey.events.source import ObservationSource
from survey.events.synthetic import make_observation
from survey.events.synthetic_response import SyntheticInstrument


def assert_same_bits(one, two):
    assert one.dtype == two.dtype
    assert one.shape == two.shape
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("forms", [("psf_table", "bkg_3d"), ("psf_3gauss", "bkg_2d"), ("psf_king", "bkg_3d")])
def test_what_was_written_is_read_to_the_bit(tmp_path, forms, compress):
    instrument = SyntheticInstrument(n_energy=8, n_offset=3, psf_form=forms[0], bkg_form=forms[1], rad_max=0.3)
    written = make_observation(7, 10, -30, n_events=50, extra_columns=True, instrument=instrument, n_gti=2)
    root = write_store(tmp_path / "store", [written], compress=compress)
    read = open_datastore(root).sources[0].load()
    assert list(read.events) == list(written.events)
    for name, values in written.events.items():
        assert_same_bits(read.events[name], values)
    assert set(read.responses) == set(written.responses)
    for kind, response in written.responses.items():
        found = read.responses[kind]
        assert found.form == response.form
        assert found.units == response.units
        assert found.axes_hash == response.axes_hash
        for name, values in response.values.items():
            assert_same_bits(found.values[name], values)
    assert_same_bits(read.gti_start, written.gti_start)
    assert_same_bits(read.gti_stop, written.gti_stop)
    assert read.reference == written.reference
    assert read.livetime == pytest.approx(written.livetime, rel=1e-15)
    assert read.location.x.value == pytest.approx(written.location.x.value, abs=1e-3)
    assert read.notes == ()


def test_drifting_pointing_is_computed_at_mid_run(make_spoiled):
    store = make_spoiled(pointing="altaz")
    pointing = store.load().pointing
    assert pointing.mode == "altaz"
    # The synthetic observation culminates where it was asked for at mid-run.
    assert pointing.ra == pytest.approx(83.6, abs=1e-6)
    assert pointing.dec == pytest.approx(-21.9, abs=1e-6)
    store.edit(set_keys("EVENTS", GEOLON=None))
    store.edit_index(lambda hdus: hdus[1].header.remove("GEOLON", ignore_missing=True), "obs")
    assert "GEOLON, GEOLAT: is missing: a drifting pointing" in store.rejection()


def test_pointing_table_is_interpolated_at_mid_run(make_spoiled):
    store = make_spoiled(pointing="table")
    pointing = store.load().pointing
    assert pointing.mode == "table"
    assert pointing.time.size == pointing.table_ra.size == pointing.table_dec.size
    assert pointing.dec == pytest.approx(-21.9, abs=1e-9)
    store.edit(lambda hdus: hdus["POINTING"].data["DEC_PNT"].__setitem__(3, np.nan))
    assert "[POINTING]: row 4 cannot be" in store.rejection()


def test_only_wanted_responses_are_read(spoiled):
    assert set(spoiled.load(responses=("aeff",)).responses) == {"aeff"}
    assert spoiled.load(responses=()).responses == {}


def test_bare_files_give_the_observations_of_the_index(make_spoiled):
    store = make_spoiled(2)
    indexed = [source.load() for source in store.open().sources]
    files = [open_datastore([store.path(2), store.path(1)])]
    for name in ("hdu-index.fits.gz", "obs-index.fits.gz"):
        (store.root / name).unlink()
    files.append(open_datastore(store.root))
    for opened in files:
        assert opened.table["OBS_ID"].tolist() == [1, 2]
        assert opened.table["RA_PNT"].tolist() == [83.6, 83.6]
        for source, other in zip(opened.sources, indexed, strict=True):
            read = source.load()
            assert read.livetime == other.livetime
            assert_same_bits(read.events["ENERGY"], other.events["ENERGY"])
            for kind, response in other.responses.items():
                assert read.responses[kind].content_hash == response.content_hash
    assert [source.identity for source in files[1].sources] == ["small-1", "small-2"]


def test_files_without_events_are_left_out(spoiled, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    shutil.copy(spoiled.path(), folder / "events.fits")
    fits.HDUList([fits.PrimaryHDU()]).writeto(folder / "other.fits")
    store = open_datastore(folder)
    assert len(store.sources) == 1
    assert [problem.line() for problem in store.problems] == ["other.fits: has no EVENTS HDU: left out"]
    (folder / "events.fits").unlink()
    with pytest.raises(DataStoreError, match="no observation can be read"):
        open_datastore(folder)


def test_store_without_observation_index_reads_the_headers(spoiled):
    (spoiled.root / "obs-index.fits.gz").unlink()
    store = spoiled.open()
    assert store.table["RA_PNT"][0] == 83.6
    assert store.sources[0].load().n_events == 300
    assert any("no observation index" in problem.line() for problem in store.problems)


def test_index_file_may_be_named(spoiled):
    assert len(open_datastore(spoiled.root / "hdu-index.fits.gz").sources) == 1


def test_identity_and_fingerprint_do_not_depend_on_the_place(make_spoiled, tmp_path):
    store = make_spoiled(3)
    copy = tmp_path / "elsewhere" / "small"
    shutil.copytree(store.root, copy, copy_function=shutil.copy2)
    here, there = store.open(), open_datastore(copy)
    assert (
        [s.identity for s in here.sources] == [s.identity for s in there.sources] == ["small-1", "small-2", "small-3"]
    )
    assert [s.fingerprint() for s in here.sources] == [s.fingerprint() for s in there.sources]
    assert len({s.fingerprint() for s in here.sources}) == 3


def test_order_of_the_index_does_not_matter(make_spoiled):
    store = make_spoiled(3)
    before = store.open()
    for kind in ("hdu", "obs"):
        store.edit_index(lambda hdus: replaced(hdus, 1, with_rows(hdus[1], slice(None, None, -1))), kind)
    after = store.open()
    assert after.sources == before.sources
    assert after.table["OBS_ID"].tolist() == [1, 2, 3]


def test_fingerprint_changes_with_file_and_window(spoiled):
    source = spoiled.open().sources[0]
    before = source.fingerprint()
    assert source.within([(55000.0, 55001.0)]).fingerprint() != before
    spoiled.edit(set_keys("EVENTS", OBJECT="other"))
    assert source.fingerprint() != before
    spoiled.path().unlink()
    assert source.fingerprint() != before


def test_source_survives_json(spoiled):
    source = spoiled.open().sources[0].within([(55000.0, 55001.0)])
    again = ObservationSource.from_dict(json.loads(json.dumps(source.as_dict(), allow_nan=False)))
    assert again == source
    assert hash(again) == hash(source)
    assert again.fingerprint() == source.fingerprint()


def test_columns_are_those_that_astropy_reads(tmp_path):
    rng = np.random.default_rng(1)
    n = 7
    columns = [
        fits.Column("B", "B", array=rng.integers(0, 256, n)),
        fits.Column("I", "3I", array=rng.integers(-99, 99, (n, 3))),
        fits.Column("U", "J", bzero=2**31, array=rng.integers(0, 2**32, n).astype(np.uint32)),
        fits.Column("K", "K", array=rng.integers(-(2**60), 2**60, n)),
        fits.Column("E", "E", array=rng.random(n).astype(np.float32)),
        fits.Column("D", "2D", array=rng.random((n, 2))),
        fits.Column("S", "E", bscale=0.5, bzero=10.0, array=rng.integers(0, 9, n) * 0.5 + 10),
        fits.Column("L", "L", array=rng.random(n) < 0.5),
        fits.Column("X", "11X", array=rng.random((n, 11)) < 0.5),
        fits.Column("ra", "E", array=np.zeros(n)),
        fits.Column("RA", "E", array=np.ones(n)),
    ]
    columns.append(fits.Column("T", "6A", array=["a", "bc", "def", "", "it's", "f", "g"]))
    path = tmp_path / "columns.fits.gz"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="it's")]).writeto(path)
    with fits.open(path) as hdus:
        table = BinaryTable(FitsFile.open(str(path)).find("it's"))
        assert list(table.columns) == [column.name for column in columns]
        for column in columns:
            expected = np.asarray(hdus[1].data.field(hdus[1].columns.names.index(column.name)))
            np.testing.assert_array_equal(table.read(column.name).tolist(), expected.tolist(), err_msg=column.name)
        assert table.read("U").dtype == np.uint32


def test_headers_are_those_that_astropy_reads(tmp_path):
    header = fits.Header()
    values = {"TEXT": "it's / so", "LONG": "x" * 150, "TRUE": True, "INT": -12, "FLOAT": 1.5e-300, "BIG": 2**40}
    for key, value in values.items():
        header[key] = (value, "with / a comment")
    header["EMPTY"] = None
    header["COMMENT"] = "nothing"
    path = tmp_path / "header.fits"
    fits.HDUList([fits.PrimaryHDU(header=header)]).writeto(path)
    read = FitsFile.open(str(path)).hdus[0].header
    assert {key: read.get(key) for key in values} == values
    assert "EMPTY" not in read


def test_gzip_of_several_members_is_one_file(spoiled):
    content = spoiled.path().read_bytes()
    half = len(content) // 2
    path = spoiled.root / "two.fits.gz"
    path.write_bytes(gzip.compress(content[:half]) + gzip.compress(content[half:]))
    assert len(FitsFile.open(str(path)).hdus) == len(FitsFile.parse(content).hdus)
