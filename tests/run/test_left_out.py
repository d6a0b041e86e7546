"""An observation that the index spoils is named, whatever becomes of it."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

import survey
from survey.pipeline import validate
from survey.refusal import Refusal


@pytest.fixture
def misspelt(settings, store, tmp_path):
    """Configuration of a store in whose index one background of the second observation is called bgk."""
    root = shutil.copytree(store, tmp_path / "small")
    with fits.open(root / "hdu-index.fits.gz", memmap=False) as hdus:
        rows = hdus[1].data
        second = np.unique(rows["OBS_ID"])[1]
        rows["HDU_TYPE"][(rows["OBS_ID"] == second) & (rows["HDU_TYPE"] == "bkg")] = "bgk"
        hdus.writeto(root / "hdu-index.fits.gz", overwrite=True)
    settings["observations"]["datastore"] = str(root)
    return settings


def test_an_observation_asked_for_that_lacks_a_response_is_set_aside(misspelt):
    misspelt["observations"]["obs_ids"] = [1, 2]
    checked = validate(misspelt)
    assert checked.exit_status == 3
    assert any("error: OBS_ID 2 hdu-index.fits.gz: no bkg HDU" in line for line in checked.lines)
    assert any("OBS_ID 2 hdu-index.fits.gz: HDU_TYPE 'bgk' is not known" in line for line in checked.lines)
    run = survey.run(misspelt, listeners=[])
    assert run.exit_status == 3
    (row,) = (row for row in run.observations if row["obs_id"] == 2)
    assert (row["status"], "no bkg HDU" in row["reason"]) == ("set_aside", True)


def test_a_whole_store_goes_without_it_and_says_so(misspelt):
    checked = validate(misspelt)
    assert checked.exit_status == 0
    assert any("warning: OBS_ID 2 hdu-index.fits.gz: no bkg HDU" in line for line in checked.lines)
    assert any("HDU_TYPE 'bgk' is not known" in line for line in checked.lines)


def test_when_none_is_left_the_index_is_told(misspelt):
    misspelt["observations"]["obs_ids"] = [2]
    with pytest.raises(Refusal, match="HDU_TYPE 'bgk' is not known"):
        validate(misspelt)
