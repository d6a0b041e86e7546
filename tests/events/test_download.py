"""Downloading public data, from a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from astropy.table import Table

from survey.events.download import DownloadError, PublicData, fetch, fetch_to_terminal, public_data
from survey.refusal import Refusal

FILES = {f"data/run_{obs_id}.fits.gz": f"events of {obs_id}".encode() for obs_id in (1, 2, 3)}


@dataclass
class Server:
    """A folder served over HTTP, and the paths asked for so far."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)


def write_index(folder: Path, obs_ids: tuple[int, ...] = (1, 2, 3, 4)) -> None:
    hdus = Table(
        {
            "OBS_ID": list(obs_ids),
            "HDU_TYPE": ["events"] * len(obs_ids),
            "HDU_CLASS": ["events"] * len(obs_ids),
            "FILE_DIR": ["data"] * len(obs_ids),
            "FILE_NAME": [f"run_{obs_id}.fits.gz" for obs_id in obs_ids],
            "HDU_NAME": ["events"] * len(obs_ids),
        }
    )
    hdus.write(folder / "hdu-index.fits.gz", overwrite=True)
    column = [0.0] * len(obs_ids)
    observations = Table(
        {"OBS_ID": list(obs_ids), "RA_PNT": column, "DEC_PNT": column, "TSTART": column, "TSTOP": column}
    )
    observations.write(folder / "obs-index.fits.gz", overwrite=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    serving = Server(tmp_path / "served")
    (serving.folder / "data").mkdir(parents=True)
    for name, content in FILES.items():
        (serving.folder / name).write_bytes(content)
    write_index(serving.folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            serving.asked.append(self.path)

    handler = functools.partial(Handler, directory=str(serving.folder))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    serving.url = f"http://127.0.0.1:{httpd.server_port}/"
    yield serving
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def data(server: Server) -> PublicData:
    registry = {name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in FILES.items()}
    return PublicData("small", server.url, registry, terms="Say where it is from.\n")


def test_every_file_arrives_with_the_terms(data: PublicData, tmp_path: Path) -> None:
    result = fetch(data, tmp_path / "here")
    assert (result.downloaded, result.kept) == (5, 0)
    assert {name: (result.folder / name).read_bytes() for name in FILES} == FILES
    assert (result.folder / "README.txt").read_text() == data.terms


def test_files_without_a_checksum_are_left_out_and_named(data: PublicData, tmp_path: Path) -> None:
    assert fetch(data, tmp_path / "here").not_fetched == ("data/run_4.fits.gz",)


def test_a_second_call_downloads_only_what_is_missing_or_wrong(
    data: PublicData, server: Server, tmp_path: Path
) -> None:
    folder = fetch(data, tmp_path / "here").folder
    (folder / "data/run_1.fits.gz").unlink()
    (folder / "data/run_2.fits.gz").write_bytes(b"cut off")
    server.asked.clear()
    result = fetch(data, folder)
    assert (result.downloaded, result.kept) == (2, 3)
    assert sorted(server.asked) == ["/data/run_1.fits.gz", "/data/run_2.fits.gz"]
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES


def test_a_mirror_may_be_given(data: PublicData, server: Server, tmp_path: Path) -> None:
    elsewhere = PublicData(data.name, "http://127.0.0.1:9/", data.registry)
    assert fetch(elsewhere, tmp_path / "here", url=server.url.rstrip("/")).downloaded == 5


def test_all_bad_files_are_named_and_none_is_left_behind(data: PublicData, server: Server, tmp_path: Path) -> None:
    (server.folder / "data/run_1.fits.gz").write_bytes(b"something else")
    (server.folder / "data/run_3.fits.gz").unlink()
    with pytest.raises(DownloadError) as caught:
        fetch(data, tmp_path / "here")
    lines = str(caught.value).splitlines()
    assert "run_1.fits.gz" in lines[0]
    assert "hash" in lines[0].lower()
    assert "run_3.fits.gz" in lines[1]
    assert "404" in lines[1]
    assert sorted(path.name for path in (tmp_path / "here" / "data").iterdir()) == ["run_2.fits.gz"]
    assert not list((tmp_path / "here").glob(".download-*"))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda folder: (folder / "hdu-index.fits.gz").write_bytes(b"<html>"), "not a readable index table"),
        (
            lambda folder: Table({"OBS_ID": [1]}).write(folder / "obs-index.fits.gz", overwrite=True),
            "no columns RA_PNT",
        ),
        (lambda folder: write_index(folder, (1, 2)), "does not list 1 of 3 files"),
    ],
)
def test_index_files_are_checked_by_content(spoil, expected: str, data, server: Server, tmp_path: Path) -> None:
    spoil(server.folder)
    with pytest.raises(DownloadError, match=expected):
        fetch(data, tmp_path / "here")


def test_an_observation_index_that_lacks_observations_is_refused(data, server: Server, tmp_path: Path) -> None:
    hdu_index = (server.folder / "hdu-index.fits.gz").read_bytes()
    write_index(server.folder, (1, 3))
    (server.folder / "hdu-index.fits.gz").write_bytes(hdu_index)
    with pytest.raises(DownloadError, match=r"does not list the observations 2$"):
        fetch(data, tmp_path / "here")


def test_the_terms_are_shown_and_the_variable_named(data: PublicData, tmp_path: Path) -> None:
    lines = list(fetch_to_terminal("small", to=str(tmp_path), known={"small": data}))
    assert lines[0] == "Say where it is from."
    assert lines[-1] == f"to use it: export SURVEY_DATA={tmp_path}"
    assert (tmp_path / "small" / "data" / "run_1.fits.gz").exists()


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="known: hess-dl3-dr1"):
        list(fetch_to_terminal("nothing", to=str(tmp_path)))


def test_the_public_data_are_described() -> None:
    hess = public_data()["hess-dl3-dr1"]
    assert len(hess.registry) == 90
    assert all(len(checksum) == len("sha256:") + 64 for checksum in hess.registry.values())
    assert "attribution" in hess.terms


@pytest.mark.data
def test_the_registry_holds_for_the_files_at_hand() -> None:
    import os

    folder = Path(os.environ.get("SURVEY_DATA", "../shared/data")) / "hess-dl3-dr1"
    if not folder.is_dir():
        pytest.skip("no real data: set SURVEY_DATA")
    for name, checksum in public_data()["hess-dl3-dr1"].registry.items():
        assert f"sha256:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}" == checksum
