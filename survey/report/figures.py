"""Pictures of maps: PNG with a coordinate grid, a colour bar and units, by astropy's WCSAxes.

FITS images of the same maps are the work of ``survey.report.images``.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.visualization.wcsaxes import WCSAxes
from astropy.visualization.wcsaxes.frame import EllipticalFrame, RectangularFrame
from astropy.wcs import WCS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm, Colormap, ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from survey.report.panels import DPI, WIDTH, Panels, is_all_sky

AXIS_LABELS = {"RA": ("Right ascension", "Declination"), "GLON": ("Galactic longitude", "Galactic latitude")}


@dataclass(frozen=True)
class Style:
    """How a kind of map is drawn.

    Parameters
    ----------
    cmap : str
        Name of a matplotlib colour map.
    scale : str
        ``linear``, ``asinh`` (large dynamic range) or ``significance`` (diverging about zero: as much colour a standard
        deviation below it as above, up to 5; darker from there to 15).
    label : str
        Beside the colour bar of a map without unit.
    """

    cmap: str = "viridis"
    scale: str = "linear"
    label: str = ""


STYLES = {
    "counts": Style("inferno", "asinh", "counts"),
    "background": Style("inferno", "asinh", "counts"),
    "exposure": Style("viridis", "linear"),
    "excess": Style("inferno", "linear", "counts"),
    "flux": Style("inferno", "linear"),
    "sqrt_ts": Style("significance", "significance", "standard deviations"),
    "significance": Style("significance", "significance", "standard deviations"),
    "ts": Style("inferno", "asinh"),
}

SIGNIFICANCE_COLOURS = {
    -5.0: "#2166ac",
    -2.5: "#92c5de",
    0.0: "#f7f7f7",
    2.5: "#f4a582",
    5.0: "#b2182b",
    10.0: "#67001f",
    15.0: "#1a0008",
}
"""Standard deviations and their colours; between them they are mixed."""

COMPRESSION_LEVEL = 3
"""Of PNG; higher ones save a twentieth of the space for a quarter of the time of a picture."""

NOTEBOOK_DPI = 70
"""Dots per inch of a picture in a notebook, whose column is about 700 pixels wide."""


LEFT, RIGHT, BOTTOM, TOP, BETWEEN = 0.95, 1.25, 0.65, 0.5, 0.45
"""Inches around the panels of a map, for its labels and its colour bar, and between two panels."""
TALLEST, NARROWEST = 8.0, 6.0
"""Inches: of a panel at most, of a picture at least."""
BAR, BESIDE, BESIDE_SKY = 0.18, 0.2, 0.4
"""Inches: width of the colour bar, and its distance from the panels or from the labels of all the sky."""


class Picture(Figure):
    """A figure with its Agg canvas attached, which notebooks show; nothing global is touched.

    Everything in it has its place in inches: to let matplotlib find places takes longer than to draw.
    """

    def __init__(self, width: float, height: float, dpi: int) -> None:
        super().__init__(figsize=(width, height), dpi=dpi)
        FigureCanvasAgg(self)

    def place(self, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A rectangle in inches as matplotlib takes it, in parts of the figure."""
        across, up = self.get_size_inches()
        return left / across, bottom / up, width / across, height / up

    def _repr_png_(self) -> bytes:
        return to_png(self, dpi=NOTEBOOK_DPI)


def _colours(style: Style, norm: Normalize) -> str | Colormap:
    """Colour map of a style; that of significance has its colours at fixed values, whatever range is shown."""
    if style.scale != "significance":
        return style.cmap
    shown = np.linspace(norm.vmin or 0.0, norm.vmax or 0.0, 512)
    colours = np.array([to_rgb(colour) for colour in SIGNIFICANCE_COLOURS.values()]).T
    return ListedColormap(
        np.stack([np.interp(shown, list(SIGNIFICANCE_COLOURS), channel) for channel in colours], axis=1)
    )


def _norm(values: NDArray[Any], scale: str) -> Normalize:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if high <= low:
        high = low + 1.0
    if scale == "significance":
        return Normalize(-5.0, float(np.clip(high, 5.0, 15.0)), clip=False)
    if scale == "asinh" and high > 0:
        positive = finite[finite > 0]
        width = float(np.median(positive)) if positive.size else 1.0
        return AsinhNorm(linear_width=max(width, 1e-3 * high), vmin=min(low, 0.0), vmax=high)
    percentiles = np.percentile(finite, [0.5, 99.9], overwrite_input=True) if finite.size else (low, high)
    low, high = float(percentiles[0]), float(percentiles[1])
    return Normalize(low, high if high > low else low + 1.0)


