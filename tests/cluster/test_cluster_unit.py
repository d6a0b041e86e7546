"""Units, their keys and the configuration of the cluster."""

import numpy as np
import pytest

from cluster import PlanError, Unit, unit_key
from cluster.config import ClusterConfig, parse_memory


def test_key_does_not_depend_on_the_order_of_names():
    assert unit_key("tiles", 1, {"a": 1, "b": 0.1}, {}) == unit_key("tiles", 1, {"b": 0.1, "a": 1}, {})


def test_key_depends_on_every_part():
    keys = {
        unit_key("tiles", 1, ["a"], {"x": 1}),
        unit_key("maps", 1, ["a"], {"x": 1}),
        unit_key("tiles", 2, ["a"], {"x": 1}),
        unit_key("tiles", 1, ["b"], {"x": 1}),
        unit_key("tiles", 1, ["a"], {"x": 1.0}),
    }
    assert len(keys) == 5


def test_key_is_stable_between_versions_of_the_program():
    assert unit_key("s", 1, ["é", 0.1, None], {"n": True})[:12] == "474c6bc2ae90"


@pytest.mark.parametrize("value", [np.float64(0.1), np.int64(3), np.arange(3), {1: 2}, {3}, b"x"])
def test_values_without_one_text_have_no_key(value):
    with pytest.raises(PlanError, match=r"at \.inputs\.x\[1\]"):
        unit_key("s", 1, {"x": [0, value]}, None)


def test_numpy_scalars_are_refused_with_advice():
    with pytest.raises(PlanError, match=r"numpy\.float64 at \.inputs\.q; convert it with \.item\(\)"):
        unit_key("s", 1, {"q": np.float64(1.0)}, None)


def test_slot_and_function_are_checked():
    assert Unit("tiles/y0/x1", "k", "m:f").name == "y0/x1"
    with pytest.raises(PlanError, match="stage/name"):
        Unit("tiles", "k", "m:f")
    with pytest.raises(PlanError, match="module:name"):
        Unit("a/b", "k", "m.f")


def test_arguments_are_given_or_made_from_the_name():
    assert Unit("tiles/y0", "k", "m:f", {"a": 1}).keywords() == {"a": 1}
    assert Unit("tiles/y0", "k", "m:f", lambda name: {"tile": name}).keywords() == {"tile": "y0"}
    assert Unit("tiles/y0", "k", "m:f").keywords() == {}


@pytest.mark.parametrize(
    ("text", "size"), [("2 GB", 2 * 10**9), ("1500MB", 1_500_000_000), ("1.5 GiB", 3 * 2**29), ("2500000", 2_500_000)]
)
def test_memory_is_read(text, size):
    assert parse_memory(text) == size
    assert ClusterConfig(memory=text).memory_limit == size


@pytest.mark.parametrize("text", ["much", "2 potatoes", "-1 GB", "2 IB", "0", "0 GB", "0.4"])
def test_memory_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"is (not an amount of memory|no memory at all)"):
        ClusterConfig(memory=text)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"kind": "slurm"}, "memory: missing, kind slurm needs it"),
        ({"kind": "htcondor", "memory": "1 GB", "queue": "a"}, "queue: kind htcondor has no place for it"),
        ({"kind": "kubernetes", "memory": "1 GB", "walltime": "01:00:00"}, "walltime: kind kubernetes has no place"),
        ({"kind": "gateway"}, "address: missing, kind gateway needs it: the gateway's URL"),
        ({"kind": "gateway", "address": "a", "tls": True}, "tls: kind gateway has no place for it"),
        (
            {"kind": "gateway", "address": "hub.example"},
            "address: found 'hub.example', expected a URL, such as https://hub",
        ),
        ({"kind": "existing"}, "kind existing needs either address or scheduler_file, found neither"),
        ({"kind": "existing", "address": "a:1", "scheduler_file": "b"}, "address or scheduler_file, found both"),
        ({"kind": "existing", "address": "127.0.0.1"}, "address: found '127.0.0.1', expected that of a scheduler"),
        ({"kind": "existing", "address": "tcp://node1"}, "address: found 'tcp://node1', expected that of a scheduler"),
        ({"memory": 4}, "'4' is no memory at all; write a unit, for example '4 GB'"),
        (
            {"kind": "slurm", "memory": "1 GB", "walltime": 43200},
            "in quotes: without them YAML reads 12:00:00 as 43200",
        ),
        ({"dashboard": 8787}, "expected true, false, or 'host:port' in quotes"),
        ({"dashboard": "maybe"}, "expected true, false, or 'host:port' in quotes"),
        ({"kind": "existing", "address": "a", "threads": 2}, "threads: kind existing has no place for it"),
        ({"kind": "pbs", "memory": "1 GB", "workers": 3, "jobs": 2}, "jobs: found 2, which does not divide"),
        ({"scratch": ""}, "scratch: found '', expected a folder"),
        (
            {"kind": "kubernetes", "memory": "1 GB", "scratch": "$TMPDIR"},
            r"scratch: found '\$TMPDIR', expected a folder of the pod",
        ),
        ({"account": "x"}, "account: kind local has no place for it; take it out"),
        ({"kind": "slurm", "memory": "1 GB", "walltime": "1h"}, "'1h' is not a time limit; write HH:MM:SS"),
        ({"tls": True, "tls_ca": "a"}, "tls: files need tls: true and all of"),
    ],
)
def test_fields_that_do_not_suit_the_kind_are_refused_by_name(fields, line):
    with pytest.raises(ValueError, match=line):
        ClusterConfig(**fields)


@pytest.mark.parametrize("name", ["queue", "account"])
def test_queues_and_accounts_are_texts(name):
    assert getattr(ClusterConfig(kind="slurm", memory="1 GB", **{name: "0123"}), name) == "0123"
    with pytest.raises(ValueError, match="in quotes: without them YAML reads 0123 as 83"):
        ClusterConfig(kind="slurm", memory="1 GB", **{name: 83})


def test_none_takes_the_section_of_any_kind():
    assert ClusterConfig(kind="none", queue="long", walltime="01:00:00", address="a").kind == "none"


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="wrokers"):
        ClusterConfig(wrokers=3)
