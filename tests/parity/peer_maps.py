"""Stacks the MSH 15-52 field with the peer, makes its TS and excess maps, and dumps inputs and results.

The maps are compared on equal inputs: the peer's stacked counts, background, exposure and responses are dumped in the
layout of our cubes, so that our estimators can be run on them. TS maps: ``sum_over_energy_groups=False`` (a joint fit
of all energy bins) and ``rtol=1e-4``, so that differences are not those of the peer's default stopping criterion, 1e-2.
"""

from __future__ import annotations

import astropy.units as u
import numpy as np
from gammapy.estimators import ExcessMapEstimator, TSMapEstimator
from gammapy.makers import FoVBackgroundMaker, MapDatasetMaker
from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel
from parity_fields import EXCESS_RADIUS, KERNEL_WIDTH, MSH
from peer_common import data_store, empty_dataset, exclusion_mask, output_folder, reduce_to

TS_NAMES = ("ts", "sqrt_ts", "norm", "norm_err", "niter", "stat", "stat_null", "npred_excess")
TS_OPTIONAL = (*TS_NAMES, "norm_errn", "norm_errp", "norm_ul")
EXCESS_NAMES = ("counts", "npred", "npred_excess", "ts", "sqrt_ts", "norm", "norm_err")
EXCESS_OPTIONAL = (*EXCESS_NAMES, "norm_errn", "norm_errp", "norm_ul")


def stack():
    """The stacked dataset of the field, default accuracy: the maps take its background as given."""
    store = data_store()
    stacked = empty_dataset(MSH)
    maker = MapDatasetMaker()
    scale = FoVBackgroundMaker(method="scale", exclusion_mask=exclusion_mask(MSH))
    for obs_id in MSH.obs_ids:
        observation = store.obs(obs_id)
        dataset = scale.run(reduce_to(MSH, stacked, observation, maker), observation)
        stacked.stack(dataset)
    return stacked


def estimator(**options) -> TSMapEstimator:
    """The peer's TS map with our settings."""
    model = SkyModel(spectral_model=PowerLawSpectralModel(index=2.0), spatial_model=PointSpatialModel())
    low, high = MSH.energy[:2]
    return TSMapEstimator(
        kernel_model=model,
        kernel_width=KERNEL_WIDTH * u.deg,
        energy_edges=[low, high] * u.TeV,
        sum_over_energy_groups=False,
        **options,
    )


def quantities(result, names) -> dict[str, np.ndarray]:
    """Images of a FluxMaps, whose norms refer to the reference model's flux."""
    return {name: np.squeeze(getattr(result, name).data) for name in names}


def main() -> None:
    """Dump inputs, TS maps, excess maps."""
    folder = output_folder()
    dataset = stack()
    dataset.write(folder / "stacked.fits", overwrite=True)
    psf, edisp = dataset.psf, dataset.edisp
    np.savez(
        folder / "inputs.npz",
        counts=dataset.counts.data,
        background=dataset.npred_background().data,
        exposure=dataset.exposure.quantity.to_value("m2 s"),
        safe=dataset.mask_safe.data,
        psf=psf.psf_map.quantity.to_value("sr-1"),
        psf_exposure=psf.exposure_map.quantity.to_value("m2 s"),
        edisp=edisp.edisp_map.data,
        edisp_exposure=edisp.exposure_map.quantity.to_value("m2 s"),
        energy_edges=dataset.counts.geom.axes["energy"].edges.to_value("TeV"),
        energy_true_edges=dataset.exposure.geom.axes["energy_true"].edges.to_value("TeV"),
        rad_edges=psf.psf_map.geom.axes["rad"].edges.to_value("deg"),
        solid_angle=dataset.counts.geom.to_image().solid_angle().to_value("sr"),
    )

    ts = estimator(rtol=1e-4, selection_optional=[])
    maps = ts.estimate_fit_input_maps(dataset)
    np.savez(
        folder / "ts.npz",
        fit_counts=maps["counts"].data,
        fit_background=maps["background"].data,
        # Counts of the reference model in every bin at p: the peer's exposure in reconstructed energy.
        fit_exposure=maps["exposure"].quantity.to_value(""),
        kernel=maps["kernel"].data,
        mask=maps["mask"].data,
        **quantities(ts.run(dataset), TS_NAMES),
    )
    small = dataset.cutout(dataset.counts.geom.center_skydir, width=1.2 * u.deg, name="small")
    ts = estimator(rtol=1e-5, selection_optional=["errn-errp", "ul"])
    maps = ts.estimate_fit_input_maps(small)
    np.savez(
        folder / "ts_optional.npz",
        fit_counts=maps["counts"].data,
        fit_background=maps["background"].data,
        fit_exposure=maps["exposure"].quantity.to_value(""),
        kernel=maps["kernel"].data,
        mask=maps["mask"].data,
        **quantities(ts.run(small), TS_OPTIONAL),
    )

    excess = ExcessMapEstimator(
        correlation_radius=EXCESS_RADIUS * u.deg,
        selection_optional=["errn-errp", "ul"],
        spectral_model=PowerLawSpectralModel(index=2.0),
        sum_over_energy_groups=True,
    )
    np.savez(folder / "excess.npz", **quantities(excess.run(dataset), EXCESS_OPTIONAL))


if __name__ == "__main__":
    main()
