"""The manifest for Kubernetes, against the schema that the Dask operator brings along."""

import importlib.resources
import os
import subprocess
import sys

import pytest
import yaml

from cluster import ConfigError
from cluster.config import ClusterConfig
from cluster.engines.base import job_script

dask_kubernetes = pytest.importorskip("dask_kubernetes")

FIELDS = {
    "kind": "kubernetes",
    "workers": 7,
    "threads": 2,
    "memory": "4 GiB",
    "scratch": "/scratch",
    "setup": ["export A='b c'"],
    "options": {"image": "registry/survey:1", "env": {"TOKEN": 5}, "namespace": "science"},
}


def manifest(**more):
    return yaml.safe_load(job_script(ClusterConfig(**{**FIELDS, **more}), preload=["cluster_jobs"]))


def problems(value, schema, path="manifest"):
    """What does not fit an OpenAPI schema, as the API server would see it; unknown fields count."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "number": (int, float)}
    if schema.get("x-kubernetes-int-or-string"):
        return [] if isinstance(value, int | str) else [f"{path}: neither a number nor a text"]
    kind = schema.get("type")
    if kind and not isinstance(value, kinds[kind]):
        return [f"{path}: {value!r} is no {kind}"]
    found = []
    if isinstance(value, dict):
        found += [f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value]
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, inner in value.items():
            if name in known:
                found += problems(inner, known[name], f"{path}.{name}")
            elif isinstance(others, dict):
                found += problems(inner, others, f"{path}.{name}")
            elif known and not schema.get("x-kubernetes-preserve-unknown-fields"):
                found.append(f"{path}.{name}: unknown")
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found += problems(inner, schema.get("items", {}), f"{path}[{index}]")
    return found


def test_the_manifest_fits_the_operator():
    charts = importlib.resources.files("dask_kubernetes") / "operator" / "deployment" / "helm"
    root = charts / "dask-kubernetes-operator" / "crds" / "daskcluster.yaml"
    definition = yaml.safe_load(root.read_text())
    (version,) = definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {}}
    assert len(schema["properties"]["spec"]["properties"]) >= 2
    made = manifest()
    assert made["apiVersion"] == f"{definition['spec']['group']}/{version['name']}"
    assert made["kind"] == definition["spec"]["names"]["kind"]
    assert problems(made, schema) == []
    made["spec"]["worker"]["replicas"] = "seven"
    made["spec"]["worker"]["spec"]["containers"][0]["colour"] = "blue"
    assert [line.partition(":")[0] for line in problems(made, schema)] == [
        "manifest.spec.worker.replicas",
        "manifest.spec.worker.spec.containers[0].colour",
    ]


def test_pods_have_every_field():
    spec = manifest()["spec"]
    assert spec["worker"]["replicas"] == 7
    (worker,) = spec["worker"]["spec"]["containers"]
    (scheduler,) = spec["scheduler"]["spec"]["containers"]
    assert worker["image"] == scheduler["image"] == "registry/survey:1"
    assert worker["resources"]["limits"] == {"cpu": "2", "memory": str(4 * 2**30)}
    assert worker["args"][:4] == ["sh", "-c", "export A='b c'\nexec \"$@\"", "sh"]
    command = " ".join(worker["args"][4:])
    assert command.startswith("python -m distributed.cli.dask_worker --name $(DASK_WORKER_NAME) --nthreads 2 ")
    assert command.endswith("--no-dashboard --dashboard-address 127.0.0.1:0 --local-directory /scratch")
    assert scheduler["args"][-1] == "--no-dashboard"
    variables = {one["name"]: one["value"] for one in worker["env"]}
    assert variables["TOKEN"] == "5"
    assert variables["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] == "0"
    assert variables["DASK_DISTRIBUTED__WORKER__PRELOAD_ARGV"] == "['cluster_jobs']"
    assert "NUMBA_CACHE_DIR" not in variables
    assert "--no-dashboard" not in manifest(dashboard=True)["spec"]["scheduler"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"options": {}}, r"cluster\.options\.image: missing"),
        ({"options": {"image": "a", "n_workers": 3}}, r"cluster\.options\.n_workers: is made from the other fields"),
        (
            {"options": {"image": "a", "colour": "blue"}},
            r"cluster\.options\.colour: KubeCluster does not take it; take it out",
        ),
        ({"dashboard": "0.0.0.0:8787"}, r"cluster\.dashboard: kind kubernetes serves it in the scheduler's pod"),
    ],
)
def test_what_kubernetes_cannot_do_is_refused_by_name(more, line):
    with pytest.raises(ConfigError, match=line):
        manifest(**more)


def test_all_that_is_wrong_with_options_is_told_at_once():
    options = {
        "name": "Bad_Name!",
        "env": 5,
        "resources": {"limits": {"memory": "9Gi", "cpu": 3}, "requets": {}},
        "colour": 1,
        "n_workers": 3,
        "idle_timeout": "soon",
        "scheduler_service_type": "Proxy",
    }
    with pytest.raises(ConfigError) as refusal:
        manifest(options=options, dashboard="a:1")
    assert str(refusal.value).splitlines() == [
        "cluster.options.image: missing; give a container image that has this package",
        "cluster.options.name: found 'Bad_Name!', expected at most 53 small letters, digits and '-', which is at no end",
        "cluster.options.env: found 5, expected a mapping of names to texts, or a list of {name: ..., value: ...}",
        "cluster.options.resources.limits.cpu: write cluster.threads, from which other things follow",
        "cluster.options.resources.limits.memory: write cluster.memory, from which other things follow",
        "cluster.options.resources.requets: unknown, expected requests or limits",
        "cluster.options.colour: KubeCluster does not take it; take it out",
        "cluster.options.n_workers: is made from the other fields of cluster; take it out",
        "cluster.options.idle_timeout: found 'soon', expected whole seconds",
        "cluster.options.scheduler_service_type: found 'Proxy', expected one of ClusterIP, NodePort, LoadBalancer",
        "cluster.dashboard: kind kubernetes serves it in the scheduler's pod; say true or false",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("env", ["A"]), ("env", {"A": {"valueFrom": 1}}), ("resources", 5), ("resources", {"limits": 5}), ("image", 5)],
)
def test_options_that_have_not_their_form_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"^cluster\.options\.{name}: found [^\n]*, expected [^\n]*$"):
        manifest(options={"image": "x", name: value})


def test_resources_are_added_to_what_the_fields_say():
    made = manifest(
        options={"image": "x", "resources": {"limits": {"nvidia.com/gpu": 1}}, "env": [{"name": "A", "value": "b"}]}
    )
    (worker,) = made["spec"]["worker"]["spec"]["containers"]
    amounts = {"cpu": "2", "memory": str(4 * 2**30)}
    assert worker["resources"] == {"requests": amounts, "limits": {**amounts, "nvidia.com/gpu": 1}}
    assert worker["env"][-1] == {"name": "A", "value": "b"}


def test_without_credentials_there_is_one_line(tmp_path):
    """In a process of its own: what was half made would otherwise be closed when Python ends, with a traceback."""
    program = (
        "from cluster.config import ClusterConfig\n"
        "from cluster.engines.base import open_engine\n"
        "from cluster.errors import ConfigError\n"
        "try:\n"
        "    with open_engine(ClusterConfig(kind='kubernetes', memory='1 GB', options={'image': 'x'})) as engine:\n"
        "        engine.await_start()\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    away = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")} | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=away, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.startswith("cluster.kind 'kubernetes': ")
    assert "a kubeconfig" in done.stdout
    assert "Traceback" not in done.stderr
