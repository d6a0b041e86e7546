"""The terms of data go with every copy of them."""

from survey.events.ingest import ingest
from survey.events.synthetic import make_store
from survey.events.terms import terms_of_use


def test_the_terms_beside_the_data_are_found(tmp_path):
    (tmp_path / "README.txt").write_text("say thanks")
    assert terms_of_use([str(tmp_path)]) == "say thanks"
    assert terms_of_use([f"{tmp_path}/events.fits.gz", f"{tmp_path}/"]) == "say thanks"
    (tmp_path / "ATTRIBUTION.txt").write_text("say many thanks")
    assert terms_of_use([str(tmp_path)]) == "say many thanks"


def test_without_terms_their_absence_is_said(tmp_path):
    assert terms_of_use([f"{tmp_path}/mine"]) == "No terms of use were found beside mine: ask the owners of the data.\n"


def test_an_archive_keeps_the_terms(tmp_path):
    store = make_store(tmp_path / "data", n_observations=1, livetime=60.0)
    (store / "README.txt").write_text("say thanks")
    ingest(store, tmp_path / "archive.zarr", kind="none", workers=1, listeners=[])
    assert terms_of_use([str(tmp_path / "archive.zarr")]) == "say thanks"
