"""A small valid data store, written with the product's own writer, of which a test spoils one thing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spoiled_store import SpoiledStore

from survey.events.gadf_writer import write_store
from survey.events.synthetic import make_observation
from survey.events.synthetic_response import SyntheticInstrument


@pytest.fixture
def make_spoiled(tmp_path: Path) -> Callable[..., SpoiledStore]:
    """Makes a store of `n` observations of 300 events; other arguments are those of instrument and observation."""

    def make(
        n: int = 1, *, name: str = "small", instrument: dict[str, Any] | None = None, **given: Any
    ) -> SpoiledStore:
        described = SyntheticInstrument(n_energy=12, n_offset=4, **(instrument or {}))
        options = {"with_md5": True} if given.pop("with_md5", False) else {}
        given = {"n_events": 300, **given}
        observations = [
            make_observation(i, 83.6, -22.0 + 0.1 * i, instrument=described, **given) for i in range(1, n + 1)
        ]
        return SpoiledStore(write_store(tmp_path / name, observations, **options))

    return make


@pytest.fixture
def spoiled(make_spoiled: Callable[..., SpoiledStore]) -> SpoiledStore:
    """A store of one observation."""
    return make_spoiled()
