"""Options of batch jobs that are refused, with a line each."""

import dask
import pytest

from cluster import ConfigError
from cluster.config import ClusterConfig
from cluster.engines.base import job_script
from cluster.engines.merged import merged

pytest.importorskip("dask_jobqueue")

KINDS = ["slurm", "pbs", "htcondor"]
LISTS = ["job_script_prologue", "worker_extra_args", "job_directives_skip"]
FOLLOWS = "from which other things follow"


def refused(kind, options, **more):
    """Lines of a refusal."""
    with pytest.raises(ConfigError) as refusal:
        job_script(ClusterConfig(kind=kind, memory="1 GB", options=options, **more))
    return str(refusal.value).splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_wrong_is_told_at_once(kind):
    options = {
        "cores": 4,
        "colour": "blue",
        "env_extra": ["a"],
        "scheduler_options": 5,
        "memory": "1 GB",
        "log_directory": 5,
    }
    assert refused(kind, options, walltime="00:00:01") == [
        f"cluster.options.cores: write cluster.threads, {FOLLOWS}",
        f"cluster.options.colour: jobs of kind {kind} do not take it; take it out",
        "cluster.options.env_extra: write cluster.options.job_script_prologue",
        "cluster.options.scheduler_options: found 5, expected a mapping",
        f"cluster.options.memory: write cluster.memory, {FOLLOWS}",
        "cluster.options.log_directory: found 5, expected a text",
        "cluster.walltime: found '00:00:01', in which no worker can start and work; write what a job may take, "
        "for example '12:00:00'",
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", ["--gres=gpu:1", None, [{"a": "b"}], [5]])
def test_what_is_no_list_of_lines_is_refused(kind, name, value):
    assert refused(kind, {name: value}) == [f"cluster.options.{name}: found {value!r}, expected a list of lines"]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("slurm", "-x", "a list of lines"),
        ("slurm", {"a": "b"}, "a list of lines"),
        ("pbs", {"a": "b"}, "a list of lines"),
        ("htcondor", ["a = b"], "a mapping"),
        ("htcondor", "a = b", "a mapping"),
    ],
)
def test_directives_have_the_form_of_the_batch_system(kind, value, expected):
    assert refused(kind, {"job_extra_directives": value}) == [
        f"cluster.options.job_extra_directives: found {value!r}, expected {expected}"
    ]


@pytest.mark.parametrize(
    ("kind", "name", "fields"),
    [
        ("slurm", "walltime", "walltime"),
        ("slurm", "processes", "jobs"),
        ("slurm", "job_mem", "memory"),
        ("slurm", "job_cpu", "threads"),
        ("pbs", "resource_spec", "memory and cluster.threads"),
        ("pbs", "dashboard_address", "dashboard"),
    ],
)
def test_options_that_fields_speak_of_are_refused(kind, name, fields):
    assert refused(kind, {name: 3}) == [f"cluster.options.{name}: write cluster.{fields}, {FOLLOWS}"]


def test_a_field_that_a_kind_has_no_place_for_is_not_advised():
    assert refused("htcondor", {"queue": "a"}) == [
        "cluster.options.queue: jobs of kind htcondor do not take it; take it out"
    ]


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("slurm", {"-t 5": "walltime", "--time=5": "walltime", "--mem=5G": "memory", " --mem-per-cpu 5G": "memory"}),
        ("slurm", {"-A a": "account", "--account a": "account", "-pq": "queue", "--partition=q": "queue", "-c4": "threads"}),
        ("pbs", {"-l walltime=1:00:00": "walltime", "-l place=free,walltime=9": "walltime", "-q a": "queue", "-A a": "account"}),
        ("htcondor", {"accounting_group": "account", "Allowed_Job_Duration": "walltime"}),
        ("htcondor", {"request_memory": "memory", "RequestCpus": "threads"}),
    ],
)  # fmt: skip
def test_directives_that_fields_speak_of_are_refused(kind, taken):
    given = dict.fromkeys(taken, "x") if kind == "htcondor" else list(taken)
    assert refused(kind, {"job_extra_directives": given}) == [
        f"cluster.options.job_extra_directives: found {line!r}; write cluster.{field}, {FOLLOWS}"
        for line, field in taken.items()
    ]


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        ("slurm", ["--time-min=5", "--constraint=amd", "--mem-bind=local", "--cpu-bind=no", "-n 1"]),
        ("pbs", ["-l place=free", "-j oe"]),
        ("htcondor", {"accounting_group_user": "me", "+Wish": "1"}),
    ],
)
def test_other_directives_are_taken(kind, others):
    script = job_script(ClusterConfig(kind=kind, memory="1 GB", options={"job_extra_directives": others}))
    assert all(line in script for line in others)


def test_a_section_of_dasks_configuration_that_is_not_there_is_refused():
    assert refused("slurm", {"config_name": "foo"}) == [
        "cluster.options.config_name: found 'foo', but Dask's configuration has no section jobqueue.foo; mend the name"
    ]
    slurm = dask.config.get("jobqueue.slurm")
    with dask.config.set({"jobqueue.foo": {name: value for name, value in slurm.items() if name != "death-timeout"}}):
        assert refused("slurm", {"config_name": "foo"}) == [
            "cluster.options.config_name: jobqueue.foo of Dask's configuration has no 'death-timeout'; add it there"
        ]
    with dask.config.set({"jobqueue.foo": {**slurm, "walltime": "10:00:00"}}):
        script = job_script(ClusterConfig(kind="slurm", memory="1 GB", options={"config_name": "foo"}))
    assert "#SBATCH -t 10:00:00" in script
    assert "--lifetime 35100s" in script


def test_a_walltime_of_dasks_configuration_may_be_too_short_too():
    with dask.config.set({"jobqueue.pbs.walltime": "00:00:09"}):
        (line,) = refused("pbs", {})
    assert line.startswith(
        "cluster.walltime: missing, and jobqueue.pbs.walltime of Dask's configuration is no use: found"
    )


def test_lists_and_mappings_are_added_to_and_other_values_replaced():
    ours = {"lines": ["a"], "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}, "disk": "1 GB"}
    given = {"lines": ("b",), "scheduler_kwargs": {"port": 8786}, "disk": "2 GB", "name": "mine"}
    assert merged(ours, given) == {
        "lines": ["a", "b"],
        "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0", "port": 8786},
        "disk": "2 GB",
        "name": "mine",
    }
