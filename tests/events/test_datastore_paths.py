"""Where an index leads: missing files, wrong checksums and duplicates are told together, paths that leave are refused."""

import os
import shutil
import time

import numpy as np
import pytest
from astropy.io import fits
from spoiled_store import replaced, set_keys, with_columns, with_rows

from survey.events.datastore import DataStore, DataStoreError, check_datastore, open_datastore
from survey.events.problems import summary


def rename(**changes):
    """Change of text columns of the HDU index: column to {old: new}, for every row."""

    def change(hdus):
        new = {}
        for column, words in changes.items():
            values = [words.get(value, value) for value in hdus[1].data[column]]
            new[column] = {"format": f"{max(map(len, values))}A", "array": np.array(values)}
        replaced(hdus, 1, with_columns(hdus[1], **new))

    return change


def messages(store: DataStore) -> list[str]:
    return [problem.line() for problem in store.problems]


def test_missing_files_are_told_together_and_the_others_are_read(make_spoiled):
    store = make_spoiled(4)
    for obs_id in (2, 4):
        store.path(obs_id).unlink()
    opened = store.open()
    assert [source.obs_id for source in opened.sources] == [1, 3]
    assert messages(opened) == [
        "OBS_ID 2 data/obs_000002.fits: does not exist",
        "OBS_ID 4 data/obs_000004.fits: does not exist",
    ]
    with pytest.raises(DataStoreError) as caught:
        store.open(strict=True)
    assert len(str(caught.value).splitlines()) == 2


def test_missing_hdu_wrong_checksum_and_lost_rows_are_told_together(make_spoiled):
    store = make_spoiled(4, with_md5=True)
    assert check_datastore(store.open()) == ()
    store.edit(lambda hdus: hdus.pop(hdus.index_of("BKG")), 2)
    with store.path(3).open("ab") as stream:
        stream.write(b"\0" * 2880)
    store.edit_index(lambda hdus: replaced(hdus, 1, with_rows(hdus[1], hdus[1].data["OBS_ID"] != 4)))
    lines = [line for line in summary(check_datastore(store.open())) if line.startswith("error")]
    assert len(lines) == 3
    assert "OBS_ID 4 hdu-index.fits.gz: is in the observation index, but has no HDU" in lines[0]
    assert "OBS_ID 2 data/obs_000002.fits: MD5 is" in lines[1]
    assert "OBS_ID 3 data/obs_000003.fits: MD5 is" in lines[2]


def test_missing_hdu_is_named_with_those_that_there_are(spoiled):
    spoiled.edit(lambda hdus: hdus.pop(hdus.index_of("BKG")))
    assert "bkg is missing: the file has no HDU 'BKG', only" in spoiled.rejection()


def test_missing_hdus_of_a_file_are_one_line(spoiled):
    def drop(hdus):
        for name in ("BKG", "GTI"):
            hdus.pop(hdus.index_of(name))

    spoiled.edit(drop)
    (line,) = spoiled.rejection().splitlines()
    assert "gti, bkg are missing: the file has no HDUs 'GTI', 'BKG', only" in line or "bkg, gti are missing" in line


def test_observation_without_gti_is_set_aside(make_spoiled):
    store = make_spoiled(2)

    def drop(hdus):
        rows = hdus[1].data
        keep = (rows["OBS_ID"] != 2) | (rows["HDU_TYPE"] != "gti")
        replaced(hdus, 1, with_rows(hdus[1], keep))

    store.edit_index(drop)
    opened = store.open()
    assert [source.obs_id for source in opened.sources] == [1]
    assert messages(opened) == ["OBS_ID 2 hdu-index.fits.gz: has no gti HDU"]


def test_duplicate_rows_are_told_with_both_paths(spoiled):
    shutil.copy(spoiled.path(), spoiled.root / "data" / "again.fits")

    def double(hdus):
        names = [*hdus[1].data["FILE_NAME"], "again.fits"]
        more = with_rows(hdus[1], [*range(len(hdus[1].data)), 0])
        replaced(hdus, 1, with_columns(more, FILE_NAME=np.array(names)))

    spoiled.edit_index(double)
    with pytest.raises(DataStoreError, match=r"duplicate events: data/obs_000001\.fits .* and data/again\.fits"):
        spoiled.open()


@pytest.mark.parametrize("folder", ["../outside", "{root}/../outside", "data/../../outside"])
def test_paths_that_lead_outside_are_refused(make_spoiled, folder):
    store = make_spoiled(2)
    outside = store.root.parent / "outside"
    shutil.copytree(store.root / "data", outside)
    store.edit_index(rename(FILE_DIR={"data": folder.format(root=store.root)}))
    with pytest.raises(DataStoreError, match="leads outside the data store"):
        store.open()
    opened = store.open(roots=[outside])
    assert len(opened.sources) == 2
    assert opened.sources[0].load().n_events == 300


