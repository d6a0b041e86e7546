"""How a unit ended, as records and messages carry it and as a driver holds a hundred thousand of them."""

import json
import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import Outcome
from cluster.markers import decode, encode, returned

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@given(st.none() | st.dictionaries(st.text(), values, max_size=4))
@settings(max_examples=50, deadline=None)
def test_what_a_unit_returned_comes_back_from_messages_and_records(value):
    outcome = Outcome("done", "key", returned(value), seconds=1.5, started=3.25, worker="host:1")
    assert outcome.result == value
    assert pickle.loads(pickle.dumps(outcome)) == outcome
    slot, found = decode(encode("a/b", outcome))
    assert (slot, found.result) == ("a/b", value)
    assert found == replace(outcome, status="skipped", fresh=False)
    assert encode(slot, found) == encode(slot, outcome)


def test_a_record_holds_the_result_itself():
    record = json.loads(encode("a/b", Outcome("done", "key", returned({"n": np.int64(3), "text": "é"}))))
    assert record["result"] == {"n": 3, "text": "é"}


@pytest.mark.parametrize("value", [[1], "text", {"a": {1}}, {"a": np.zeros(2)}])
def test_what_is_no_result_is_refused(value):
    with pytest.raises(TypeError, match=r"returns a dict or None|which JSON does not"):
        returned(value)


def test_outcomes_take_hardly_more_memory_than_their_records():
    row = {f"column {number}": [number / 7, str(number), None] for number in range(20)}
    records = [
        encode(f"a/{n}", Outcome("done", f"{n:064d}", returned({**row, "n": n}), worker="w")) for n in range(500)
    ]
    tracemalloc.start()
    try:
        outcomes = dict(map(decode, records))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcomes["a/499"].result == {**row, "n": 499}
    assert taken < 1.5 * sum(map(len, records))
