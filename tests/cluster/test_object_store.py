"""Object stores, against moto's server: small files, what other processes write, the lock, what errors say."""

import json
import os
import socket
import sys
import threading
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from moto_server import ask, environment, moto_server

from cluster import Unit, unit_key
from cluster.config import ClusterConfig
from cluster.errors import StorageError, StorageRefused, WorkspaceLocked
from cluster.events import UnitEnded
from cluster.lock import Lock
from cluster.object_store import check_stores, store_errors
from cluster.run import execute
from cluster.storage import open_folder

s3fs = pytest.importorskip("s3fs")

INLINE = ClusterConfig(kind="none")


def another_client():
    """A client that shares nothing with ours, as another process has."""
    return s3fs.S3FileSystem(skip_instance_cache=True)


def test_small_files_come_and_go(bucket):
    folder = open_folder(f"{bucket}/run/.survey")
    assert folder.read("a.json") is None
    assert list(folder.read_all("markers")) == []
    folder.write("markers/x/a.json", b"1")
    folder.write("markers/y/b c?é.json", b"2")
    folder.write("markers/y/c.txt", b"3")
    assert sorted(folder.read_all("markers")) == [b"1", b"2"]
    assert list(folder.read_all("markers/y")) == [b"2"]
    folder.remove("markers/x/a.json")
    folder.remove("markers/x/a.json")
    assert folder.read("markers/x/a.json") is None
    folder.clear("markers")
    assert list(folder.read_all("markers")) == []
    assert folder.age("none.json") == float("inf")


def test_what_others_write_is_seen_at_once(bucket):
    folder = open_folder(f"{bucket}/run")
    folder.write("m/a.json", b"1")
    assert list(folder.read_all("m")) == [b"1"]
    other = another_client()
    other.pipe_file(f"{bucket}/run/m/b.json", b"a longer one")
    assert sorted(folder.read_all("m")) == [b"1", b"a longer one"]
    assert folder.read("m/b.json") == b"a longer one"
    other.rm_file(f"{bucket}/run/m/a.json")
    assert list(folder.read_all("m")) == [b"a longer one"]


@pytest.mark.parametrize("before", [None, b"a stale one"])
def test_a_place_that_somebody_takes_between_look_and_put_is_left_alone(bucket, monkeypatch, before):
    folder = open_folder(f"{bucket}/run")
    if before is not None:
        folder.write("lock.json", before)
    put = folder.filesystem.pipe_file

    def late(place, data, **condition):
        another_client().pipe_file(place, b"quicker")
        return put(place, data, **condition)

    with monkeypatch.context() as patch:
        patch.setattr(folder.filesystem, "pipe_file", late)
        assert not folder.swap("lock.json", b"slower", before)
    assert folder.read("lock.json") == b"quicker"
    assert not folder.swap("lock.json", b"slower", b"not what is there")
    assert folder.swap("lock.json", b"next", b"quicker")
    assert folder.read("lock.json") == b"next"
    folder.remove("lock.json")
    assert not folder.swap("lock.json", b"slower", b"next")
    assert folder.read("lock.json") is None


def test_a_put_whose_answer_was_lost_is_known_as_ours(bucket):
    folder = open_folder(f"{bucket}/run")
    folder.write("lock.json", b"mine")
    assert folder.swap("lock.json", b"mine", None)


@pytest.fixture
def lock(bucket):
    return Lock(open_folder(f"{bucket}/run/.survey"))


def leave(lock, **changes):
    """The lock of another driver."""
    with lock:
        holder = lock.holder()
    lock.folder.write("lock.json", json.dumps(asdict(replace(holder, **changes))).encode())


def test_a_second_driver_is_refused_and_told_of_the_first(lock):
    with lock, lock:
        told = f"another run works here .process {os.getpid()} on {socket.gethostname()} since 20"
        with pytest.raises(WorkspaceLocked, match=told), Lock(lock.folder):
            pass
        lock.check()
    assert lock.holder() is None
    with Lock(lock.folder) as other:
        assert other.holder().pid == os.getpid()


def test_a_lock_of_a_dead_driver_is_stale(lock):
    leave(lock, pid=2**22 + 1)
    with lock:
        assert lock.holder().pid == os.getpid()


def test_a_lock_of_another_machine_is_stale_when_its_heart_stops(lock, monkeypatch):
    leave(lock, host="elsewhere", pid=1)
    with pytest.raises(WorkspaceLocked, match="process 1 on elsewhere since"), lock:
        pass
    monkeypatch.setattr("cluster.lock.STALE_AFTER", -1.0)
    with lock:
        assert lock.holder().host == socket.gethostname()
    assert another_client().find(lock.folder.root) == []  # nor is anything left that told the time


def test_a_lock_that_changed_meanwhile_is_left_alone(lock, monkeypatch):
    leave(lock, pid=2**22 + 1)

    def seen(self, found):
        lock.folder.write("lock.json", json.dumps(asdict(replace(found, pid=1, token="quicker"))).encode())
        return True

    monkeypatch.setattr(Lock, "_is_stale", seen)
    with pytest.raises(WorkspaceLocked, match=r"another run started here at the same time .process 1 on "), lock:
        pass
    assert json.loads(lock.folder.read("lock.json"))["token"] == "quicker"


