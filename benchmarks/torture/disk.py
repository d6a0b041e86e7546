"""A disk that is too small."""

from __future__ import annotations

import subprocess
from pathlib import Path

ENLARGED = 1 << 30


class CannotMount(Exception):
    """File systems may not be mounted here: only root may, and not in every container."""


class Disk:
    """A small file system in memory, mounted on a folder while it is entered.

    Parameters
    ----------
    folder : Path
        An empty folder.
    size : int
        Bytes.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def _mount(self, size: int, *options: str) -> None:
        arguments = ["-t", "tmpfs", "-o", ",".join((*options, f"size={size}")), "tmpfs", str(self.folder)]
        try:
            subprocess.run(["mount", *arguments], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotMount(str(error)) from error

    def enlarge(self) -> None:
        """Make room."""
        self._mount(ENLARGED, "remount")

    def __enter__(self) -> Disk:
        self._mount(self.size)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