def _frame_the_sky(axes: WCSAxes, wcs: WCS) -> None:
    """Let the frame's ellipse be the edge of the sky, which is smaller than the image: AIT and MOL have the same one."""
    half = np.degrees(2.0 * np.sqrt(2.0)) / np.abs(np.asarray(wcs.wcs.cdelt)) * (1.0, 0.5)
    center = np.asarray(wcs.wcs.crpix) - 1.0
    axes.set_xlim(center[0] - half[0], center[0] + half[0])
    axes.set_ylim(center[1] - half[1], center[1] + half[1])
    # The frame has no edge that longitudes cross, so they are written along the equator.
    for longitude in (60, 120, 180, 240, 300):
        x, y = wcs.wcs_world2pix(longitude, 0.0, 0)
        if np.isfinite([x, y]).all() and abs(x - center[0]) < 0.97 * half[0]:
            axes.text(float(x) + 2, float(y) + 2, f"{longitude}°", color="0.6", fontsize=8)


def draw_map(
    values: NDArray[Any],
    wcs: WCS,
    *,
    name: str,
    title: str,
    unit: str,
    regions: tuple = (),
    dpi: int = DPI,
    panels: Panels | None = None,
) -> Figure:
    """Draw a sky map.

    Parameters
    ----------
    values : numpy.ndarray
        Image (y, x), or what `panels` takes of it; pixels without data are NaN and stay white.
    wcs : astropy.wcs.WCS
        Of the whole image.
    name : str
        Kind of map, which chooses the colours: a key of `STYLES`, or the part of it before a dot.
    title, unit : str
        Above the picture and beside the colour bar.
    regions : tuple of regions.SkyRegion
        Drawn as outlines, for instance the exclusion regions.
    dpi : int
        Dots per inch.
    panels : Panels, optional
        Of the image for these dots per inch, where only the pixels that are drawn are at hand.

    Returns
    -------
    matplotlib.figure.Figure
        A `Picture`.
    """
    if panels is None:
        panels = Panels.of(values.shape, wcs, dpi=dpi)
        values = panels.sample(values)
    style = STYLES.get(name, Style())
    norm = _norm(values, style.scale)
    strips, step, rows = panels.strips, panels.step, panels.shape[0]
    ratio = 0.5 if is_all_sky(wcs) else rows / panels.widest
    height = min(ratio * (WIDTH - LEFT - RIGHT), TALLEST)
    width = height / ratio
    aside = max(0.0, NARROWEST - LEFT - width - RIGHT) / 2
    tall = len(strips) * (height + BETWEEN) - BETWEEN
    figure = Picture(LEFT + width + RIGHT + 2 * aside, BOTTOM + tall + TOP, dpi)
    drawn = []
    for number, columns in enumerate(strips):
        place = wcs.deepcopy()
        place.wcs.crpix = np.asarray(place.wcs.crpix) - [columns.start, 0]
        frame = EllipticalFrame if is_all_sky(wcs) else RectangularFrame
        bottom = BOTTOM + (len(strips) - 1 - number) * (height + BETWEEN)
        where = figure.place(LEFT + aside, bottom, width, height)
        axes = figure.add_axes(where, projection=place, frame_class=frame)
        shown = values[:, panels.drawn(columns)]
        image = axes.imshow(
            shown,
            origin="lower",
            extent=(-0.5, step * shown.shape[1] - 0.5, -0.5, step * shown.shape[0] - 0.5),
            cmap=_colours(style, norm),
            norm=norm,
            interpolation="nearest",
            rasterized=True,
        )
        # strips have one scale: the last one may be shorter
        axes.set_xlim(-0.5, panels.widest - 0.5)
        axes.set_ylim(-0.5, rows - 0.5)
        _label(axes, place, last=number == len(strips) - 1)
        for region in regions:
            try:
                region.to_pixel(place).plot(ax=axes, facecolor="none", edgecolor="0.3", linewidth=1.0, linestyle="--")
            except (ValueError, AttributeError, NotImplementedError):
                continue  # a region that the projection cannot show is left out of the picture, never out of the analysis
        drawn.append(axes)
    beside = BESIDE_SKY if is_all_sky(wcs) else BESIDE
    where = figure.place(LEFT + aside + width + beside, BOTTOM, BAR, tall)
    colour_bar = figure.colorbar(image, cax=figure.add_axes(where))
    colour_bar.set_label(unit or style.label)
    if isinstance(norm, AsinhNorm):
        ticks = _round_ticks(norm)
        colour_bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        colour_bar.minorticks_off()
    drawn[0].set_title(title[:1].upper() + title[1:], fontsize=11, pad=10)
    return figure


