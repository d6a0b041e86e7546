"""The folder that a run or a simulation writes to: whose files are there, and whether it can be written to."""

from __future__ import annotations

import os
from collections.abc import Collection

from survey.refusal import Refusal
from survey.store import urls


def foreign_files(url: str, own: Collection[str]) -> list[str]:
    """Names in a folder that are not `own`, nor what an interrupted write of those left behind; sorted."""
    return sorted(name for name in set(urls.listdir(url)).difference(own) if not urls.is_leftover(name, own))


def check_writable(url: str, subject: str) -> None:
    """Make the folder, and refuse one that cannot be made or written to; object stores answer for themselves.

    Parameters
    ----------
    url : str
        Folder on this machine, or a URL.
    subject : str
        What the refusal begins with: the key of the configuration, or the path.

    Raises
    ------
    Refusal
    """
    if not urls.is_local(url):
        return
    folder = urls.local_path(url)
    for part in (folder, *folder.parents):
        if part.is_symlink() and not os.path.exists(part):
            raise Refusal(
                f"{subject}: {part} is a link to {os.readlink(part)}, where nothing is; mend the link, or make that folder"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"no permission to write to {folder}")
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(
            f"{subject}: cannot write to {folder} ({reason}); choose another folder, or mend its permissions"
        ) from None
