"""Jobs whose worker is started by a line of a shell: dask-jobqueue joins its words as they are, this quotes them."""

from __future__ import annotations

import copy
import re
import shlex
import sys
from typing import Any

import dask
from dask_jobqueue.core import Job
from distributed.security import Security

_PLAIN = re.compile(r"[\w@%+=:,./-]*", re.ASCII)
_HOME = re.compile(r"~[\w.-]*(?:/|$)")


def in_shell(path: str) -> str:
    """A path as a word of a shell, in which variables, and the home folder at its start, are still those of the shell."""
    home = _HOME.match(path)
    start = home.end() if home else 0
    rest = path[start:]
    if not _PLAIN.fullmatch(rest):
        rest = '"' + re.sub(r'([\\"`])', r"\\\1", rest) + '"'
    return path[:start] + rest


def _with_quoted_files(security: Security) -> Security:
    quoted = copy.copy(security)
    for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key"):
        if (path := getattr(security, name)) is not None:
            setattr(quoted, name, in_shell(path))
    return quoted


class ShellJob(Job):
    """Comes after the job of a batch system among the bases of a class. Makes no folder, unlike its own base."""

    def __init__(self, *arguments: Any, config_name: str | None = None, **options: Any) -> None:
        section = f"jobqueue.{config_name or self.default_config_name()}"

        def given(name: str) -> Any:
            value = options.get(name)
            return dask.config.get(f"{section}.{name.replace('_', '-')}", None) if value is None else value

        folder, scratch = given("log_directory"), given("local_directory")
        if scratch is not None:
            options["local_directory"] = in_shell(str(scratch))
        if given("python") is None:  # one that is given may be several words, such as a container's command
            options["python"] = shlex.quote(sys.executable)
        if options.get("security"):
            options["security"] = _with_quoted_files(options["security"])
        with dask.config.set({f"{section}.log-directory": None}):
            super().__init__(*arguments, **{**options, "config_name": config_name, "log_directory": None})
        self.log_directory = folder
