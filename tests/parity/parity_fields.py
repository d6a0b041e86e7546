"""The fields that the peer and we reduce, as plain values: imported on both sides.

Nothing here imports more than the standard library, so that both sides see the same numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

PEER = "Gammapy 2.1"


@dataclass(frozen=True)
class Field:
    """One field and how it is reduced.

    Parameters
    ----------
    name : str
        Name of the dump.
    obs_ids : tuple of int
        Observations, in the order in which they are reduced.
    frame : str
        ``icrs`` or ``galactic``.
    lon, lat, width, binsize, binsize_irf : float
        Grid, deg; CAR.
    energy, energy_true : tuple of float, float, int
        Lowest and highest edge in TeV and number of bins, log spaced.
    exclusion : tuple of tuple
        Circles ``(frame, lon, lat, radius)`` in deg that take no part in the background fit.
    offset_max : float
        Of the safe mask's ``offset-max``, deg.
    safe_methods : tuple of str
        Methods of the safe mask.
    aeff_percent, bias_percent : float
        Their parameters.
    """

    name: str
    obs_ids: tuple[int, ...]
    frame: str
    lon: float
    lat: float
    width: float
    binsize: float
    exclusion: tuple[tuple[str, float, float, float], ...]
    binsize_irf: float = 0.2
    energy: tuple[float, float, int] = (0.3, 100.0, 24)
    energy_true: tuple[float, float, int] = (0.1, 150.0, 30)
    offset_max: float = 2.5
    safe_methods: tuple[str, ...] = ("offset-max", "aeff-max")
    aeff_percent: float = 10.0
    bias_percent: float = 10.0

    def as_dict(self) -> dict:
        """Plain values, for hashing."""
        return asdict(self)


MSH = Field(
    name="msh1552",
    obs_ids=(
        20136, 20137, 20151, 20282, 20283, 20301, 20302, 20303, 20322, 20323, 20324,
        20325, 20343, 20344, 20345, 20346, 20365, 20366, 20367, 20368,
    ),
    frame="galactic",
    lon=320.33,
    lat=-1.19,
    width=8.0,
    binsize=0.02,
    exclusion=(("galactic", 320.33, -1.19, 0.4),),
    aeff_percent=30.0,
)  # fmt: skip
CRAB = Field(
    name="crab",
    obs_ids=(23523, 23526, 23559, 23592),
    frame="icrs",
    lon=83.633,
    lat=22.014,
    width=9.0,
    binsize=0.02,
    exclusion=(("icrs", 83.633, 22.014, 0.4),),
    safe_methods=("offset-max", "edisp-bias"),
)
PKS = Field(
    name="pks2155",
    obs_ids=(33787, 33791, 33794, 47802),
    frame="icrs",
    lon=329.717,
    lat=-30.226,
    width=7.0,
    binsize=0.02,
    exclusion=(("icrs", 329.717, -30.226, 0.4),),
    safe_methods=("offset-max", "aeff-max"),
    aeff_percent=20.0,
)
FIELDS = {field.name: field for field in (MSH, CRAB, PKS)}

# The upper edge is none of the files' thresholds (100 TeV): the peer would lose the last bin to round-off.
SAFE_ENERGY = (0.3, 110.0, 24)
# The safe range of every method: (observation, method, parameters of the peer's SafeMaskMaker).
SAFE_RANGES = (
    (20136, "aeff-default", {}),
    (20136, "aeff-max", {"aeff_percent": 10}),
    (20136, "aeff-max", {"aeff_percent": 30}),
    (20136, "edisp-bias", {"bias_percent": 10}),
    (20136, "bkg-peak", {}),
    (23523, "aeff-default", {}),
    (23523, "aeff-max", {"aeff_percent": 10}),
    (23523, "aeff-max", {"aeff_percent": 10, "fixed_offset": 1.2}),
    (23523, "edisp-bias", {"bias_percent": 10}),
    (23523, "edisp-bias", {"bias_percent": 10, "fixed_offset": 1.7}),
    (23523, "edisp-bias", {"bias_percent": 5}),
    (23523, "bkg-peak", {}),
    (33787, "aeff-max", {"aeff_percent": 10}),
    (33787, "edisp-bias", {"bias_percent": 10}),
    (33794, "edisp-bias", {"bias_percent": 10}),
    (47802, "bkg-peak", {}),
)

# Slopes of the plane that makes a background lopsided, per deg along DETX and DETY.
LOPSIDED = (0.15, 0.08)
PROD5_FILE = "Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz"
_VARIANT = replace(CRAB, obs_ids=(23523,), binsize=0.1, binsize_irf=0.2, safe_methods=("offset-max",))
VARIANTS = {
    name: replace(_VARIANT, name=name)
    for name in ("background_radec", "background_altaz", "background_reversed", "background_2d", "king")
}
VARIANTS["prod5"] = replace(_VARIANT, name="prod5", energy=(0.02, 100.0, 24), energy_true=(0.015, 150.0, 30))

KERNEL_WIDTH = 0.5
EXCESS_RADIUS = 0.1

# Places of the test sources of the stacking criterion: (longitude, latitude) from the field's centre, deg on the sky.
SOURCE_OFFSETS = (
    (0.0, 0.0), (0.51, 0.33), (-0.87, 0.12), (1.21, -0.44), (0.05, 1.37), (-1.61, -0.9), (0.3, -2.05), (2.3, 0.4),
)  # fmt: skip

# The source whose counts are predicted from exported cubes.
PREDICTION_INDEX = 2.3
PREDICTION_AMPLITUDE = 1e-11
GAUSSIAN_SIGMA = 0.15

# Fields, observations and pixels (y, x) of the Asimov sources: near the centre, and 1.5 deg off.
ASIMOV = {
    "msh1552": (MSH.obs_ids[:5], ((200, 200), (250, 256))),
    "crab": (CRAB.obs_ids, ((225, 225), (275, 281))),
}
ASIMOV_HALF = 40
