"""Which options a batch job may have: what is not one, has not its form, or is what a field says, is refused, all at once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import dask
from dask_jobqueue.core import Job

from cluster.config import FIELDS, ClusterConfig

#: Options that common fields speak of, which checks and other options go by, and those fields.
TAKEN = {
    "cores": "threads",
    "processes": "jobs",
    "memory": "memory",
    "walltime": "walltime",
    "queue": "queue",
    "account": "account",
    "project": "account",
    "interface": "interface",
    "local_directory": "scratch",
    "security": "tls",
    "n_workers": "workers",
    "dashboard_address": "dashboard",
    "job_cpu": "threads",
    "job_mem": "memory",
    "resource_spec": "memory and cluster.threads",
}
#: Names that dask-jobqueue has given up, and heeds only where the new ones, which are given here, are not.
RENAMED = {
    "extra": "worker_extra_args",
    "env_extra": "job_script_prologue",
    "job_extra": "job_extra_directives",
    "header_skip": "job_directives_skip",
    "host": "scheduler_options.host",
}
#: Options of which a text would be taken letter by letter.
LISTS = (
    "worker_extra_args",
    "job_script_prologue",
    "job_extra_directives",
    "job_directives_skip",
    "submit_command_extra",
    "cancel_command_extra",
)
#: Options of the cluster's constructor that are not of its jobs.
OF_THE_CLUSTER = ("scheduler_options", "shared_temp_directory", "silence_logs", "name", "loop")


def section(config: ClusterConfig) -> str:
    """The part of Dask's configuration that has what no option says."""
    return f"jobqueue.{config.options.get('config_name', config.kind)}"


def wrong_options(config: ClusterConfig, job_class: type[Job], directives: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the options, a line each.

    Parameters
    ----------
    config : ClusterConfig
        Of a batch system.
    job_class : type
        What takes most of the options.
    directives : mapping
        Patterns of what `job_extra_directives` may not begin with, and the fields that say it.
    """
    known = _arguments(job_class)
    for name, value in config.options.items():
        where = f"cluster.options.{name}"
        if name in TAKEN and TAKEN[name].split()[0] in FIELDS[config.kind]:
            yield f"{where}: write cluster.{TAKEN[name]}, from which other things follow"
        elif name in RENAMED:
            yield f"{where}: write cluster.options.{RENAMED[name]}"
        elif name not in known:
            yield f"{where}: jobs of kind {config.kind} do not take it; take it out"
        elif name == "config_name" and not isinstance(dask.config.get(section(config), None), Mapping):
            yield f"{where}: found {value!r}, but Dask's configuration has no section {section(config)}; mend the name"
        elif (expected := _expected(name, config.kind)) and not _has_form(value, expected):
            yield f"{where}: found {value!r}, expected {expected}"
        elif name == "job_extra_directives":
            yield from _taken_directives(value, directives)


def _arguments(job_class: type[Job]) -> set[str]:
    found = set(OF_THE_CLUSTER)
    for base in job_class.__mro__[:-1]:
        if constructor := vars(base).get("__init__"):
            found.update(inspect.signature(constructor).parameters)
    return found - {"self", "scheduler", "arguments", "options", "base_class_kwargs"}


def _expected(name: str, kind: str) -> str | None:
    if name == "scheduler_options" or (name == "job_extra_directives" and kind == "htcondor"):
        return "a mapping"
    return "a list of lines" if name in LISTS else "a text" if name in ("log_directory", "python", "job_name") else None


def _has_form(value: Any, expected: str) -> bool:
    if expected == "a mapping":
        return isinstance(value, Mapping)
    if expected == "a text":
        return isinstance(value, str)
    return isinstance(value, list | tuple) and all(isinstance(line, str) for line in value)


def _taken_directives(given: Any, directives: Mapping[str, str]) -> Iterator[str]:
    for line in given:
        for pattern, field in directives.items():
            if re.match(pattern, line.strip()):
                yield (
                    f"cluster.options.job_extra_directives: found {line!r}; write cluster.{field}, from which other "
                    "things follow"
                )
