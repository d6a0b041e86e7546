"""Selections: Gammapy's keys and ranges of index columns, each with its words when nothing is left."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from astropy.coordinates import Angle
from astropy.time import Time, TimeDelta
from spoiled_store import replaced, with_columns

from survey.events.observation import ObservationRejected
from survey.events.problems import summary
from survey.events.required import lacking
from survey.events.selection import Selection, concerns, read_ids, select
from survey.events.time_cut import cut_time


def ids(store, **asked):
    return [source.obs_id for source in select(store.open(), Selection.create(**asked))]


def day(store, obs_id, seconds=0.0):
    """Moment `seconds` after the start of an observation, ISO, UTC."""
    observation = store.load(obs_id)
    return (observation.reference.time + TimeDelta(observation.tstart + seconds, format="sec")).utc.isot


def test_everything_is_selected_by_default(make_spoiled):
    assert ids(make_spoiled(3)) == [1, 2, 3]


def test_ids_are_selected_and_unknown_ones_refused(make_spoiled):
    store = make_spoiled(3)
    assert ids(store, obs_ids=[3, 1]) == [1, 3]
    with pytest.raises(ValueError, match="obs_ids: 8, 9 not in the data store small"):
        ids(store, obs_ids=[1, 8, 9])


def test_an_id_that_was_set_aside_is_known(make_spoiled):
    store = make_spoiled(2)
    store.path(2).unlink()
    assert ids(store, obs_ids=[1, 2]) == [1]


@pytest.mark.parametrize("text", ["1\n3\n", "OBS_ID NAME\n1 crab\n3 vela\n", "# list\n1, 2\n\n3 # last\n"])
def test_ids_are_read_from_the_first_column_of_a_file(make_spoiled, tmp_path, text):
    (tmp_path / "ids.txt").write_text(text)
    assert ids(make_spoiled(3), obs_file=tmp_path / "ids.txt") == [1, 3]


def test_bad_lists_of_ids_are_refused(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("1\nx\n")
    with pytest.raises(ValueError, match="line 2 begins with 'x'"):
        read_ids(path)
    path.write_text("\n")
    with pytest.raises(ValueError, match="lists no observation id"):
        read_ids(path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_ids(tmp_path / "nothing")
    with pytest.raises(ValueError, match="either obs_ids or obs_file"):
        Selection.create(obs_ids=[1], obs_file=path)


@pytest.mark.parametrize("radius", ["0.15 deg", 0.15, Angle(0.15, "deg"), "9 arcmin"])
def test_cone_takes_pointings_within(make_spoiled, radius):
    # Pointings at declinations -21.9, -21.8, -21.7.
    cone = {"frame": "icrs", "lon": "83.6 deg", "lat": "-21.95 deg", "radius": radius}
    assert ids(make_spoiled(3), obs_cone=cone) == [1] if radius == 0.1 else [1, 2]


def test_cone_in_galactic_coordinates_and_across_the_wrap(make_spoiled):
    from astropy.coordinates import SkyCoord

    store = make_spoiled(2)
    centre = SkyCoord(83.6, -21.9, unit="deg").galactic
    cone = {"frame": "galactic", "lon": centre.l, "lat": centre.b, "radius": 0.01}
    assert ids(store, obs_cone=cone) == [1]
    cone = {"frame": "icrs", "lon": 83.6 - 360, "lat": -21.9, "radius": 0.01}
    assert ids(store, obs_cone=cone) == [1]


def test_filter_ranges_include_their_ends(make_spoiled):
    store = make_spoiled(3)
    assert ids(store, obs_filter={"OBS_ID": [2, 3]}) == [2, 3]
    assert ids(store, obs_filter={"QUALITY": [0, 0], "ZEN_PNT": [0, 90]}) == [1, 2, 3]


def test_filter_with_an_unknown_column_names_the_nearest(spoiled):
    with pytest.raises(ValueError, match="no column 'ZENPNT'; nearest: ZEN_PNT"):
        ids(spoiled, obs_filter={"ZENPNT": [0, 45]})
    with pytest.raises(ValueError, match="column OBJECT holds text"):
        ids(spoiled, obs_filter={"OBJECT": [0, 45]})
    with pytest.raises(ValueError, match=r"ZEN_PNT is \[45, 0\], expected \[least, greatest\]"):
        ids(spoiled, obs_filter={"ZEN_PNT": [45, 0]})


@pytest.mark.parametrize(
    ("required", "selected"),
    [
        ("full-enclosure", [1]),
        ("point-like", [1, 2]),
        ("all-optional", [1, 2]),
        (["aeff"], [1, 2]),
        (["aeff", "bkg"], [1]),
    ],
)
def test_required_responses(make_spoiled, required, selected):
    store = make_spoiled(2)

    def drop(hdus):
        keep = (hdus[1].data["OBS_ID"] != 2) | (hdus[1].data["HDU_TYPE"] != "bkg")
        columns = {name: np.asarray(hdus[1].data[name])[keep] for name in hdus[1].columns.names}
        replaced(hdus, 1, with_columns(hdus[1], **columns))

    store.edit_index(drop)
    assert ids(store, required_irf=required) == selected
    with pytest.raises(ValueError, match="required_irf: 'arf' is none of"):
        ids(store, required_irf=["arf"])
    with pytest.raises(ValueError, match="required_irf removed the last 1, which lack bkg"):
        ids(store, obs_ids=[2], required_irf=["bkg", "aeff"])


@pytest.mark.parametrize(
    ("keys", "severities"),
    [
        ({}, ["warning", "warning"]),
        ({"obs_ids": [1, 2]}, ["error"]),
        ({"obs_ids": [1]}, []),
        ({"obs_filter": {"OBS_ID": [0, 2]}}, ["warning"]),
        ({"obs_cone": {"lon": 0, "lat": 0, "radius": 1}}, []),
        ({"required_irf": "point-like"}, []),
    ],
)
def test_observations_without_a_response_are_told_and_those_asked_for_are_errors(make_spoiled, keys, severities):
    store = make_spoiled(3)

    def misspell(hdus):
        hdus[1].data["HDU_TYPE"][(hdus[1].data["OBS_ID"] >= 2) & (hdus[1].data["HDU_TYPE"] == "bkg")] = "bgk"

    store.edit_index(misspell)
    problems = lacking(store.open(), Selection.create(**keys))
    assert [problem.severity for problem in problems] == severities
    if severities:
        assert problems[0].line() == (
            "OBS_ID 2 hdu-index.fits.gz: no bkg HDU, required by observations.required_irf: left out; "
            "list one, or take bkg out of observations.required_irf"
        )
    if len(severities) == 2:
        (line,) = summary(problems)
        assert line.endswith("(2 times, first in OBS_ID 2)")


def test_selecting_nothing_says_which_cut_removed_the_last(make_spoiled):
    store = make_spoiled(3)
    cone = {"frame": "icrs", "lon": 0, "lat": 0, "radius": 1}
    with pytest.raises(ValueError, match="there are 3, obs_cone removed the last 2"):
        ids(store, obs_ids=[1, 2], obs_cone=cone)


def test_time_selects_and_cuts(make_spoiled):
    store = make_spoiled(3)
    whole = store.load(2)
    asked = {"start": day(store, 2, 100.0), "stop": day(store, 2, 400.0)}
    (source,) = select(store.open(), Selection.create(obs_time=asked))
    cut = source.load()
    assert cut.obs_id == 2
    assert cut.ontime == pytest.approx(300, abs=1e-3)
    assert cut.livetime / cut.ontime == pytest.approx(whole.livetime / whole.ontime)
    time = whole.events["TIME"] - whole.tstart
    assert cut.n_events == np.count_nonzero((time >= 100) & (time < 400))
    assert "cut to obs_time" in cut.notes


def test_time_ranges_may_be_several(make_spoiled):
    store = make_spoiled(3)
    asked = {"start": [day(store, 1), day(store, 3, 10)], "stop": [day(store, 1, 50), day(store, 3, 30)]}
    sources = select(store.open(), Selection.create(obs_time=asked))
    assert [source.obs_id for source in sources] == [1, 3]
    assert [round(source.load().ontime) for source in sources] == [50, 20]


def test_time_before_everything_selects_nothing(make_spoiled):
    asked = {"start": Time("1999-01-01"), "stop": Time("1999-01-02")}
    with pytest.raises(ValueError, match="there are 2, obs_time removed the last 2"):
        ids(make_spoiled(2), obs_time=asked)


def test_cuts_of_time_add_up(make_spoiled):
    """Adjacent windows share no event and lose none."""
    observation = make_spoiled(n_gti=2).load()
    mjd = observation.reference.time.tt.mjd
    edges = mjd + (observation.tstart + np.array([-10.0, 300.0, 900.0, 5000.0])) / 86400
    parts = [cut_time(observation, [(low, high)]) for low, high in pairwise(edges)]
    assert sum(part.n_events for part in parts) == observation.n_events
    assert sum(part.ontime for part in parts) == pytest.approx(observation.ontime)
    assert cut_time(observation, [(edges[0], edges[-1])]) is observation
    with pytest.raises(ObservationRejected, match="OBS_ID 1: no good time within obs_time"):
        cut_time(observation, [(edges[0] - 2, edges[0] - 1)])


@pytest.mark.parametrize("mode", ["altaz", "table"])
def test_cut_of_time_moves_the_pointing(make_spoiled, mode):
    observation = make_spoiled(pointing=mode).load()
    mjd = observation.reference.time.tt.mjd + observation.tstart / 86400
    early = cut_time(observation, [(mjd, mjd + 100 / 86400)]).pointing
    if mode == "table":
        assert early.dec == pytest.approx(-21.9 - 0.2 + 0.4 * 50 / observation.ontime, abs=1e-6)
    else:
        assert (early.ra - observation.pointing.ra) % 360 > 300


def test_pointing_that_the_index_lacks_is_computed(make_spoiled):
    store = make_spoiled(2, pointing="altaz")
    store.edit_index(lambda hdus: replaced(hdus, 1, with_columns(hdus[1], RA_PNT=None, DEC_PNT=None)), "obs")
    cone = {"frame": "icrs", "lon": 83.6, "lat": -21.9, "radius": 0.05}
    assert ids(store, obs_cone=cone) == [1]


def test_selection_keeps_sources_as_they_are(make_spoiled):
    store = make_spoiled(2).open()
    assert select(store, Selection.create()) == store.sources
    assert select(replace(store, sources=store.sources), Selection()) == store.sources


def test_what_cannot_be_opened_concerns_the_selections_that_would_ask_for_it(make_spoiled):
    store = make_spoiled(3)
    store.path(2).unlink()
    opened = store.open()
    record = opened.rejected[2]
    ra, dec = record["RA_PNT"], record["DEC_PNT"]

    def asks(**keys):
        return concerns(Selection.create(**keys), 2, record)

    assert asks()
    assert asks(obs_ids=[2])
    assert not asks(obs_ids=[1, 3])
    assert asks(obs_cone={"frame": "icrs", "lon": f"{ra} deg", "lat": f"{dec} deg", "radius": "1 deg"})
    assert not asks(obs_cone={"frame": "icrs", "lon": f"{ra} deg", "lat": f"{dec - 30} deg", "radius": "1 deg"})
    assert asks(obs_filter={"DEC_PNT": [dec - 1, dec + 1]})
    assert not asks(obs_filter={"DEC_PNT": [dec + 1, dec + 2]})
    # nothing is known of it that would exclude it
    assert concerns(
        Selection.create(obs_cone={"frame": "icrs", "lon": "0 deg", "lat": "0 deg", "radius": "1 deg"}), 2, {}
    )
    assert asks(obs_time={"start": day(store, 1, -1000.0), "stop": day(store, 3, 1e6)})
    assert not asks(obs_time={"start": day(store, 3, 1e7), "stop": day(store, 3, 2e7)})
