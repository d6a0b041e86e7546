"""Workers in Kubernetes pods: `cluster.kind: kubernetes`, through the Dask operator.

The manifest of a ``DaskCluster`` is made here, from the common fields and from the options that shape pods; the other
options go to `dask_kubernetes.operator.KubeCluster`. The operator replaces pods that end.
"""

from __future__ import annotations

import contextlib
import inspect
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from dask_kubernetes.constants import MAX_CLUSTER_NAME_LEN, VALID_CLUSTER_NAME
from dask_kubernetes.operator.kubecluster import KubeCluster
from dask_kubernetes.operator.kubecluster.kubecluster import make_cluster_spec

from cluster.config import ClusterConfig
from cluster.engines.distributed import DistributedEngine
from cluster.engines.remote import variables
from cluster.engines.security import LOOPBACK
from cluster.errors import ConfigError

#: Options that shape the manifest.
_OF_THE_PODS = ("name", "image", "env", "resources", "scheduler_service_type", "idle_timeout")
#: Options that would put another manifest in the place of ours.
_TAKEN = ("custom_cluster_spec", "n_workers", "worker_command")
_SERVICES = ("ClusterIP", "NodePort", "LoadBalancer")


class Engine(DistributedEngine):
    """Pods of a ``DaskCluster``; the driver reaches the scheduler through the operator's service, or a port forward."""

    patience = 86400

    def make_cluster(self) -> KubeCluster:
        """Create the resource."""
        options = {name: value for name, value in self.config.options.items() if name not in _OF_THE_PODS}
        manifest, others = self.manifest(), set(KubeCluster._instances)
        try:
            return KubeCluster(custom_cluster_spec=manifest, **{"quiet": True, **options})
        except Exception as error:
            # What was not made would be closed when Python ends, which fails once more, with a traceback.
            for half in set(KubeCluster._instances) - others:
                KubeCluster._instances.discard(half)
            raise ConfigError(
                f"cluster.kind 'kubernetes': {' '.join(str(error).split())}; expected a cluster with the Dask operator, and "
                "credentials for it (a kubeconfig, or a pod's service account)"
            ) from error

    def end_cluster(self, cluster: KubeCluster, *, now: bool) -> None:
        """Delete the resource, and all pods with it."""
        with contextlib.suppress(TimeoutError):
            cluster.close(timeout=30)

    def manifest(self) -> dict[str, Any]:
        """The ``DaskCluster`` resource.

        Raises
        ------
        ConfigError
            When options are missing, ours, or not of the form that they have; a line each.
        """
        config, options = self.config, self.config.options
        wrong = list(wrong_options(options))
        if isinstance(config.dashboard, str):
            wrong.append("cluster.dashboard: kind kubernetes serves it in the scheduler's pod; say true or false")
        if wrong:
            raise ConfigError("\n".join(wrong))
        assert config.memory_limit is not None
        told = variables(self.settings(), self.environment(), scheduler=True)
        extra = options.get("env") or {}
        env = [{"name": name, "value": value} for name, value in told.items()]
        env += [{"name": k, "value": str(v)} for k, v in extra.items()] if isinstance(extra, dict) else list(extra)
        amounts = {"cpu": str(config.threads), "memory": str(config.memory_limit)}
        more = options.get("resources") or {}
        resources = {part: {**amounts, **more.get(part, {})} for part in ("requests", "limits")}
        spec = make_cluster_spec(
            name=options.get("name") or f"survey-{uuid.uuid4().hex[:8]}",
            image=options["image"],
            n_workers=config.workers,
            resources=resources,
            env=env,
            worker_command="unused",
            scheduler_service_type=options.get("scheduler_service_type", "ClusterIP"),
            idle_timeout=options.get("idle_timeout", 0),
        )
        # The commands that dask-kubernetes would write are gone from distributed.
        worker = spec["spec"]["worker"]["spec"]["containers"][0]
        worker["args"] = self._worker()
        worker["ports"] = []
        scheduler = spec["spec"]["scheduler"]["spec"]["containers"][0]
        scheduler["args"] = ["python", "-m", "distributed.cli.dask_scheduler", "--host", "0.0.0.0"]
        if not config.dashboard:
            scheduler["args"].append("--no-dashboard")
        return spec

    def _worker(self) -> list[str]:
        config = self.config
        command = ["python", "-m", "distributed.cli.dask_worker", "--name", "$(DASK_WORKER_NAME)"]
        command += ["--nthreads", str(config.threads), "--memory-limit", str(config.memory_limit)]
        command += ["--no-dashboard", "--dashboard-address", LOOPBACK]
        if config.scratch is not None:
            command += ["--local-directory", config.scratch]
        if config.setup:
            return ["sh", "-c", "\n".join((*config.setup, 'exec "$@"')), "sh", *command]
        return command


def wrong_options(options: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the options of pods, a line each."""
    if not options.get("image"):
        yield "cluster.options.image: missing; give a container image that has this package"
    known = set(inspect.signature(KubeCluster.__init__).parameters) - {"self", "kwargs"}
    for name, value in options.items():
        where = f"cluster.options.{name}"
        if name in _TAKEN:
            yield f"{where}: is made from the other fields of cluster; take it out"
        elif name not in known:
            yield f"{where}: KubeCluster does not take it; take it out"
        elif name == "resources" and value is not None:
            yield from _wrong_resources(value)
        elif name == "env" and not _is_environment(value):
            yield f"{where}: found {value!r}, expected a mapping of names to texts, or a list of {{name: ..., value: ...}}"
        elif name == "name" and value is not None and not (isinstance(value, str) and VALID_CLUSTER_NAME.match(value)):
            yield (
                f"{where}: found {value!r}, expected at most {MAX_CLUSTER_NAME_LEN} small letters, digits and '-', "
                "which is at no end"
            )
        elif name in ("image", "namespace") and value and not isinstance(value, str):
            yield f"{where}: found {value!r}, expected a text"
        elif name == "idle_timeout" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            yield f"{where}: found {value!r}, expected whole seconds"
        elif name == "scheduler_service_type" and value not in _SERVICES:
            yield f"{where}: found {value!r}, expected one of {', '.join(_SERVICES)}"


def _wrong_resources(resources: Any) -> Iterator[str]:
    where, parts = "cluster.options.resources", ("requests", "limits")
    if not isinstance(resources, Mapping) or not all(isinstance(amounts, Mapping) for amounts in resources.values()):
        yield f"{where}: found {resources!r}, expected mappings requests and limits, of what is not memory and cpu"
        return
    for part, amounts in resources.items():
        if part not in parts:
            yield f"{where}.{part}: unknown, expected requests or limits"
            continue
        for name, field in (("cpu", "threads"), ("memory", "memory")):
            if name in amounts:
                yield f"{where}.{part}.{name}: write cluster.{field}, from which other things follow"


def _is_environment(env: Any) -> bool:
    if env is None:
        return True
    if isinstance(env, Mapping):
        return all(isinstance(name, str) and isinstance(value, str | int | float) for name, value in env.items())
    return isinstance(env, list) and all(isinstance(one, Mapping) and isinstance(one.get("name"), str) for one in env)


def job_script(config: ClusterConfig, *, preload: Sequence[str] = ()) -> str:
    """The manifest as YAML; nothing is created."""
    shown = Engine.__new__(Engine)
    shown.config, shown.preload = config, tuple(preload)
    return yaml.safe_dump(shown.manifest(), sort_keys=False)