def _round_ticks(norm: AsinhNorm, number: int = 6) -> list[float]:
    """Values with one digit, spread over a scale that is linear near zero and logarithmic beyond."""
    places = np.asarray(norm.inverse(np.linspace(0.0, 1.0, number)), dtype=float)
    found: dict[float, float] = {}
    for value in places:
        tick = float(f"{value:.1g}")
        found[tick] = float(norm(tick))
    ticks = [tick for tick, place in found.items() if -1e-9 <= place <= 1 + 1e-9]
    kept: list[float] = []
    for tick in sorted(ticks):
        if not kept or found[tick] - found[kept[-1]] > 0.6 / number:
            kept.append(tick)
    return kept


def _label(axes: WCSAxes, wcs: WCS, *, last: bool) -> None:
    """Coordinate grid, ticks and names of the axes; the longitude's name below the last panel alone."""
    # White lines are lost on white ground, black ones on black: grey is seen on every colour map used here.
    axes.coords.grid(color="0.55", linestyle=":", linewidth=0.7)
    galactic = wcs.wcs.ctype[0].startswith("GLON")
    longitude, latitude = AXIS_LABELS["GLON" if galactic else "RA"]
    lon, lat = axes.coords[0], axes.coords[1]
    lat.set_axislabel(latitude)
    if is_all_sky(wcs):
        _frame_the_sky(axes, wcs)
        lon.set_ticks(spacing=60 * u.deg)
        lon.set_ticks_visible(False)
        lon.set_ticklabel_visible(False)
        return
    lon.set_axislabel(longitude if last else " ")
    if galactic:
        lon.set_format_unit("deg", decimal=True)
        lat.set_format_unit("deg", decimal=True)


def to_png(figure: Figure, *, dpi: int | None = None) -> bytes:
    """PNG bytes of a figure, without the time of writing; at its own dots per inch unless `dpi` says otherwise."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi="figure" if dpi is None else dpi,
        metadata={"Software": "gammasurvey"},
        pil_kwargs={"compress_level": COMPRESSION_LEVEL},
    )
    return buffer.getvalue()


def draw_significance_histogram(
    centers: NDArray[np.float64],
    counts: NDArray[np.int64],
    *,
    mean: float,
    width: float,
    counts_all: NDArray[np.int64] | None = None,
    title: str = "",
    dpi: int = DPI,
) -> Figure:
    """Draw the distribution of significance outside the exclusion regions with the fitted normal distribution.

    Parameters
    ----------
    centers : numpy.ndarray
        Bin centres in standard deviations, equally spaced.
    counts : numpy.ndarray
        Pixels per bin outside the exclusion regions.
    mean, width : float
        Of the fitted normal distribution.
    counts_all : numpy.ndarray or None
        Pixels per bin of the whole map, for comparison.
    """
    figure = Picture(7.0, 5.0, dpi)
    axes = figure.add_axes(figure.place(0.8, 0.6, 5.95, 3.95))
    if counts_all is not None:
        axes.step(centers, counts_all, where="mid", color="0.6", label="all pixels")
    axes.step(centers, counts, where="mid", color="C0", label="outside exclusion regions")
    step = centers[1] - centers[0]
    for mu, sigma, line, label in (
        (mean, width, "-", f"fit: mean {mean:.3f}, width {width:.3f}"),
        (0.0, 1.0, ":", "no source: mean 0, width 1"),
    ):
        curve = counts.sum() * step / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((centers - mu) / sigma) ** 2)
        axes.plot(centers, curve, color="C1", linestyle=line, label=label)
    # A map without data has no pixel that a logarithmic axis could show.
    some = counts.any() or (counts_all is not None and counts_all.any())
    axes.set_yscale("log" if some else "linear")
    axes.set_ylim(bottom=0.5)
    axes.set_xlabel("significance [standard deviations]")
    axes.set_ylabel("pixels")
    axes.set_title(title, fontsize=11)
    axes.legend(frameon=False)
    return figure
