"""Every malformation that was seen in real files gets its answer: what is odd a note, what is wrong a rejection."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from spoiled_store import edit_file, replaced, set_keys, spoil_columns, with_columns, with_rows

from survey.events.datastore import DataStoreError, check_datastore, open_datastore
from survey.events.problems import refused, summary


def without_axis_reference(name):
    """Remove CREF and TDIM."""

    def change(hdus):
        for key in [key for key in hdus[name].header if key.startswith(("CREF", "TDIM"))]:
            del hdus[name].header[key]

    return change


def test_a_valid_store_has_no_problem(spoiled):
    assert check_datastore(spoiled.open()) == ()


# CTA-1DC ---------------------------------------------------------------------------------------------------------


def test_ogip_classes_and_bgd_are_aliases(spoiled):
    before = spoiled.load().responses["bkg"]
    spoiled.edit(spoil_columns("BKG", BKG={"name": "BGD", "unit": "1/s/MeV/sr"}))
    spoiled.edit(set_keys("BKG", HDUCLASS="OGIP", HDUCLAS2="BGD", HDUCLAS4="3D"))
    spoiled.edit(set_keys("AEFF", HDUCLASS="OGIP", HDUCLAS4="2D"))
    observation = spoiled.load()
    notes = "\n".join(observation.notes)
    assert "non-GADF HDUCLAS4 '3D' read as bkg_3d; column BGD used for BKG" in notes
    assert "non-GADF HDUCLAS4 '2D' read as aeff_2d" in notes
    after = observation.responses["bkg"]
    assert after.units == {"BKG": "s-1 MeV-1 sr-1"}
    np.testing.assert_array_equal(after.values["BKG"], before.values["BKG"])


def test_events_and_gti_without_class_and_unit_are_told_once_a_data_set(make_spoiled):
    store = make_spoiled(3)
    for obs_id in (1, 2, 3):
        store.edit(set_keys("EVENTS", HDUCLASS=None, HDUCLAS1=None), obs_id)
        store.edit(set_keys("GTI", HDUCLASS=None, HDUCLAS1=None), obs_id)
        store.edit(spoil_columns("GTI", START={"unit": None}, STOP={"unit": None}), obs_id)
    assert store.load(1).ontime == store.load(2).ontime
    lines = [line for line in summary(check_datastore(store.open())) if "without unit" in line]
    assert lines == ["warning: [GTI]: GTI columns without unit, s assumed (3 times, first in OBS_ID 1)"]


# Prod5 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["m**2", "m2", "m^2", "m^(2)"])
def test_units_are_parsed_leniently(spoiled, unit):
    spoiled.edit(spoil_columns("AEFF", EFFAREA={"unit": unit}))
    assert spoiled.load().responses["aeff"].units == {"EFFAREA": "m2"}
    assert spoiled.notes() == ""


def test_without_cref_axes_follow_the_order_of_columns(spoiled):
    before = spoiled.load().responses["edisp"]
    spoiled.edit(without_axis_reference("EDISP"))
    after = spoiled.load().responses["edisp"]
    assert [axis.name for axis in after.axes] == [axis.name for axis in before.axes]
    np.testing.assert_array_equal(after.values["MATRIX"], before.values["MATRIX"])


def test_cref_counts_not_the_order_of_columns(spoiled):
    """The same table written with its axes the other way round is read as the same table."""
    before = spoiled.load().responses["aeff"]

    def turn(hdus):
        hdu = hdus["AEFF"]
        values = hdu.data["EFFAREA"]
        dim = f"({values.shape[1]},{values.shape[2]})"
        new = with_columns(hdu, EFFAREA={"array": np.swapaxes(values, 1, 2), "dim": dim})
        for key in [key for key in new.header if key.startswith("CREF")]:
            new.header[key] = "(THETA_LO:THETA_HI,ENERG_LO:ENERG_HI)"
        replaced(hdus, "AEFF", new)

    spoiled.edit(turn)
    after = spoiled.load().responses["aeff"]
    assert [axis.name for axis in after.axes] == ["energy_true", "offset"]
    np.testing.assert_array_equal(after.values["EFFAREA"].T, before.values["EFFAREA"])


def test_shape_that_does_not_match_is_rejected(spoiled):
    def turn(hdus):
        values = np.swapaxes(hdus["AEFF"].data["EFFAREA"], 1, 2)
        replaced(hdus, "AEFF", with_columns(hdus["AEFF"], EFFAREA={"array": values, "dim": "(4,12)"}))

    spoiled.edit(turn)
    assert "EFFAREA shape (4,12) does not match axes ENERG(12) x THETA(4); CREF" in spoiled.rejection()
    spoiled.edit(lambda hdus: [hdus["AEFF"].header.remove(key) for key in [*hdus["AEFF"].header] if "CREF" in key])
    assert "EFFAREA shape (4,12) does not match axes ENERG(12) x THETA(4); no CREF" in spoiled.rejection()


def test_no_unit_on_amplitudes_is_accepted(make_spoiled):
    store = make_spoiled(instrument={"psf_form": "psf_3gauss"})
    store.edit(spoil_columns("PSF", AMPL_2={"unit": None}, AMPL_3={"unit": None}))
    response = store.load().responses["psf"]
    assert response.form == "psf_3gauss"
    assert response.units["AMPL_3"] == ""


# H.E.S.S. DR1 ----------------------------------------------------------------------------------------------------


def test_early_hess_longitude_is_reversed_and_told(spoiled):
    spoiled.edit(set_keys("EVENTS", CREATOR="SASH FITS::EventListWriter", HDUVERS="0.2", OBS_MODE="WOBBLE"))
    spoiled.edit(set_keys("PSF", HDUCLAS2="RPSF"))
    observation = spoiled.load()
    assert observation.responses["bkg"].metadata["FOVALIGN"] == "REVERSE_LON_RADEC"
    assert observation.pointing.mode == "icrs"
    assert "stored in reverse (CREATOR SASH FITS::EventListWriter, HDUVERS 0.2)" in "\n".join(observation.notes)


# MAGIC, VERITAS --------------------------------------------------------------------------------------------------


def test_index_that_calls_itself_the_other_one_is_read_by_its_columns(spoiled):
    spoiled.edit_index(set_keys("HDU_INDEX", HDUCLAS2="OBS", EXTNAME="OBS_INDEX"))
    store = spoiled.open()
    assert len(store.sources) == 1
    assert any("columns are those of the HDU index" in problem.line() for problem in store.problems)


def test_missing_mode_float_day_and_lower_case_scale_are_read(spoiled):
    before = spoiled.load()
    spoiled.edit(set_keys("EVENTS", OBS_MODE=None, MJDREFI=float(before.reference.mjdrefi), TIMESYS="tt"))
    after = spoiled.load()
    assert after.reference == before.reference
    assert after.pointing.mode == "icrs"
    assert "OBS_MODE: is missing, POINTING assumed" in "\n".join(after.notes)


def test_day_that_is_not_whole_is_rejected(spoiled):
    spoiled.edit(set_keys("EVENTS", MJDREFI=53402.25))
    assert "[EVENTS] MJDREFI: is 53402.25, expected a whole number" in spoiled.rejection()


def test_version_that_is_a_number_is_text(spoiled):
    spoiled.edit(set_keys("EVENTS", HDUVERS=0.2))
    spoiled.edit_index(set_keys("HDU_INDEX", HDUVERS=0.2))
    assert spoiled.load().metadata["HDUVERS"] == "0.2"


# HAWC ------------------------------------------------------------------------------------------------------------


def test_several_index_tables_need_a_choice(spoiled):
    def double(hdus):
        second = hdus[1].copy()
        second.name = "SECOND"
        hdus.append(second)

    spoiled.edit_index(double)
    with pytest.raises(DataStoreError, match=r"file has 2 index tables, choose hdu=1\.\.2"):
        spoiled.open()
    with pytest.raises(DataStoreError, match=r"choose hdu=1\.\.2.*not 3"):
        spoiled.open(index_hdu=3)
    assert len(spoiled.open(index_hdu=2).sources) == 1


def test_event_types_are_observations_of_their_own(spoiled):
    def double(hdus):
        size = len(hdus[1].data)
        more = with_rows(hdus[1], np.tile(np.arange(size), 2))
        kinds = fits.Column("EVENT_TYPE", "2A", array=np.repeat(["1", "2"], size))
        hdus[1] = fits.BinTableHDU.from_columns([*more.columns, kinds], header=hdus[1].header)

    spoiled.edit_index(double)
    assert [source.identity for source in spoiled.open().sources] == ["small-1-1", "small-1-2"]


# Responses -------------------------------------------------------------------------------------------------------


def test_missing_alignment_is_told_with_both_readings(spoiled):
    spoiled.edit(set_keys("BKG", FOVALIGN=None))
    assert "FOVALIGN: is missing: the format says ALTAZ, Gammapy reads RADEC" in spoiled.notes()
    assert "FOVALIGN" not in spoiled.load().responses["bkg"].metadata


def test_missing_class_and_bad_unit_are_read_with_warnings(spoiled):
    spoiled.edit(set_keys("BKG", HDUCLASS=None, HDUCLAS1=None, HDUCLAS2=None, HDUCLAS3=None, HDUCLAS4=None))
    spoiled.edit(spoil_columns("BKG", BKG={"unit": "per something"}))
    notes = spoiled.notes()
    assert "no HDUCLAS4, read as bkg_3d by its columns" in notes
    assert "unit 'per something' is not understood, s-1 MeV-1 sr-1 assumed" in notes


@pytest.mark.parametrize("form", ["psf_table", "psf_3gauss", "psf_king"])
def test_class_comes_from_the_header_not_from_the_index(make_spoiled, form):
    store = make_spoiled(instrument={"psf_form": form, "bkg_form": "bkg_2d"})
    bare = open_datastore(store.path())
    assert bare.sources[0].load().responses["psf"].form == form
    assert bare.sources[0].load().responses["bkg"].form == "bkg_2d"

    def misname(hdus):
        hdus[1].data["HDU_CLASS"][hdus[1].data["HDU_TYPE"] == "psf"] = "psf_none"

    store.edit_index(misname)
    assert "HDU_CLASS: is 'psf_none', which is not read" in store.rejection()


def test_wrong_class_in_the_index_is_told(make_spoiled):
    store = make_spoiled(instrument={"psf_form": "psf_king"})

    def misname(hdus):
        classes = np.where(hdus[1].data["HDU_TYPE"] == "psf", "psf_3gauss", hdus[1].data["HDU_CLASS"])
        replaced(hdus, 1, with_columns(hdus[1], HDU_CLASS={"format": "12A", "array": classes}))

    store.edit_index(misname)
    assert store.load().responses["psf"].form == "psf_king"
    assert "the index says psf_3gauss, read as psf_king" in store.notes()


def test_one_offset_is_an_axis_of_one(spoiled):
    def narrow(hdus):
        hdu = hdus["AEFF"]
        values = hdu.data["EFFAREA"][:, :1, :]
        replaced(
            hdus,
            "AEFF",
            with_columns(
                hdu,
                THETA_LO={"format": "1D", "array": hdu.data["THETA_LO"][:, :1]},
                THETA_HI={"format": "1D", "array": hdu.data["THETA_HI"][:, :1]},
                EFFAREA={
                    "format": f"{values.size}{hdu.columns['EFFAREA'].format[-1]}",
                    "array": values,
                    "dim": "(12,1)",
                },
            ),
        )

    spoiled.edit(narrow)
    assert spoiled.load().responses["aeff"].shape == (1, 12)


def test_point_like_without_radius_is_rejected(spoiled):
    spoiled.edit(set_keys("AEFF", HDUCLAS3="POINT-LIKE"))
    assert "point-like IRF for OBS_ID 1 has no RAD_MAX" in spoiled.rejection()
    spoiled.edit(set_keys("AEFF", RAD_MAX=0.1))
    assert spoiled.load().responses["aeff"].metadata["RAD_MAX"] == 0.1


def test_radius_table_comes_along_with_point_like_responses(make_spoiled):
    assert make_spoiled(instrument={"rad_max": 0.2}).load().responses["rad_max"].form == "rad_max_2d"


# Times -----------------------------------------------------------------------------------------------------------


def test_dead_time_falls_back_to_livetime_and_then_is_an_error(spoiled):
    before = spoiled.load().livetime
    spoiled.edit(set_keys("EVENTS", DEADC=None, ALT_PNT=None, TELESCOP=None))
    after = spoiled.load()
    assert after.livetime == pytest.approx(before)
    assert "DEADC: is missing, LIVETIME / ONTIME used" in "\n".join(after.notes)
    spoiled.edit(set_keys("EVENTS", LIVETIME=None))
    rejection = spoiled.rejection()
    assert rejection.startswith("OBS_ID 1 data/obs_000001.fits [EVENTS] DEADC: is missing, and so is LIVETIME")


@pytest.mark.parametrize("value", [0.0, -0.5, 1.5, "abc"])
def test_impossible_dead_time_is_rejected(spoiled, value):
    spoiled.edit(set_keys("EVENTS", DEADC=value))
    assert "[EVENTS] DEADC: is" in spoiled.rejection()


def test_ontime_is_that_of_the_good_times(spoiled):
    before = spoiled.load()
    spoiled.edit(set_keys("EVENTS", ONTIME=before.ontime + 30, LIVETIME=before.livetime + 28))
    assert spoiled.load().ontime == before.ontime
    assert "ONTIME: differs from the sum of the good times" in spoiled.notes()


def test_float32_times_are_rejected(spoiled):
    spoiled.edit(spoil_columns("EVENTS", TIME={"format": "E"}))
    assert "TIME: is float32, which resolves" in spoiled.rejection()


def test_interval_that_stops_before_it_starts_is_rejected(spoiled):
    start = spoiled.load().gti_start
    spoiled.edit(spoil_columns("GTI", STOP=start - 1))
    assert "[GTI]: interval 1 stops before it starts" in spoiled.rejection()


def test_empty_interval_is_no_good_time(spoiled):
    spoiled.edit(spoil_columns("GTI", STOP=spoiled.load().gti_start))
    assert "no good time" in spoiled.rejection()


def test_overlapping_intervals_are_joined(make_spoiled):
    store = make_spoiled(n_gti=3)
    before = store.load()
    stop = before.gti_stop.copy()
    stop[0] = before.gti_start[1] + 5
    order = [1, 0, 2]
    store.edit(spoil_columns("GTI", START=before.gti_start[order], STOP=stop[order]))
    after = store.load()
    np.testing.assert_array_equal(after.gti_start, before.gti_start[[0, 2]])
    np.testing.assert_array_equal(after.gti_stop, before.gti_stop[[1, 2]])
    assert after.ontime == pytest.approx(before.ontime + 60)
    assert "intervals overlap, joined on reading (1, the worst by 5 s" in store.notes()
    assert "intervals are not sorted" in store.notes()


def test_events_outside_and_unsorted_are_kept_and_told(spoiled):
    before = spoiled.load()
    time = before.events["TIME"].copy()
    time[0] = before.tstop + 0.5
    spoiled.edit(spoil_columns("EVENTS", TIME=time))
    after = spoiled.load()
    assert after.n_events == before.n_events
    notes = "\n".join(after.notes)
    assert "events outside the good times (1 of 300, up to 0.5 s)" in notes
    assert "events are not sorted by time" in notes


def test_good_times_of_another_reference_are_brought_to_that_of_the_events(spoiled):
    before = spoiled.load()
    spoiled.edit(set_keys("GTI", MJDREFI=before.reference.mjdrefi + 1))
    spoiled.edit(spoil_columns("GTI", START=before.gti_start - 86400, STOP=before.gti_stop - 86400))
    np.testing.assert_allclose(spoiled.load().gti_start, before.gti_start, rtol=0, atol=1e-5)


# Values ----------------------------------------------------------------------------------------------------------


def scale_column(name, column, factor):
    return lambda hdus: replaced(hdus, name, with_columns(hdus[name], **{column: hdus[name].data[column] * factor}))


def test_psf_that_is_not_normalised_is_told(spoiled):
    spoiled.edit(scale_column("PSF", "RPSF", 0.5))
    assert "RPSF: the PSF is not normalised to 1" in spoiled.notes()


def test_dispersion_that_is_not_normalised_is_told(spoiled):
    spoiled.edit(scale_column("EDISP", "MATRIX", 2))
    assert "MATRIX: rows of the dispersion do not add to 1" in spoiled.notes()


@pytest.mark.parametrize(
    ("name", "column"), [("AEFF", "EFFAREA"), ("EDISP", "MATRIX"), ("PSF", "RPSF"), ("BKG", "BKG")]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_response_that_is_not_finite_is_rejected(spoiled, name, column, value):
    def put(hdus):
        hdus[name].data[column].flat[3] = value

    spoiled.edit(put)
    assert f"[{name}] {column}: 1 of" in spoiled.rejection()
    assert "values are not finite" in spoiled.rejection()


def test_background_of_zeros_is_told(spoiled):
    spoiled.edit(scale_column("BKG", "BKG", 0))
    assert "BKG: is 0 everywhere" in spoiled.notes()


def test_edges_that_do_not_rise_are_rejected(spoiled):
    def turn(hdus):
        hdus["AEFF"].data["ENERG_LO"][0, 3] = hdus["AEFF"].data["ENERG_LO"][0, 1]

    spoiled.edit(turn)
    assert "[AEFF] ENERG: edges do not rise" in spoiled.rejection()


def test_first_energy_of_zero_is_rejected(spoiled):
    def zero(hdus):
        hdus["AEFF"].data["ENERG_LO"][0, 0] = 0

    spoiled.edit(zero)
    assert "ENERG: first edge is 0, expected above 0 on a logarithmic axis" in spoiled.rejection()


@pytest.mark.parametrize("keyword", ["RADESYS", "RADECSYS"])
def test_frame_is_read_from_either_keyword(spoiled, keyword):
    spoiled.edit(set_keys("EVENTS", RADESYS=None, RADECSYS=None))
    assert "neither RADESYS nor RADECSYS" in spoiled.notes()
    spoiled.edit(set_keys("EVENTS", **{keyword: "FK5"}))
    assert f"{keyword}: FK5 J2000 read as ICRS" in spoiled.notes()
    spoiled.edit(set_keys("EVENTS", **{keyword: "GALACTIC"}))
    assert f"{keyword}: is 'GALACTIC', expected ICRS or FK5" in spoiled.rejection()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("RA", np.nan),
        ("DEC", 91.0),
        ("DEC", -90.5),
        ("ENERGY", 0.0),
        ("ENERGY", -1.0),
        ("ENERGY", np.inf),
        ("TIME", 1e300),
    ],
)
def test_impossible_event_is_rejected(spoiled, column, value):
    def put(hdus):
        hdus["EVENTS"].data[column][16] = value

    spoiled.edit(put)
    assert f"[EVENTS] {column}: 1 of 300 values cannot be, the first is {value:g} in row 17" in spoiled.rejection()


def test_energies_in_another_unit_are_converted(spoiled):
    before = spoiled.load().events["ENERGY"]
    gev = before.astype(np.float64) * 1000
    spoiled.edit(spoil_columns("EVENTS", ENERGY={"unit": "GeV", "format": "D", "array": gev}))
    np.testing.assert_allclose(spoiled.load().events["ENERGY"], before, rtol=1e-7)
    spoiled.edit(spoil_columns("EVENTS", ENERGY={"unit": "cm"}))
    assert "ENERGY: has the unit 'cm', expected TeV" in spoiled.rejection()


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("TSTART", 1e300, "TSTART: is 1e+300"),
        ("TSTART", "yesterday", "TSTART: is 'yesterday', expected a number"),
        ("RA_PNT", "north", "RA_PNT: is 'north', expected a number"),
        ("DEC_PNT", 120.0, "DEC_PNT: is 120, expected -90 to 90"),
        ("MJDREFI", True, "MJDREFI: is True, expected a number"),
        ("TIMESYS", "moon", "TIMESYS: is 'moon'"),
    ],
)
def test_wild_keywords_are_rejected(spoiled, keyword, value, words):
    spoiled.edit(set_keys("EVENTS", **{keyword: value}))
    assert words in spoiled.rejection()


def test_all_problems_of_an_observation_are_told_at_once(spoiled):
    spoiled.edit(set_keys("EVENTS", DEADC=None, LIVETIME=None))
    spoiled.edit(scale_column("BKG", "BKG", np.nan))
    spoiled.edit(spoil_columns("EVENTS", ENERGY=None))
    assert len(spoiled.rejection().splitlines()) == 3


def test_missing_column_of_the_index_is_refused(spoiled):
    edit_file(spoiled.root / "hdu-index.fits.gz", lambda h: replaced(h, 1, with_columns(h[1], HDU_NAME=None)))
    with pytest.raises(DataStoreError, match="has no column HDU_NAME"):
        spoiled.open()


@pytest.mark.parametrize(
    ("kind", "name"), [("obs", b"OBJECT"), ("obs", b"OBS_ID"), ("hdu", b"OBS_ID"), ("hdu", b"FILE_DIR")]
)
def test_a_column_of_an_index_without_name_is_refused(spoiled, kind, name):
    path = spoiled.root / f"{kind}-index.fits.gz"
    content = gzip.decompress(path.read_bytes())
    named = b"= '" + name.ljust(8) + b"'"
    assert content.count(named) == 1
    path.write_bytes(gzip.compress(content.replace(named, b"= ''".ljust(len(named)))))
    with pytest.raises(DataStoreError, match=rf"{kind}-index.fits.gz.*_INDEX\]:? TTYPE\d+ is empty.*, expected the "):
        spoiled.open()


@pytest.mark.parametrize("differ", [False, True])
def test_two_rows_of_the_observation_index_are_one_observation_or_none(make_spoiled, differ):
    def change(hdus):
        more = with_rows(hdus[1], [0, 0, 1])
        if differ:
            more.data["RA_PNT"][1] += 1.0
        replaced(hdus, 1, more)

    spoiled = make_spoiled(2)
    spoiled.edit_index(change, "obs")
    store = spoiled.open()
    assert [source.obs_id for source in store.sources] == ([2] if differ else [1, 2])
    assert [problem.severity for problem in store.problems] == (["error"] if differ else ["warning"])
    assert "two" in store.problems[0].line()


def test_strict_refuses_doubts_about_numbers_but_not_how_keywords_are_spelled(spoiled):
    spoiled.edit(set_keys("EVENTS", RADECSYS="ICRS"))
    assert refused(check_datastore(spoiled.open())) == []
    spoiled.edit(set_keys("EVENTS", OBS_ID=77))
    (line,) = refused(check_datastore(spoiled.open()))
    assert line.startswith("error: OBS_ID 1 ")
    assert "is 77, the index says 1" in line
    assert spoiled.load().doubts == ("[EVENTS] OBS_ID: is 77, the index says 1",)


@pytest.mark.parametrize(("seconds", "count"), [(0.5, 0), (5.0, 1)])
def test_strict_takes_events_up_to_a_second_outside_the_good_times(spoiled, seconds, count):
    stop = spoiled.load().gti_stop[-1]

    def late(hdus):
        hdus["EVENTS"].data["TIME"][-1] = stop + seconds

    spoiled.edit(late)
    assert "events outside the good times" in spoiled.notes()
    assert len(refused(check_datastore(spoiled.open()))) == count


@pytest.mark.parametrize(
    ("hdu", "name", "twice"), [("EVENTS", b"EVENT_ID", b"TIME    "), ("GTI", b"STOP    ", b"START   ")]
)
def test_two_columns_of_a_name_are_refused(spoiled, hdu, name, twice):
    path = spoiled.path(1)
    content = path.read_bytes()
    start = content.rindex(b"XTENSION", 0, content.index(f"EXTNAME = '{hdu}".encode()))
    at = content.index(b"'" + name, start) + 1
    path.write_bytes(content[:at] + twice + content[at + len(twice) :])
    assert f"[{hdu}] {twice.decode().strip()}: is the name of columns 1, 2" in spoiled.rejection()
