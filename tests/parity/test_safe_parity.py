"""Safe ranges of energy beside Gammapy 2.1: every method, on observations whose thresholds differ.

The peer finds them at the centre of its cut-out, in the nearest response cell, and the peak of the background in the
whole map; here it is made to take the pointing, or an offset from it (see `peer_common.safe_energies`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import parity_ours as ours
import pytest
from parity_fields import FIELDS, SAFE_ENERGY, SAFE_RANGES


@pytest.fixture(scope="module")
def expected(peer):
    """Which bins are safe, (range, energy)."""
    with np.load(peer("peer_safe.py") / "safe.npz") as archive:
        return archive["safe_energy"]


@pytest.mark.parametrize("number", range(len(SAFE_RANGES)), ids=[f"{o}-{m}-{p}" for o, m, p in SAFE_RANGES])
def test_safe_energies(number, expected, data):
    """The same bins."""
    obs_id, method, parameters = SAFE_RANGES[number]
    (field,) = [field for field in FIELDS.values() if obs_id in field.obs_ids]
    field = replace(field, binsize=0.1, energy=SAFE_ENERGY)
    prepared = ours.prepared(field, ours.read(data, obs_id), safe_methods=(method,), **parameters)
    np.testing.assert_array_equal(prepared.safe_energy, expected[number])
