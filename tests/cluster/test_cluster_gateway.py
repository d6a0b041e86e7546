"""What a gateway is asked for; `tests/run/test_gateway.py` asks a real one."""

import pytest
from dask_gateway.options import Float, Integer, Mapping, Options, Select, String

from cluster import ConfigError
from cluster.config import ClusterConfig
from cluster.engines.base import job_script
from cluster.engines.gateway import authentication, cluster_options, connect

ADDRESS = "http://127.0.0.1:9"


def config(**more):
    return ClusterConfig(kind="gateway", address=ADDRESS, **more)


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        (Float("worker_memory", 1.0), 3.0),
        (Integer("worker_memory", 1), 3),
        (Integer("worker_memory", 2**31), 3 * 2**30),
        (String("worker_memory", "2 G"), f"{3 * 2**20}K"),
    ],
)
def test_memory_is_asked_for_in_the_units_of_the_option(option, asked):
    assert dict(cluster_options(config(memory="3 GiB"), Options(option))) == {"worker_memory": asked}


def test_threads_are_asked_for_as_cores_and_threads_where_there_are_such():
    offered = Options(Integer("worker_cores", 8), Integer("worker_threads", 8), Float("worker_memory", 2.5))
    assert dict(cluster_options(config(threads=3), offered)) == {
        "worker_cores": 3,
        "worker_threads": 3,
        "worker_memory": 2.5,
    }


def test_a_gateway_without_such_options_is_left_to_its_own():
    assert dict(cluster_options(config(threads=3, memory="3 GiB"), Options())) == {}


def test_own_options_go_before_the_common_fields():
    offered = Options(
        Integer("worker_cores", 1), Mapping("environment", {}), Select("profile", "a", options=["a", "b"])
    )
    asked = config(threads=3, options={"worker_cores": 4, "environment": {"A": "1"}, "profile": "b", "auth": "basic"})
    assert dict(cluster_options(asked, offered)) == {"worker_cores": 4, "environment": {"A": "1"}, "profile": "b"}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"options": {"image": "x"}},
            r"cluster\.options\.image: the gateway has no such option; it has worker_cores, ",
        ),
        ({"options": {"worker_memory": "a"}}, r"cluster\.options\.worker_memory: the gateway does not take it: .*'a'"),
        ({"threads": 5}, r"cluster\.threads: the gateway does not take it: worker_cores must be <= 4"),
        ({"memory": "9 GiB"}, r"cluster\.memory: the gateway does not take it: worker_memory must be <= 8"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(fields, line):
    offered = Options(Integer("worker_cores", 1, max=4), Float("worker_memory", 1.0, max=8.0))
    with pytest.raises(ConfigError, match=line):
        cluster_options(config(**fields), offered)


def test_all_that_is_wrong_is_told_at_once():
    offered = Options(Integer("worker_cores", 1, max=4), Float("worker_memory", 1.0, max=8.0))
    with pytest.raises(ConfigError) as refusal:
        cluster_options(config(threads=5, memory="9 GiB", options={"image": "x", "colour": 1}), offered)
    fields = [line.partition(":")[0] for line in str(refusal.value).splitlines()]
    assert fields == ["cluster.threads", "cluster.memory", "cluster.options.image", "cluster.options.colour"]
    with pytest.raises(ConfigError) as refusal:
        authentication({"type": "basic", "kwargs": {"password": "a", "token": "b"}})
    assert len(str(refusal.value).splitlines()) == 2


def test_credentials_come_from_the_environment(monkeypatch):
    kwargs = {"username": "somebody", "password": "{GATEWAY_PASSWORD}"}
    asked = config(options={"auth": {"type": "basic", "kwargs": kwargs}})
    monkeypatch.setenv("GATEWAY_PASSWORD", "0123")
    gateway = connect(asked)
    assert (gateway.auth.username, gateway.auth.password) == ("somebody", "0123")
    gateway.close()
    monkeypatch.delenv("GATEWAY_PASSWORD")
    with pytest.raises(ConfigError, match=r"the environment has no variable 'GATEWAY_PASSWORD'; set it"):
        connect(asked)


@pytest.mark.parametrize(
    ("auth", "line"),
    [
        ({"type": "basic", "kwargs": {"password": "secret"}}, r"auth\.kwargs\.password: is written out; keep it in an"),
        ({"type": "jupyterhub", "kwargs": {"api_token": "x"}}, r"auth\.kwargs\.api_token: is written out"),
        ({"kwargs": {}}, r"cluster\.options\.auth: write basic, kerberos, jupyterhub, the path of a class, or"),
        ({"type": "basic", "password": "x"}, r"cluster\.options\.auth: write basic"),
        (5, r"cluster\.options\.auth: write basic"),
        ({"type": "basic", "kwargs": "a"}, r"cluster\.options\.auth\.kwargs: found 'a', expected a mapping"),
    ],
)
def test_how_to_authenticate_is_checked(auth, line):
    with pytest.raises(ConfigError, match=line):
        authentication(auth)


def test_kinds_of_authentication_go_by_dask_gateways_names():
    assert authentication(None) == {}
    assert authentication("jupyterhub") == {"gateway.auth.type": "jupyterhub"}
    assert authentication({"type": "kerberos"}) == {"gateway.auth.type": "kerberos", "gateway.auth.kwargs": {}}


def test_a_gateway_is_submitted_no_script():
    with pytest.raises(ConfigError, match=r"cluster\.kind 'gateway' submits nothing"):
        job_script(config())