def test_a_heart_beats_and_a_lost_lock_is_noticed(lock, monkeypatch):
    monkeypatch.setattr("cluster.lock.HEARTBEAT", 0.05)
    beaten = threading.Event()
    swap = lock.folder.swap

    def told(*given):
        done = swap(*given)
        beaten.set()
        return done

    monkeypatch.setattr(lock.folder, "swap", told)
    with lock:
        beaten.clear()
        assert beaten.wait(60)
        lock.check()
        lock.folder.write("lock.json", json.dumps(asdict(replace(lock.holder(), token="another"))).encode())
        for thread in threading.enumerate():
            if thread.name == "workspace-lock":
                thread.join(60)
        with pytest.raises(WorkspaceLocked, match="lost its lock"):
            lock.check()


def some_units(folder):
    for number in range(4):
        arguments = {"folder": str(folder), "name": f"obs-{number}"}
        yield Unit(f"obs/{number}", unit_key("obs", 1, number, {}), "cluster_jobs:write", arguments)


def test_a_plan_runs_once(bucket, tmp_path):
    outcomes = execute(some_units(tmp_path), workspace=f"{bucket}/run", config=INLINE)
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    again = execute(some_units(tmp_path), workspace=f"{bucket}/run", config=INLINE)
    assert {outcome.status for outcome in again.values()} == {"skipped"}


@pytest.fixture
def fresh():
    """File systems are kept by class and arguments; here they have to be made anew, with another environment."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def refusal(url):
    with pytest.raises(StorageRefused) as refused:
        check_stores(url)
    (line,) = str(refused.value).splitlines()
    return line


def test_a_place_with_nothing_in_it_is_no_error(bucket, tmp_path):
    check_stores(f"{bucket}/none/yet")
    check_stores(str(tmp_path / "none"))


def test_a_missing_bucket_is_one_line(object_store):
    told = f"s3://no-such/out: there is no bucket no-such at {object_store}; make it first, or mend the URL"
    assert refusal("s3://no-such/out") == told


def test_an_address_where_nobody_answers_is_one_line(object_store, fresh, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert "cannot be reached" in refusal("s3://bucket/out")


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (500, "InternalError", "answers with an error of its own (InternalError); try later"),
        (503, "SlowDown", "answers with an error of its own (SlowDown); try later"),
        (400, "AuthorizationHeaderMalformed", "the bucket is in another region (AuthorizationHeaderMalformed); mend"),
    ],
)
def test_a_store_in_trouble_and_a_bucket_elsewhere_are_one_line(fresh, monkeypatch, status, code, told):
    class Trouble(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *given):
            pass

    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    with ThreadingHTTPServer(("127.0.0.1", 0), Trouble) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in environment(f"http://127.0.0.1:{server.server_port}").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        assert told in refusal("s3://bucket/out")
        with pytest.raises(StorageError, match="run again") as stopped, store_errors("s3://bucket/out"):
            another_client().ls("bucket/out")
        server.shutdown()
    assert told in str(stopped.value)
    assert len(str(stopped.value).splitlines()) == 1


def test_no_credentials_are_one_line(object_store, fresh, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert refusal("s3://bucket/out").startswith("s3://bucket/out: found no credentials; set AWS_ACCESS_KEY_ID")


def test_a_wrong_key_is_one_line(bucket, object_store):
    ask(object_store, "reset-auth", b"0")
    try:
        told = refusal(f"{bucket}/out")
    finally:
        ask(object_store, "reset-auth", b"inf")
    assert "the store does not take the key (InvalidAccessKeyId); mend AWS_ACCESS_KEY_ID" in told
    check_stores(f"{bucket}/out")


def test_a_missing_package_is_one_line(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for protocol in ("s3", "s3a"):
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, protocol, raising=False)
    told = "s3://bucket/out: needs s3fs, which is not installed; pip install 'gammasurvey[s3]'"
    assert refusal("s3://bucket/out") == told


def test_an_unknown_kind_of_store_is_one_line():
    assert refusal("s4://bucket/out").startswith("s4://bucket/out: s4:// is no kind of store that is known")


def test_a_store_that_goes_away_ends_the_run_in_one_line(tmp_path, fresh, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    units = list(some_units(tmp_path))
    with moto_server(tmp_path / "requests.log") as (endpoint, server):
        for name, value in environment(endpoint).items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem().mkdir("bucket")

        def end(event):
            if isinstance(event, UnitEnded):
                server.kill()
                server.wait()

        with pytest.raises(
            StorageError, match=r"s3://bucket/run: the store at .* cannot be reached .*run again"
        ) as told:
            execute(units, workspace="s3://bucket/run", config=INLINE, listeners=[end])
        assert len(str(told.value).splitlines()) == 1