def test_links_that_lead_outside_are_refused(spoiled):
    outside = spoiled.root.parent / "elsewhere.fits"
    shutil.move(spoiled.path(), outside)
    spoiled.path().symlink_to(outside)
    with pytest.raises(DataStoreError, match="leads outside the data store"):
        spoiled.open()
    assert len(spoiled.open(roots=[outside.parent]).sources) == 1


def test_store_behind_a_link_is_a_store(spoiled):
    link = spoiled.root.parent / "link"
    link.symlink_to(spoiled.root)
    assert open_datastore(link).sources[0].load().n_events == 300


def test_base_dir_of_the_header_is_inside(spoiled):
    base = spoiled.root.parent / "files"
    shutil.move(spoiled.root / "data", base / "data")
    spoiled.edit_index(set_keys("HDU_INDEX", BASE_DIR=str(base)))
    assert spoiled.open().sources[0].load().n_events == 300
    spoiled.edit_index(set_keys("HDU_INDEX", BASE_DIR="../files"))
    assert spoiled.open().sources[0].load().n_events == 300
    spoiled.edit_index(rename(FILE_DIR={"data": "../small"}))
    shutil.copytree(base / "data", spoiled.root / "x")
    with pytest.raises(DataStoreError, match="does not exist"):
        spoiled.open()


def test_file_that_was_gzipped_later_is_found(spoiled):
    import gzip

    path = spoiled.path()
    path.with_suffix(".fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert spoiled.load().n_events == 300


def test_two_stores_are_one(make_spoiled):
    one, two = make_spoiled(2), make_spoiled(1, name="other")
    store = open_datastore([one.root, two.root])
    assert [source.identity for source in store.sources] == ["small-1", "small-2", "other-1"]
    assert store.table["IDENTITY"].tolist() == [source.identity for source in store.sources]
    with pytest.raises(DataStoreError, match="given twice, the first is small-1"):
        open_datastore([one.root, one.root])


def test_places_without_data_are_refused(tmp_path):
    with pytest.raises(DataStoreError, match="there is no such file or folder"):
        open_datastore(tmp_path / "nothing")
    with pytest.raises(DataStoreError, match="no hdu-index and no FITS file"):
        open_datastore(tmp_path)
    (tmp_path / "text.fits").write_text("text")
    with pytest.raises(DataStoreError, match="is no FITS file"):
        open_datastore(tmp_path / "text.fits")


def test_problems_of_several_stores_are_told_together(tmp_path):
    with pytest.raises(DataStoreError) as caught:
        open_datastore([tmp_path / "one", tmp_path / "two"])
    assert len(str(caught.value).splitlines()) == 2


def test_opening_does_not_open_the_files(make_spoiled):
    store = make_spoiled(3)
    for obs_id in (1, 2, 3):
        store.path(obs_id).write_bytes(b"")
    assert len(store.open().sources) == 3


def test_large_index_opens_in_seconds(tmp_path, spoiled):
    """Ten thousand observations in well under the second a thousand that a run could bear."""
    n = 10_000
    folder = tmp_path / "large"
    (folder / "data").mkdir(parents=True)
    os.link(spoiled.path(), folder / "data" / "one.fits")

    def grow(kind):
        def change(hdus):
            size = len(hdus[1].data)
            changes = {"OBS_ID": np.repeat(np.arange(n), size)}
            if kind == "hdu":
                changes["FILE_NAME"] = np.full(n * size, "one.fits")
            more = with_rows(hdus[1], np.tile(np.arange(size), n))
            replaced(hdus, 1, with_columns(more, **changes))

        return change

    for kind in ("hdu", "obs"):
        spoiled.edit_index(grow(kind), kind)
        shutil.copy(spoiled.root / f"{kind}-index.fits.gz", folder)
    start = time.perf_counter()
    assert len(open_datastore(folder).sources) == n
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("code", ["C", "M"])
def test_complex_columns_of_an_index_are_left_out(make_spoiled, code):
    spoiled = make_spoiled(2)

    def change(hdus):
        table = hdus[1]
        column = fits.Column(name="WAVE", format=code, array=np.full(len(table.data), 1 + 2j))
        replaced(hdus, 1, fits.BinTableHDU.from_columns([*table.columns, column], header=table.header))

    spoiled.edit_index(change, "obs")
    store = spoiled.open()
    assert [source.obs_id for source in store.sources] == [1, 2]
    assert "WAVE" not in store.table.colnames
    assert "WAVE" not in store.sources[0].record


def test_a_file_url_is_the_path_that_it_names(make_spoiled):
    store = make_spoiled(2)
    by_path, by_url = open_datastore(store.root), open_datastore(f"file://{store.root}")
    assert by_url.sources == by_path.sources
