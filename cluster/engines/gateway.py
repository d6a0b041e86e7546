"""Workers of a Dask gateway: `cluster.kind: gateway`.

The gateway starts a scheduler and workers for this run, and replaces workers that end. All that they say is encrypted,
with credentials that the gateway makes. Which options a cluster has is the gateway's own affair: the common fields are
given to those that go by dask-gateway's names, and what workers turn out to have is held against what was asked for.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import aiohttp
import dask
from dask.utils import format_bytes
from dask_gateway import Gateway, GatewayCluster
from dask_gateway.client import ClusterStatus, GatewayClusterError, GatewayServerError, GatewayWarning
from dask_gateway.options import Options
from distributed import Client

from cluster.config import ClusterConfig
from cluster.engines.base import Completion
from cluster.engines.distributed import DistributedEngine
from cluster.engines.plugins import DriversScheduler, WorkersAsAsked
from cluster.engines.remote import told
from cluster.errors import ClusterError, ConfigError

#: Options that are the client's, not the cluster's.
_OF_THE_CLIENT = ("auth", "proxy_address", "public_address")
_SECRETS = ("password", "token", "secret", "key")
ENDED = 60
"""Seconds that the gateway has to end a cluster whose workers may still be writing."""
TOLERANCE = 0.9
"""Part of the memory asked for that is enough: gateways round, and some mean GB where others mean GiB."""


class _Gateway(Gateway):
    """A client that is closed by its engine: dask-gateway's own closes again when it is collected, and fails then."""

    def __del__(self) -> None:
        """Nothing is left to close."""


class Engine(DistributedEngine):
    """A client of a gateway; `options` are those of its clusters, and `auth`, `proxy_address`, `public_address`."""

    patience = 86400

    def __init__(self, config: ClusterConfig, *, preload: Sequence[str] = ()) -> None:
        self._gateway: Gateway | None = None
        self._name: str | None = None
        self._offered: list[str] = []
        self._looked_at = False
        super().__init__(config, preload=preload)

    def make_cluster(self) -> GatewayCluster:
        """Ask the gateway for a cluster without workers, and wait until its scheduler runs."""
        with self._explained():
            gateway = self._gateway = connect(self.config)
            asked = cluster_options(self.config, gateway.cluster_options())
            self._offered = list(asked)
            self._name = gateway.submit(asked)
            try:
                if self._closing:  # the run was stopped while the gateway took it down
                    raise ClusterError("stopped before the cluster came up")
                return gateway.connect(self._name, shutdown_on_close=True)
            except BaseException:
                with contextlib.suppress(Exception):
                    gateway.stop_cluster(self._name)
                raise

    def make_client(self, cluster: GatewayCluster) -> Client:
        """Connect through the gateway's proxy, tell scheduler and workers how to behave, and only then ask for workers."""
        client = cluster.get_client(set_as_default=False)
        known = {name: dask.config.get(name) for name in self.settings()}
        try:
            client.register_plugin(
                DriversScheduler(
                    allowed_failures=known["distributed.scheduler.allowed-failures"],
                    no_workers_timeout=known["distributed.scheduler.no-workers-timeout"],
                    worker_ttl=known["distributed.scheduler.worker-ttl"],
                )
            )
            settings, environment = told(known, self.environment())
            client.register_plugin(WorkersAsAsked(threads=self.threads, settings=settings, environment=environment))
        except ImportError as missing:
            raise ConfigError(
                f"the gateway's scheduler has no {missing.name}: the environment of its clusters needs this package too"
            ) from missing
        with self._explained(), warnings.catch_warnings():
            warnings.simplefilter("error", GatewayWarning)
            try:
                cluster.scale(self.n_workers)
            except GatewayWarning as limit:
                raise ConfigError(f"cluster.workers: found {self.n_workers}; the gateway says: {limit}") from limit
        return client

    def renew(self, client: Client) -> None:
        """End what still runs; the gateway may put other workers in the place of those that end, so none is waited for."""
        client.restart(timeout=180, wait_for_workers=False)

    def wait(self, timeout: float) -> list[Completion]:
        """Tasks that ended since the last call.

        Raises
        ------
        ConfigError
            When workers are not as asked for.
        """
        ended = super().wait(timeout)
        if not self._looked_at:
            workers = list(self.client().scheduler_info(n_workers=-1)["workers"].values())
            self._looked_at = bool(workers)
            for worker in workers:
                self._look_at(worker)
        return ended

    def _look_at(self, worker: Mapping[str, Any]) -> None:
        have = f"its options are {', '.join(self._offered) or 'none'}; set them in cluster.options"
        wanted, found = self.config.memory_limit, worker.get("memory_limit") or None
        if wanted is not None and found is not None and found < TOLERANCE * wanted:
            raise ConfigError(
                f"cluster.memory: found {self.config.memory}, but the gateway gave workers of {format_bytes(found)}; {have}"
            )
        if worker["nthreads"] != self.threads:
            raise ConfigError(
                f"cluster.threads: found {self.threads}, but the gateway gave workers of {worker['nthreads']}; {have}"
            )
        if wanted is None and found is not None:
            self.memory_limit = min(found, self.memory_limit or found)

    def close(self, *, now: bool = False) -> None:
        """End the cluster, also one that the gateway has not started yet."""
        self._closing = True
        if self._starter.is_alive() and self._gateway is not None and self._name is not None:
            with contextlib.suppress(Exception):
                self._gateway.stop_cluster(self._name)
        super().close(now=now)
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.close()

    def end_cluster(self, cluster: GatewayCluster, *, now: bool) -> None:
        """Have the gateway end it; `now` waits until it has, since workers write until they are gone."""
        with contextlib.suppress(Exception):
            cluster.shutdown()
        cluster.gateway = self._gateway  # its own is collected here, while there is a loop to close it in
        limit = time.monotonic() + ENDED
        with contextlib.suppress(Exception):
            while now and self._gateway is not None and time.monotonic() < limit:
                if self._gateway.get_cluster(cluster.name).status > ClusterStatus.STOPPING:
                    break
                time.sleep(0.2)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """What goes wrong with a gateway, in one line."""
        where = f"the gateway at {self.config.address}"
        try:
            yield
        except aiohttp.ClientResponseError as error:
            hint = "; see cluster.options.auth" if error.status in (401, 403) else ""
            raise ConfigError(f"{where} refuses: {error.status} {error.message}{hint}") from error
        except ImportError as missing:  # kerberos, or the class that someone names
            raise ConfigError(f"cluster.options.auth: needs {missing.name}, which is not installed") from missing
        except (OSError, aiohttp.ClientError) as error:
            raise ConfigError(f"cluster.address: {where} does not answer: {_line(error)}") from error
        except (GatewayClusterError, GatewayServerError, ValueError) as error:
            if isinstance(error, ClusterError):
                raise
            raise ConfigError(f"{where} refuses: {_line(error)}") from error


