"""An object store on this machine for tests: moto's server in a process of its own, at a free port of the loopback."""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request

STARTS = 60.0
"""Seconds that a server may take to start."""


def environment(endpoint: str) -> dict[str, str]:
    """What leads clients to a server, and to nothing else: no file of the user's, no address of a cloud's."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }


@contextlib.contextmanager
def moto_server(log):
    """A server, empty; yields its address and its process. `log` is the file that it writes a line a request to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    with open(log, "w") as told:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=told, stderr=told
        )
    try:
        limit = time.monotonic() + STARTS
        while True:
            assert server.poll() is None, f"moto ended with {server.returncode}"
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{endpoint}/moto-api/"):
                break
            assert time.monotonic() < limit, "moto did not start"
            time.sleep(0.1)
        yield endpoint, server
    finally:
        server.kill()
        server.wait()


def ask(endpoint: str, path: str, data: bytes = b"") -> bytes:
    """Post to moto's own interface."""
    request = urllib.request.Request(f"{endpoint}/moto-api/{path}", data=data, headers={"Content-Type": "text/plain"})
    with urllib.request.urlopen(request) as answer:
        return answer.read()
