"""What a run would set aside, `survey validate` says, in the same words; and strict refuses it."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

import survey
from survey.pipeline import validate
from survey.refusal import Refusal


def negative(name, column):
    def change(hdus):
        hdus[name].data[column] = -np.array(hdus[name].data[column])

    return change


def key(name, keyword, value):
    def change(hdus):
        old = hdus[name].header.get(keyword)
        hdus[name].header[keyword] = value(old) if callable(value) else value

    return change


def drift_away(hdus):
    hdus["EVENTS"].header["OBS_MODE"] = "DRIFT"
    hdus["EVENTS"].header["ALT_PNT"] -= 1.0


@pytest.fixture
def spoilt(settings, store, tmp_path):
    """Function that spoils the second observation and gives the configuration for it and the first one."""

    def spoil(change):
        root = shutil.copytree(store, tmp_path / "small")
        (path,) = root.glob("data/*000002.fits*")
        with fits.open(path, memmap=False) as hdus:
            assert all(hdu.data is None or len(hdu.data) for hdu in hdus)
            change(hdus)
            hdus.writeto(path, overwrite=True)
        settings["observations"] |= {"datastore": str(root), "obs_ids": [1, 2]}
        return settings

    return spoil


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (key("BKG", "FOVALIGN", "SIDEWAYS"), "[BKG]: response bkg: FOVALIGN is 'SIDEWAYS', expected RADEC or ALTAZ"),
        (key("EVENTS", "DEC_PNT", lambda dec: dec + 0.9), "[EVENTS]: the pointing is RA"),
        (drift_away, "(from OBS_MODE = DRIFT, ALT_PNT, AZ_PNT and the times), in the index RA"),
        (negative("AEFF", "EFFAREA"), "[AEFF]: response aeff: HDU class aeff_2d, column EFFAREA holds"),
        (negative("BKG", "BKG"), "[BKG]: response bkg: HDU class"),
    ],
)
def test_checking_says_what_the_run_sets_aside(spoilt, change, words):
    settings = spoilt(change)
    checked = validate(settings)
    assert checked.exit_status == 3
    (line,) = (line for line in checked.lines if line.startswith("error"))
    assert line.startswith("error: OBS_ID 2 data/obs_000002.fits")
    assert words in line
    run = survey.run(settings, listeners=[])
    assert run.exit_status == 3
    (row,) = (row for row in run.observations if row["status"] != "used")
    assert f"error: {row['reason']}" == line


def test_strict_refuses_it(spoilt):
    settings = spoilt(key("BKG", "FOVALIGN", "SIDEWAYS"))
    settings["observations"]["strict"] = True
    with pytest.raises(Refusal, match="FOVALIGN is 'SIDEWAYS'"):
        validate(settings)


def test_an_observation_without_good_time_in_the_windows_is_told_but_not_refused(spoilt):
    """The index says until when it was observed, not when time was good."""

    def shorten(hdus):
        hdus["GTI"].data["STOP"] = hdus["GTI"].data["START"] + 200.0
        times = hdus["EVENTS"].data["TIME"]
        hdus["EVENTS"].data["TIME"] = times.min() + 1e-3 * np.arange(times.size)

    settings = spoilt(shorten)
    with fits.open(f"{settings['observations']['datastore']}/obs-index.fits.gz") as hdus:
        row = hdus[1].data[hdus[1].data["OBS_ID"] == 2][0]
        reference = hdus[1].header["MJDREFI"] + hdus[1].header["MJDREFF"]
    late = [str(np.datetime64("1858-11-17") + np.timedelta64(round((reference * 86400 + row["TSTART"] + s) * 1000), "ms"))
            for s in (400.0, 90000.0)]  # fmt: skip
    settings["observations"]["obs_time"] = {"start": late[0], "stop": late[1]}
    settings["observations"].pop("obs_ids")
    checked = validate(settings)
    assert checked.exit_status == 3
    assert any("OBS_ID 2: no good time within obs_time" in line for line in checked.lines)
    settings["observations"]["strict"] = True
    validate(settings)
