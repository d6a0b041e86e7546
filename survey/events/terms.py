"""Terms of use: what the owners of data ask to be said goes with every copy and every product of them.

An archive keeps them in its attribute ``terms``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from survey.store import urls

FILES = ("ATTRIBUTION.txt", "README.txt", "LICENCE.rst", "LICENSE", "README.md", "README.rst")
"""Files that hold terms, the best first."""


def terms_of_use(stores: Iterable[str]) -> str:
    """The text beside data stores, or a line that says that there is none.

    Parameters
    ----------
    stores : iterable of str
        Folders, archives, index files or event files; terms of a file are looked for in its folder.

    Returns
    -------
    str
        Of several stores, every different text once.
    """
    return "\n".join(dict.fromkeys(_terms(store.rstrip("/")) for store in stores))


def _terms(store: str) -> str:
    is_file = store.endswith((".fits", ".fits.gz", ".fit", ".fit.gz"))
    folder = urls.parent(store) if is_file else store
    if urls.exists(f"{folder}/zarr.json"):
        kept = json.loads(urls.read_bytes(f"{folder}/zarr.json")).get("attributes", {}).get("terms")
        if kept:
            return str(kept)
    for name in FILES:
        if urls.exists(f"{folder}/{name}"):
            return urls.read_bytes(f"{folder}/{name}").decode("utf-8", errors="replace")
    return f"No terms of use were found beside {store.rsplit('/', 1)[-1]}: ask the owners of the data.\n"
