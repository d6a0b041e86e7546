"""The GADF writer gives valid files, the same bytes for the same observations, and types as they were."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from survey.events.datastore import open_datastore
from survey.events.gadf_writer import observation_hdus, write_hdus, write_store
from survey.events.synthetic import make_observation, make_observations
from survey.events.synthetic_response import SyntheticInstrument


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("compress", [False, True])
def test_same_observations_give_same_bytes(tmp_path, compress):
    one = write_store(tmp_path / "one", make_observations(2), compress=compress)
    two = write_store(tmp_path / "two", make_observations(2), compress=compress)
    assert digests(one) == digests(two)
    assert len(digests(one)) == 4


def test_shared_responses_give_the_bytes_of_single_files(tmp_path):
    observations = make_observations(2)
    root = write_store(tmp_path / "store", observations)
    write_hdus(observation_hdus(observations[1]), tmp_path / "single.fits")
    assert (tmp_path / "single.fits").read_bytes() == (root / "data" / "obs_000002.fits").read_bytes()


def test_indexes_name_every_hdu(tmp_path):
    instrument = SyntheticInstrument(rad_max=0.2)
    observations = [make_observation(7, 10.0, -20.0, pointing="table", instrument=instrument)]
    root = write_store(tmp_path / "store", observations, with_md5=True)
    with fits.open(root / "hdu-index.fits.gz") as hdus:
        index = hdus["HDU_INDEX"].data
        rows = {row["HDU_TYPE"]: row for row in index}
        assert set(rows) == {"events", "gti", "pointing", "aeff", "edisp", "psf", "bkg", "rad_max"}
        assert rows["psf"]["HDU_CLASS"] == "psf_table"
        path = root / rows["events"]["FILE_DIR"] / rows["events"]["FILE_NAME"]
        assert rows["events"]["SIZE"] == path.stat().st_size
        assert rows["events"]["MD5"] == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        with fits.open(path) as file:
            assert {row["HDU_NAME"] for row in index} == {hdu.name for hdu in file[1:]}
    with fits.open(root / "obs-index.fits.gz") as hdus:
        row = hdus["OBS_INDEX"].data[0]
        assert row["OBS_ID"] == 7
        assert row["RA_PNT"] == 10.0
        assert row["EVENT_COUNT"] == observations[0].n_events
        assert hdus["OBS_INDEX"].header["TIMESYS"] == "TT"


def test_drift_observations_say_so(tmp_path):
    drift = make_observation(1, 10.0, -20.0, pointing="altaz")
    header = observation_hdus(drift)["EVENTS"].header
    assert header["OBS_MODE"] == "DRIFT"
    assert header["ALT_PNT"] == drift.pointing.alt
    assert header["HDUVERS"] == "0.3"


def test_axis_order_is_written(tmp_path):
    hdu = observation_hdus(make_observation(1, 10.0, -20.0))["BKG"]
    assert hdu.header["CREF7"] == "(ENERG_LO:ENERG_HI,DETX_LO:DETX_HI,DETY_LO:DETY_HI)"
    assert hdu.header["TDIM7"] == "(12,30,30)"
    assert hdu.header["FOVALIGN"] == "RADEC"


@pytest.mark.parametrize(
    "values",
    [
        np.arange(5, dtype=np.int16),
        np.arange(5, dtype=np.uint8),
        np.array([-128, -1, 0, 1, 127], dtype=np.int8),
        np.array([0, 1, 2, 3, 65535], dtype=np.uint16),
        np.array([0, 1, 2, 3, 2**64 - 1], dtype=np.uint64),
        np.array([True, False, True, True, False]),
        np.linspace(0.0, 1.0, 15).astype(np.float32).reshape(5, 3),
        np.arange(30).reshape(5, 3, 2),
        np.array(["a", "bcd", "", "e", "f"]),
    ],
    ids=lambda values: f"{values.dtype}{values.shape[1:]}",
)
def test_column_types_survive(tmp_path, values):
    observation = make_observation(1, 10.0, -20.0, n_events=5)
    odd = replace(observation, events={**observation.events, "ODD": values})
    write_hdus(observation_hdus(odd), tmp_path / "odd.fits.gz")
    with fits.open(tmp_path / "odd.fits.gz") as hdus:
        read = np.asarray(hdus["EVENTS"].data["ODD"])
    assert read.dtype.kind == values.dtype.kind
    assert read.shape == values.shape
    np.testing.assert_array_equal(read, values)


def test_bits_of_event_types_survive(tmp_path):
    observation = make_observation(1, 10.0, -20.0, n_events=20, extra_columns=True)
    write_hdus(observation_hdus(observation), tmp_path / "bits.fits")
    with fits.open(tmp_path / "bits.fits") as hdus:
        assert hdus["EVENTS"].columns["EVENT_TYPE"].format == "32X"
        np.testing.assert_array_equal(hdus["EVENTS"].data["EVENT_TYPE"], observation.events["EVENT_TYPE"])


def test_types_without_fits_format_are_refused():
    observation = make_observation(1, 10.0, -20.0, n_events=5)
    odd = replace(observation, events={**observation.events, "ODD": np.zeros(5, np.float16)})
    with pytest.raises(ValueError, match="column ODD: type float16 has no FITS format"):
        observation_hdus(odd)


def test_equal_obs_ids_are_refused(tmp_path):
    observation = make_observation(1, 10.0, -20.0, n_events=5)
    with pytest.raises(ValueError, match="OBS_ID 1 is there twice"):
        write_store(tmp_path, [observation, observation])


@pytest.mark.parametrize("pointing", ["icrs", "altaz", "table"])
@pytest.mark.parametrize("form", ["bkg_2d", "bkg_3d"])
def test_what_is_written_is_read(tmp_path, pointing, form):
    instrument = SyntheticInstrument(bkg_form=form, background_gradient=(0.1, 0.0), rad_max=0.2, lo_thres=0.3)
    options = {"pointing": pointing, "instrument": instrument, "extra_columns": True, "n_gti": 2}
    observation = make_observation(5, 83.0, -22.0, store="store", **options)
    write_store(tmp_path / "store", [observation])
    (source,) = open_datastore(tmp_path / "store").sources
    read = source.load()
    assert read.identity == observation.identity
    assert read.notes == ()
    assert list(read.events) == list(observation.events)
    for name, values in observation.events.items():
        assert read.events[name].dtype == values.dtype
        np.testing.assert_array_equal(read.events[name], values)
    assert read.responses.keys() == observation.responses.keys()
    for kind, table in observation.responses.items():
        other = read.responses[kind]
        assert [axis.name for axis in other.axes] == [axis.name for axis in table.axes]
        assert other.axes_hash == table.axes_hash
        for name, values in table.values.items():
            np.testing.assert_array_equal(other.values[name], values)
    assert read.pointing.mode == pointing
    assert read.pointing.ra == pytest.approx(83.0, abs=1e-9)
    assert read.livetime == pytest.approx(observation.livetime, rel=1e-12)
    np.testing.assert_array_equal(read.gti_start, observation.gti_start)
    assert read.responses["aeff"].metadata["LO_THRES"] == 0.3
