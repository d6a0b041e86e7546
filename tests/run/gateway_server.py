"""A real Dask gateway on this machine, from its wheels: clusters are local processes of the same user."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

PASSWORD = "not a number: 0123"
MOST = 3
"""Workers that the gateway gives to a cluster."""

CONFIG = """
import sys
from dask_gateway_server.options import Float, Integer, Options

c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = {password!r}
c.Proxy.address = "127.0.0.1:{port}"
c.UnsafeLocalBackend.clusters_directory = {folder!r}
c.UnsafeLocalBackend.inherited_environment = {inherited!r}
c.UnsafeLocalBackend.cluster_heartbeat_period = 3
c.UnsafeLocalBackend.cluster_heartbeat_timeout = 20
c.UnsafeLocalBackend.sigint_timeout = 3
c.UnsafeLocalBackend.sigterm_timeout = 2
# Its own defaults, dask-scheduler and dask-worker, are gone from distributed.
c.ClusterConfig.scheduler_cmd = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
c.ClusterConfig.worker_cmd = [sys.executable, "-m", "distributed.cli.dask_worker"]
c.UnsafeLocalBackend.cluster_options = Options(
    Integer("worker_cores", default=2, min=1),
    Float("worker_memory", default=1, min=0.1, label="Memory of a worker (GiB)"),
    handler=lambda options: {{
        "worker_cores": options.worker_cores,
        "worker_memory": int(options.worker_memory * 2**30),
        "cluster_max_workers": {most},
    }},
)
"""


class GatewayServer:
    """Starts a gateway, looks at what it runs, and ends it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        inherited = [name for name in os.environ if name in ("PATH", "HOME", "LANG", "NUMBA_CACHE_DIR", "PYTHONPATH")]
        config = self.folder / "gateway.py"
        config.write_text(
            CONFIG.format(port=port, password=PASSWORD, folder=str(self.folder), inherited=inherited, most=MOST)
        )
        self.log = self.folder / "gateway.log"
        command = [sys.executable, "-m", "dask_gateway_server", "-f", str(config)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        limit = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < limit, self.log.read_text()
            time.sleep(0.1)

    def answers(self):
        """Whether the gateway is there behind its proxy."""
        try:
            with urllib.request.urlopen(f"{self.address}/api/version", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def processes(self):
        """Schedulers and workers that the gateway has started, with what these have started."""
        gone = psutil.NoSuchProcess
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if process.status() != psutil.STATUS_ZOMBIE and "dask-gateway-proxy" not in process.name():
                    found.append(process)
            except gone:
                continue
        return found

    def workers(self):
        """The processes that the gateway has started as workers: their nannies."""
        found = []
        for process in psutil.Process(self.process.pid).children():
            try:
                if "distributed.cli.dask_worker" in process.cmdline():
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def close(self):
        """End it, with all that it runs."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
