"""Arrays as flat bytes: round trip, determinism, damage."""

import io

import numpy as np
import pytest

from survey.store.flat import pack, unpack

ARRAYS = {
    "b": np.arange(6, dtype=np.int32).reshape(2, 3),
    "a": np.array([1.5, np.nan, np.inf]),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 4), dtype=np.float32),
}


def test_round_trip():
    arrays, plain = unpack(io.BytesIO(pack(ARRAYS, {"x": 1.25, "names": ["é"]})))
    assert plain == {"x": 1.25, "names": ["é"]}
    assert arrays.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], values)
        assert arrays[name].dtype == values.dtype
        assert arrays[name].flags.writeable
        assert arrays[name].ctypes.data % 8 == 0


def test_the_order_of_the_arrays_changes_no_byte():
    assert pack(dict(reversed(ARRAYS.items())), {"p": 1, "q": 2}) == pack(ARRAYS, {"q": 2, "p": 1})


@pytest.mark.parametrize("damage", [b"", b"12345678", b"\x05" + bytes(40)])
def test_what_is_no_such_file_is_refused(damage):
    with pytest.raises(ValueError, match="flat arrays"):
        unpack(io.BytesIO(damage))


def test_a_file_that_is_cut_off_is_refused():
    with pytest.raises(ValueError, match=r"bytes found, expected"):
        unpack(io.BytesIO(pack(ARRAYS, {})[:-1]))


def test_arrays_that_are_not_wanted_are_not_read():
    content = pack(ARRAYS, {})
    whole, _ = unpack(io.BytesIO(content))
    stream = io.BytesIO(content)
    read = []
    stream.readinto = lambda buffer: read.append(len(buffer)) or io.BytesIO.readinto(stream, buffer)
    arrays, _ = unpack(stream, without=("b", "flags"))
    assert arrays["b"].shape == (0, 0)
    assert arrays["flags"].shape == (0,)
    np.testing.assert_array_equal(arrays["a"], whole["a"])
    assert read == [whole["a"].nbytes]
