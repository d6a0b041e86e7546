"""Reduces every observation of the fields with the peer and dumps what each gives, one file an observation.

The background is integrated with ``background_oversampling=10``: the peer's default takes the two edges of a bin only.
Thresholds are found at the pointing, not at the centre of a cut-out that the grid clips.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import astropy.units as u
import numpy as np
from gammapy.makers import FoVBackgroundMaker, MapDatasetMaker
from gammapy.modeling.models import PowerLawNormSpectralModel
from parity_fields import FIELDS, Field
from peer_common import axes, data_store, empty_dataset, exclusion_mask, output_folder, reduce_to

RESPONSE_STRIDE = 2


def corner(geom, whole) -> tuple[int, int]:
    """First row and column of a cut-out on the field's grid."""
    rows, columns = geom.cutout_slices(whole)["parent-slices"]
    return rows.start, columns.start


def norms(dataset, excluded) -> dict[str, float]:
    """Norms by scaling, by a fit, and by a fit with tilt."""
    found = {}
    for name, tilt in (("scale", False), ("fit", False), ("tilt", True)):
        copy = dataset.copy(name=dataset.name)
        copy.models = None
        spectral = PowerLawNormSpectralModel()
        spectral.tilt.frozen = not tilt
        method = "scale" if name == "scale" else "fit"
        maker = FoVBackgroundMaker(method=method, exclusion_mask=excluded, spectral_model=spectral)
        model = maker.run(copy).background_model.spectral_model
        found[f"norm_{name}"] = model.norm.value
        found[f"norm_{name}_error"] = model.norm.error
        if tilt:
            found["tilt"] = model.tilt.value
            found["tilt_error"] = model.tilt.error
            found["tilt_reference"] = model.reference.quantity.to_value("TeV")
    return found


def response_cells(field: Field, whole, maker, observation, pointing) -> dict[str, np.ndarray]:
    """PSF and dispersion at the centres of every second response cell within the field of view."""
    geom = whole.psf.psf_map.geom
    psf = maker.make_psf(geom, observation)
    edisp = maker.make_edisp_kernel(whole.edisp.edisp_map.geom, observation)
    separation = geom.to_image().separation(pointing).to_value("deg")
    inside = np.zeros(separation.shape, dtype=bool)
    inside[::RESPONSE_STRIDE, ::RESPONSE_STRIDE] = True
    inside &= separation < field.offset_max
    radii = [
        psf.containment_radius_map(energy_true=energy, fraction=0.68).quantity.to_value("deg")[inside]
        for energy in axes(field)[1].center
    ]
    return {
        "cells": np.array(np.nonzero(inside)),
        "cell_offset": separation[inside],
        "psf": psf.psf_map.quantity.to_value("sr-1")[:, :, inside].astype(np.float32),
        "psf_r68": np.array(radii),
        "rad_edges": geom.axes["rad"].edges.to_value("deg"),
        "edisp": edisp.edisp_map.data[:, :, inside].astype(np.float32),
    }


def reduce_observation(field: Field, observation, target: Path, *, fov_rotation_step=1 * u.deg) -> None:
    """Reduce one observation on its part of the field's grid and dump it."""
    if target.exists():
        return
    whole = empty_dataset(field)
    excluded = exclusion_mask(field)
    maker = MapDatasetMaker(
        selection=["counts", "exposure", "background"],
        background_oversampling=10,
        fov_rotation_step=fov_rotation_step,
    )
    responses = MapDatasetMaker(selection=["psf", "edisp"])
    pointing = observation.get_pointing_icrs(observation.tmid)
    dataset = reduce_to(field, whole, observation, maker)
    index = np.nonzero(dataset.counts.data)
    mask = dataset.mask_safe.data
    background = dataset.background.data
    dump = {
        "corner": corner(dataset.counts.geom, whole.counts.geom),
        "shape": dataset.counts.data.shape,
        "counts_index": np.array(index, dtype=np.int32),
        "counts": dataset.counts.data[index].astype(np.int32),
        "exposure": dataset.exposure.quantity.to_value("m2 s").astype(np.float32),
        "background": background.astype(np.float32),
        "background_sum": np.where(mask, background, 0).sum(axis=(1, 2)),
        "safe": np.packbits(mask),
        "safe_energy": mask.any(axis=(1, 2)),
        "livetime": observation.observation_live_time_duration.to_value("s"),
        "ontime": observation.observation_time_duration.to_value("s"),
        "pointing": (pointing.ra.deg, pointing.dec.deg),
        "energy_edges": dataset.counts.geom.axes["energy"].edges.to_value("TeV"),
        "energy_true_edges": axes(field)[1].edges.to_value("TeV"),
        **norms(dataset, excluded),
        **response_cells(field, whole, responses, observation, pointing),
    }
    part = target.with_suffix(".part.npz")
    np.savez(part, **dump)
    part.rename(target)


def reduce_by_id(name: str, obs_id: int, folder: Path) -> None:
    """Reduce one observation of the data store."""
    reduce_observation(FIELDS[name], data_store().obs(obs_id), folder / f"{name}-{obs_id}.npz")


def main() -> None:
    """Dump all fields."""
    folder = output_folder()
    jobs = [(field.name, obs_id, folder) for field in FIELDS.values() for obs_id in field.obs_ids]
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(reduce_by_id, *job) for job in jobs]:
            future.result()


if __name__ == "__main__":
    main()
