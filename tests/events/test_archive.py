"""The archive gives back what was put in, bit for bit, whatever the columns, the cuts and the order of writing."""

import hashlib
import json
import random
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import zarr
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from survey.events.archive import ArchiveError, ArchiveReader, load_source, open_archive
from survey.events.archive_chunks import ChunkCache, ChunkedArray
from survey.events.archive_format import ColumnType, Layout, describe, safe_name
from survey.events.archive_plan import ArchivePlan
from survey.events.archive_writer import (
    ArchiveMismatch,
    complete_archive,
    create_archive,
    write_events,
    write_stack,
)
from survey.events.observation import ObservationRejected
from survey.events.synthetic import make_observation
from survey.events.synthetic_response import SyntheticInstrument
from survey.response.table import ResponseAxis, ResponseTable

SMALL = Layout(event_chunk=4, event_shard_chunks=2, stack_shard=2)
FOLDERS = count()


def write_archive(url, observations, *, layout=SMALL, order=None, table=None, set_aside=(), finish=True):
    """Write an archive in this process, shards in a random order; returns its plan."""
    facts = [json.loads(json.dumps(describe(o))) for o in observations]
    plan = ArchivePlan(facts, set_aside, layout)
    if table is None:
        table = Table({"IDENTITY": [o.identity for o in observations], "OBS_ID": [o.obs_id for o in observations]})
    create_archive(
        url,
        plan,
        name="test",
        key=plan.key(),
        table=table,
        records=[{"OBS_ID": o.obs_id, "ZEN_PNT": o.zenith} for o in observations],
        problems=[],
        table_of=lambda row, kind: observations[row].responses[kind],
    )
    work = []
    for shard, pieces in plan.event_shards().items():
        work.append(
            lambda shard=shard, pieces=pieces: write_events(
                url,
                shard=shard,
                pieces=[(observations[p.row], p.first, p.start, p.stop, facts[p.row]["events"]) for p in pieces],
            )
        )
    for stack in plan.stacks().values():
        tables = [(observations[row].responses[stack.kind], h) for row, h in zip(stack.rows, stack.values, strict=True)]
        length = plan.stack_shard(stack)
        for start in range(0, len(tables), length):
            work.append(
                lambda path=stack.path, start=start, length=length, tables=tables: write_stack(
                    url, path=path, shard=start // length, tables=tables[start : start + length]
                )
            )
    random.Random(order).shuffle(work)
    for write in work:
        write()
    if finish:
        complete_archive(url, key=plan.key())
    return plan


def assert_same_array(one, two):
    assert one.dtype == two.dtype
    assert one.shape == two.shape
    if one.dtype.kind in "biufc":
        assert one.tobytes() == two.tobytes()
    else:
        np.testing.assert_array_equal(one, two)


