"""Garbage is not looked for while large packages are imported, and is afterwards, whatever happened."""

import gc

import pytest

from cluster.imports import without_collections


def import_nothing():
    with without_collections():
        assert not gc.isenabled()
        raise ImportError


def test_collections_are_off_within_and_on_afterwards():
    assert gc.isenabled()
    with pytest.raises(ImportError):
        import_nothing()
    assert gc.isenabled()


def test_a_process_without_collections_stays_so():
    gc.disable()
    try:
        with without_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