def connect(config: ClusterConfig) -> Gateway:
    """A client of the gateway.

    Raises
    ------
    ConfigError
        When how to authenticate is not said as it should be, or a variable that holds a credential is not set.
    """
    auth = authentication(config.options.get("auth"))
    given = {name: config.options[name] for name in _OF_THE_CLIENT[1:] if name in config.options}
    try:
        with dask.config.set(auth):
            return _Gateway(address=config.address, **given)
    except KeyError as variable:
        raise ConfigError(f"cluster.options.auth: the environment has no variable {variable}; set it") from variable
    except (TypeError, ValueError) as error:
        raise ConfigError(f"cluster.options.auth: {_line(error)}") from error


def authentication(auth: Any) -> dict[str, Any]:
    """Dask-gateway's settings ``gateway.auth``, from a kind or from a kind and its arguments.

    Parameters
    ----------
    auth : str, mapping or None
        ``basic``, ``kerberos``, ``jupyterhub`` or the path of a class; or ``{type: ..., kwargs: {...}}`` as in
        dask-gateway's own configuration, where ``{NAME}`` in a text is the environment variable of that name. None
        leaves all to that configuration.

    Raises
    ------
    ConfigError
        When it is neither, or a credential is written out.
    """
    if auth is None:
        return {}
    if isinstance(auth, str):
        return {"gateway.auth.type": auth}
    if not isinstance(auth, Mapping) or set(auth) - {"type", "kwargs"} or not isinstance(auth.get("type"), str):
        raise ConfigError(
            "cluster.options.auth: write basic, kerberos, jupyterhub, the path of a class, or {type: ..., kwargs: {...}}"
        )
    kwargs = auth.get("kwargs") or {}
    if not isinstance(kwargs, Mapping):
        raise ConfigError(f"cluster.options.auth.kwargs: found {kwargs!r}, expected a mapping")
    written_out = [
        f"cluster.options.auth.kwargs.{name}: is written out; keep it in an environment variable, and write "
        "'{NAME}' for the variable NAME"
        for name, value in kwargs.items()
        if any(word in str(name).lower() for word in _SECRETS) and "{" not in str(value)
    ]
    if written_out:
        raise ConfigError("\n".join(written_out))
    return {"gateway.auth.type": auth["type"], "gateway.auth.kwargs": dict(kwargs)}


def cluster_options(config: ClusterConfig, offered: Options) -> Options:
    """What to ask for, of the options that a gateway offers.

    Parameters
    ----------
    config : ClusterConfig
        Its `threads` and `memory` are given to the options ``worker_cores``, ``worker_threads`` and ``worker_memory``
        where there are such, its `options` to those of the same names.
    offered : dask_gateway.options.Options
        With the values that they have if nothing is asked for.

    Raises
    ------
    ConfigError
        When there are no such options, or they do not take the values; a line each.
    """
    common: dict[str, tuple[str, Any]] = {
        name: ("threads", config.threads) for name in ("worker_cores", "worker_threads") if name in offered
    }
    if config.memory_limit is not None and "worker_memory" in offered:
        common["worker_memory"] = ("memory", _memory(config.memory_limit, offered["worker_memory"]))
    own = {name: (f"options.{name}", value) for name, value in config.options.items() if name not in _OF_THE_CLIENT}
    wrong = []
    for name, (field, value) in {**common, **own}.items():
        try:
            offered[name] = value
        except KeyError:
            wrong.append(f"cluster.{field}: the gateway has no such option; it has {', '.join(offered) or 'none'}")
        except (TypeError, ValueError) as error:
            wrong.append(f"cluster.{field}: the gateway does not take it: {_line(error)}")
    if wrong:
        raise ConfigError("\n".join(dict.fromkeys(wrong)))
    return offered


def _memory(size: int, default: Any) -> Any:
    """Bytes as an option takes them: a text in KiB, or a number of bytes, or of GiB as in dask-gateway's documentation."""
    if not isinstance(default, int | float):
        return f"{size // 2**10}K"
    if default >= 2**20:
        return size
    return math.ceil(size / 2**30) if isinstance(default, int) else size / 2**30


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