def assert_same(one, two):
    """All of two observations is equal to the bit."""
    assert list(one.events) == list(two.events)
    for name in one.events:
        assert_same_array(one.events[name], two.events[name])
    assert list(one.responses) == list(two.responses)
    for kind, table in one.responses.items():
        other = two.responses[kind]
        assert table.content_hash == other.content_hash
        assert list(table.values) == list(other.values)
        assert table.metadata == other.metadata
        assert [a.name for a in table.axes] == [a.name for a in other.axes]
        for a, b in zip(table.axes, other.axes, strict=True):
            assert_same_array(a.low, b.low)
            assert_same_array(a.high, b.high)
    for name in ("gti_start", "gti_stop"):
        assert_same_array(getattr(one, name), getattr(two, name))
    for name in ("time", "table_ra", "table_dec"):
        a, b = getattr(one.pointing, name), getattr(two.pointing, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert_same_array(a, b)
    for name in ("ra", "dec", "alt", "az"):
        np.testing.assert_array_equal(getattr(one.pointing, name), getattr(two.pointing, name))
    for name in ("identity", "obs_id", "reference", "ontime", "livetime", "metadata", "notes"):
        assert getattr(one, name) == getattr(two, name)
        assert type(getattr(one, name)) is type(getattr(two, name))
    assert one.pointing.mode == two.pointing.mode
    np.testing.assert_array_equal(one.zenith, two.zenith)
    assert (one.location is None) == (two.location is None)
    if one.location is not None:
        assert [float(x.value) for x in one.location.geocentric] == [float(x.value) for x in two.location.geocentric]


def digest(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@st.composite
def columns(draw, n_events):
    dtype = draw(st.sampled_from(["i8", "i4", "i2", "u1", "u4", "f4", "f8", "?", "U3", "T"]))
    shape = (n_events, *draw(st.sampled_from([(), (), (3,), (2, 2)])))
    if dtype == "T":
        texts = draw(st.lists(st.text(max_size=4), min_size=n_events, max_size=n_events))
        return np.array(texts, dtype=np.dtypes.StringDType())
    if dtype == "U3":
        texts = draw(st.lists(st.text("ab c", max_size=3), min_size=n_events, max_size=n_events))
        return np.array(texts, dtype="<U3")
    return draw(hnp.arrays(np.dtype(dtype), shape))


@st.composite
def event_lists(draw, obs_id):
    n_events = draw(st.integers(0, 20))
    observation = make_observation(obs_id, 10.0, -20.0, n_events=n_events, n_gti=draw(st.integers(1, 3)))
    extra = {name: draw(columns(n_events)) for name in draw(st.sets(st.sampled_from(["ODD", "MULTIP", "A/B", "x"])))}
    return replace(observation, events={**observation.events, **extra})


@given(st.integers(1, 5).flatmap(lambda n: st.tuples(*(event_lists(i) for i in range(1, n + 1)))), st.integers())
@settings(max_examples=8, deadline=None)
def test_any_columns_come_back_and_order_changes_no_byte(tmp_path_factory, observations, order):
    folder = tmp_path_factory.mktemp(f"archive{next(FOLDERS)}")
    write_archive(str(folder / "a.zarr"), observations, order=order)
    reader = ArchiveReader(str(folder / "a.zarr"))
    for row, observation in enumerate(observations):
        assert_same(observation, reader.load(row))
    write_archive(str(folder / "b.zarr"), observations, order=order + 1)
    assert digest(folder / "a.zarr") == digest(folder / "b.zarr")


@pytest.mark.parametrize("pointing", ["icrs", "altaz", "table"])
@pytest.mark.parametrize("form", ["psf_table", "psf_3gauss", "psf_king"])
def test_every_form_of_response_and_pointing_comes_back(tmp_path, pointing, form):
    instrument = SyntheticInstrument(psf_form=form, bkg_form="bkg_2d", rad_max=0.1, lo_thres=0.3)
    first = make_observation(1, 10.0, -20.0, pointing=pointing, instrument=instrument, extra_columns=True)
    second = replace(make_observation(2, 10.0, -20.0, n_events=0), location=None, zenith=float("nan"), notes=("odd",))
    write_archive(str(tmp_path / "a.zarr"), [first, second], layout=Layout())
    reader = ArchiveReader(str(tmp_path / "a.zarr"))
    assert_same(first, reader.load(0))
    assert_same(second, reader.load(1))


def test_memory_url():
    observations = [make_observation(i, 10.0, -20.0, n_events=9) for i in (1, 2)]
    write_archive("memory://test_archive/a.zarr", observations)
    store = open_archive("memory://test_archive/a.zarr")
    for observation, source in zip(observations, store.sources, strict=True):
        assert_same(observation, source.load())


def test_odd_responses_come_back(tmp_path):
    one = ResponseAxis("offset", np.array([0.5]), np.array([0.5]))
    energy = ResponseAxis("energy_true", np.array([0.1, 1.0]), np.array([1.0, 10.0]))
    values = np.array([[-0.0, np.nan]])
    odd = ResponseTable("aeff_2d", (one, energy), {"EFFAREA": values}, {"EFFAREA": "m**2"}, {"LO_THRES": float("inf")})
    zero = replace(odd, values={"EFFAREA": np.zeros((1, 2))}, metadata={})
    observations = [
        replace(make_observation(i, 1.0, 2.0, n_events=3), responses={"aeff": t}) for i, t in ((1, odd), (2, zero))
    ]
    write_archive(str(tmp_path / "a.zarr"), observations)
    reader = ArchiveReader(str(tmp_path / "a.zarr"))
    for row, observation in enumerate(observations):
        assert_same(observation, reader.load(row))


def test_identical_responses_are_stored_once(tmp_path):
    other = SyntheticInstrument(aeff_peak=1e5)
    observations = [
        make_observation(i, 1.0, 2.0, n_events=i, instrument=other if i == 3 else None) for i in range(1, 6)
    ]
    for i, observation in enumerate(observations):
        aeff = replace(observation.responses["aeff"], metadata={"LO_THRES": 0.1 * i})
        observations[i] = replace(observation, responses={**observation.responses, "aeff": aeff})
    plan = write_archive(str(tmp_path / "a.zarr"), observations)
    assert {stack.kind: len(stack.rows) for stack in plan.stacks().values()} == {
        "aeff": 2,
        "bkg": 1,
        "edisp": 1,
        "psf": 1,
    }
    reader = ArchiveReader(str(tmp_path / "a.zarr"))
    assert [reader.load(row).responses["aeff"].metadata["LO_THRES"] for row in range(5)] == [0.1 * i for i in range(5)]


def test_rows_lie_in_several_chunks(tmp_path):
    observations = [make_observation(i, 10.0, -20.0, n_events=3, n_gti=i) for i in range(1, 8)]
    write_archive(str(tmp_path / "a.zarr"), observations, layout=Layout(row_chunk=2, row_shard_chunks=2))
    reader = ArchiveReader(str(tmp_path / "a.zarr"))
    for row in (6, 0, 5, 1, 2, 3, 4, 6):
        assert_same(observations[row], reader.load(row))


def test_columns_are_read_whole(tmp_path):
    observations = [make_observation(i, 10.0, -20.0, n_events=7 * i) for i in range(4)]
    write_archive(str(tmp_path / "a.zarr"), observations)
    reader = ArchiveReader(str(tmp_path / "a.zarr"))
    expected = np.concatenate([o.events["TIME"] for o in observations])
    assert_same_array(reader.event_column("TIME"), expected)
    np.testing.assert_array_equal(reader.column("n_event"), [0, 7, 14, 21])
    with pytest.raises(KeyError, match="0 event columns are called 'NONE'"):
        reader.event_column("NONE")


def test_columns_of_two_types_have_an_array_each(tmp_path):
    first, second = (make_observation(i, 10.0, -20.0, n_events=5) for i in (1, 2))
    second = replace(second, events={**second.events, "ENERGY": second.events["ENERGY"].astype(np.float64)})
    write_archive(str(tmp_path / "a.zarr"), [first, second])
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")["events"]
    assert {"ENERGY-float32", "ENERGY-float64", "TIME"} <= set(group.array_keys())
    assert_same(second, ArchiveReader(str(tmp_path / "a.zarr")).load(1))


def test_source_names_what_it_has(tmp_path):
    observation = make_observation(1, 10.0, -20.0, n_events=2)
    observation = replace(observation, responses={"aeff": observation.responses["aeff"]})
    write_archive(str(tmp_path / "a.zarr"), [observation], set_aside=[("test-2", 2, "TIME is float32")])
    store = open_archive(tmp_path / "a.zarr")
    (source,) = store.sources
    assert source.kinds == {"events", "gti", "aeff"}
    assert source.record["ZEN_PNT"] == observation.zenith
    assert [problem.line() for problem in store.problems] == ["OBS_ID 2: TIME is float32"]
    assert type(source).from_dict(json.loads(json.dumps(source.as_dict()))) == source
    assert source.fingerprint() == replace(source, root="/elsewhere").fingerprint()
    assert source.load(responses=()).responses == {}


def test_index_keeps_types_units_and_masks(tmp_path):
    table = Table({"IDENTITY": ["test-1", "test-2"], "OBS_ID": [1, 2], "TRGRATE": np.array([1.5, 2.5], ">f4")})
    table["TRGRATE"].unit = "Hz"
    table["QUALITY"] = MaskedColumn([0, 1], mask=[False, True])
    table.meta["MJDREFI"] = 51910
    write_archive(str(tmp_path / "a.zarr"), [make_observation(i, 1.0, 2.0, n_events=1) for i in (1, 2)], table=table)
    index = open_archive(tmp_path / "a.zarr").table
    assert index.colnames == table.colnames
    assert index["TRGRATE"].unit == "Hz"
    assert index["TRGRATE"].dtype == np.float32
    assert index["QUALITY"].mask.tolist() == [False, True]
    assert index["IDENTITY"].tolist() == ["test-1", "test-2"]
    assert index.meta["MJDREFI"] == 51910


def test_refusals_say_what_to_do(tmp_path):
    observations = [make_observation(1, 10.0, -20.0, n_events=3)]
    with pytest.raises(ArchiveError, match="there is no archive; make it with: survey ingest"):
        open_archive(tmp_path / "none.zarr")
    zarr.open_group(str(tmp_path / "other.zarr"), mode="w")
    with pytest.raises(ArchiveError, match="format is None, expected 'gammasurvey-archive'"):
        open_archive(tmp_path / "other.zarr")
    write_archive(str(tmp_path / "part.zarr"), observations, finish=False)
    with pytest.raises(ArchiveError, match="not complete; run survey ingest again"):
        open_archive(tmp_path / "part.zarr")
    write_archive(str(tmp_path / "new.zarr"), observations, finish=False)
    zarr.open_group(str(tmp_path / "new.zarr"), mode="r+").attrs["format_version"] = 99
    with pytest.raises(ArchiveError, match="format_version is 99, expected at most 1"):
        open_archive(tmp_path / "new.zarr")


def test_changed_observations_are_not_written(tmp_path):
    first, second = (make_observation(1, 10.0, -20.0, n_events=3, seed=seed) for seed in (1, 2))
    url = str(tmp_path / "a.zarr")
    plan = write_archive(url, [first])
    piece = plan.event_shards()[0][0]
    with pytest.raises(ArchiveMismatch, match="have changed since they were counted"):
        write_events(url, shard=0, pieces=[(second, *piece[1:], plan.facts[0]["events"])])
    with pytest.raises(ArchiveMismatch, match="holds another plan"):
        complete_archive(url, key="other")


def test_replaced_archive_is_noticed(tmp_path):
    url = str(tmp_path / "a.zarr")
    write_archive(url, [make_observation(1, 10.0, -20.0, n_events=3, seed=1)])
    (source,) = open_archive(url).sources
    write_archive(url, [make_observation(1, 10.0, -20.0, n_events=3, seed=2)])
    open_archive(url)
    with pytest.raises(ObservationRejected, match="has changed since it was opened"):
        load_source(source)


def test_loaded_arrays_are_ones_own(tmp_path):
    write_archive(str(tmp_path / "a.zarr"), [make_observation(1, 10.0, -20.0, n_events=3)], layout=Layout())
    reader = ArchiveReader(str(tmp_path / "a.zarr"))
    before = reader.load(0)
    energy = before.events["ENERGY"].copy()
    before.events["ENERGY"][:] = 0
    before.responses["aeff"].values["EFFAREA"][:] = 0
    assert_same_array(reader.load(0).events["ENERGY"], energy)
    assert reader.load(0).responses["aeff"].values["EFFAREA"].max() > 0


def test_cache_stays_within_its_limit(tmp_path):
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    array = group.create_array("a", shape=(100,), chunks=(10,), shards=(50,), dtype="f8")
    array[:] = np.arange(100.0)
    cache = ChunkCache(limit=250)
    chunked = ChunkedArray(array, cache)
    for start in range(0, 95, 7):
        np.testing.assert_array_equal(chunked.read(start, start + 5), np.arange(start, start + 5))
        assert cache.size <= 250
    assert chunked.read(5, 5).size == 0


def test_plan_needs_order():
    facts = [describe(make_observation(i, 1.0, 2.0, n_events=0)) for i in (2, 1)]
    with pytest.raises(ValueError, match="sorted by obs_id and identity"):
        ArchivePlan(facts)


def test_names_of_arrays_are_safe_and_distinct():
    names = ["ENERGY", "A/B", "A.B", "__x", "", "é"]
    safe = [safe_name(name) for name in names]
    assert safe[0] == "ENERGY"
    assert len(set(safe)) == len(names)
    assert all(name.isascii() and "/" not in name and not name.startswith("__") for name in safe)


def test_objects_cannot_be_archived():
    with pytest.raises(ValueError, match="column ODD: type object cannot be archived"):
        ColumnType.of("ODD", np.array([None]))
