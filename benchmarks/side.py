"""A side of the benchmarks: a process of its own on one core, asked for one task after the other."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Side:
    """One process that answers requests.

    Parameters
    ----------
    command : list of str
        Interpreter and script or module.
    core : int or None
        CPU that it is kept to; None leaves it free.
    environment : dict of str, optional
        Further variables.
    """

    def __init__(self, command: list[str], *, core: int | None, environment: dict[str, str] | None = None) -> None:
        variables = {**os.environ, **dict.fromkeys(THREADS, "1"), "MPLBACKEND": "agg", **(environment or {})}
        self._errors = tempfile.TemporaryFile(mode="w+")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=Path(__file__).parents[1],
            env=variables,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )

    def ask(self, task: str, **arguments: Any) -> dict[str, Any]:
        """Do a task; its answer has ``seconds`` and ``peak_memory`` (bytes)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"task": task, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self._errors.seek(0)
        raise RuntimeError(f"{task} failed in {self._process.args}:\n{self._errors.read()[-4000:]}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
