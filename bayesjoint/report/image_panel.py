"""One image in a panel: its own pixels under an asinh stretch, with name, scale bar, compass and colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, Colormap, Normalize
from matplotlib.patheffects import withStroke
from scipy import ndimage

from bayesjoint.data.image import Image
from bayesjoint.data.measure import sky_of
from bayesjoint.report.style import MASKED_COLOUR

RESIDUAL_RANGE = 5.0  # sigma
LIGHT_COLOURS, CHART_COLOURS, RESIDUAL_COLOURS = "magma", "Greys", "RdBu_r"
_ROUND_LENGTHS = np.array([1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600])
_PAPER = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
_NO_COMPASS = 0.9  # inches: narrower panels have room for a name and a scale bar only

# where name, scale bar and compass are: left, bottom, right, top in fractions of the panel
WRITTEN = (0.0, 0.9, 0.35, 1.0), (0.04, 0.04, 0.4, 0.16), (0.64, 0.04, 1.0, 0.36)


def stretch_of(image: Image, model: np.ndarray | None = None) -> tuple[AsinhNorm, float]:
    """A stretch that shows faint wings and bright cores, and the background (nJy per pixel) to draw pixels above.

    Linear within two sigma of the noise, logarithmic above, up to the brightest of the model and of what is no single pixel.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from bayesjoint.data.analytic_psf import gaussian_psf
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    >>> wcs.wcs.crpix, wcs.wcs.cdelt = [16.5, 16.5], [-0.2 / 3600, 0.2 / 3600]
    >>> pixels = np.full((32, 32), 7.0)
    >>> pixels[10:14, 10:14] += 500.0
    >>> image = Image(pixels, wcs=wcs, zeropoint=31.4, psf=gaussian_psf(0.8), invvar=np.ones((32, 32)))
    >>> norm, background = stretch_of(image)
    >>> print(f"{background:.0f} {norm.vmin:.1f} {norm.vmax:.0f}")
    7 -2.5 500
    """
    used = np.asarray(image.invvar) > 0
    sigma = float(1 / np.sqrt(np.median(image.invvar[used])))
    background = sky_of(image).level if model is None else float(np.quantile(model[used], 0.05))
    seen = ndimage.median_filter(np.where(used, image.data - background, 0.0), 3)
    peaks = [5 * sigma, np.max(seen), np.quantile(image.data[used] - background, 0.999)]
    peaks += [] if model is None else [np.max(model[used]) - background]
    peak = float(max(peaks))
    return AsinhNorm(linear_width=2 * sigma, vmin=-2.5 * sigma, vmax=peak), background


def colours_of(name: str) -> Colormap:
    """A colour map in which pixels without weight are grey."""
    return colormaps[name].with_extremes(bad=MASKED_COLOUR)


def draw_pixels(
    ax: Axes,
    image: Image,
    pixels: np.ndarray,
    norm: Normalize,
    colours: str = LIGHT_COLOURS,
    masked: bool = True,
    size: float | None = None,
) -> None:
    """Pixels (ny, nx) of an image without interpolation; grey where they carry no weight, if `masked`.

    With `size`, only the middle so many arcsec.
    """
    hidden = (np.asarray(image.invvar) <= 0) & masked
    shown = np.ma.array(pixels, mask=hidden)
    ax.imshow(shown, norm=norm, cmap=colours_of(colours), origin="lower", interpolation="nearest")
    low, high, bottom, top = _limits(image, size)
    ax.set(xlim=(low, high), ylim=(bottom, top), xticks=[], yticks=[])


def draw_light(
    ax: Axes,
    image: Image,
    pixels: np.ndarray,
    stretch: tuple[AsinhNorm, float],
    *,
    masked: bool = True,
    size: float | None = None,
    colours: str = LIGHT_COLOURS,
) -> None:
    """A panel of light: pixels above the background, the image's name, scale bar and compass."""
    norm, background = stretch
    draw_pixels(ax, image, pixels - background, norm, colours, masked, size)
    ink = "white" if colours == LIGHT_COLOURS else "black"
    draw_name(ax, image, ink)
    draw_scale_bar(ax, image, ink)
    draw_compass(ax, image, ink)


def draw_residual(ax: Axes, image: Image, residual: np.ndarray, size: float | None = None) -> None:
    """A panel of residuals in sigma, on a symmetric scale."""
    limits = Normalize(-RESIDUAL_RANGE, RESIDUAL_RANGE)
    draw_pixels(ax, image, residual, limits, RESIDUAL_COLOURS, size=size)


def _limits(image: Image, size: float | None) -> tuple[float, float, float, float]:
    """Limits in pixels (x, x, y, y) of the middle `size` arcsec, or of the whole image."""
    ny, nx = image.shape
    half = [(n if size is None else min(n, size / image.pixel_scale)) / 2 for n in (nx, ny)]
    x, y = (nx - 1) / 2, (ny - 1) / 2
    return x - half[0], x + half[0], y - half[1], y + half[1]


def panel_width(ax: Axes) -> float:
    """Width of a panel on paper, inches."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return ax.get_window_extent().width / figure.dpi


def text_size(ax: Axes) -> float:
    """Size of a panel's text, points: what fits, and can be read."""
    return float(np.clip(5.2 * panel_width(ax), 5.0, 7.5))


def outline(ink: str) -> list[Any]:
    """What makes text and lines of this colour readable on any image."""
    return [withStroke(linewidth=1.3, foreground="black" if ink == "white" else "white")]


def write(ax: Axes, x: float, y: float, text: str, ink: str = "white", **style: Any) -> None:
    """Outlined text, at a place in fractions of the panel."""
    style = {"size": text_size(ax), "color": ink, "path_effects": outline(ink)} | style
    ax.text(x, y, text, transform=ax.transAxes, **style)


def draw_name(ax: Axes, image: Image, ink: str = "white") -> None:
    """The image's name, with its band where that is another, in the upper left corner."""
    name = image.name if image.name == image.band else f"{image.name} ({image.band})"
    write(ax, 0.04, 0.96, name, ink, va="top", weight="bold", size=text_size(ax) + 0.5)


def draw_note(ax: Axes, text: str) -> None:
    """A note on white paper in the upper left corner."""
    write(ax, 0.04, 0.95, text, "black", va="top", path_effects=[], bbox=_PAPER)


def round_length(width: float) -> float:
    """The round number of arcsec closest below a third of `width` arcsec.

    Examples
    --------
    >>> round_length(131.0)
    30.0
    >>> round_length(2.0)
    0.5
    """
    wanted = width / 3
    if wanted < 1:
        step = 10.0 ** np.floor(np.log10(wanted))
        return float(step * max(m for m in (1, 2, 5) if m * step <= wanted))
    return float(_ROUND_LENGTHS[_ROUND_LENGTHS <= wanted][-1])


def draw_scale_bar(ax: Axes, image: Image, ink: str = "white") -> float:
    """A bar of a round number of arcsec in the lower left corner of a panel; returns its length in arcsec."""
    low, high = ax.get_xlim()
    length = round_length((high - low) * image.pixel_scale)
    fraction = length / image.pixel_scale / (high - low)
    style = {"color": ink, "linewidth": 1.6, "path_effects": outline(ink)}
    ax.plot([0.06, 0.06 + fraction], [0.07, 0.07], transform=ax.transAxes, **style)
    unit, number = ("′", length / 60) if length >= 60 else ("″", length)
    write(ax, 0.06 + fraction / 2, 0.09, f"{number:g}{unit}", ink, ha="center", va="bottom")
    return length


def compass_directions(image: Image) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (x, y) of the pixel grid towards East and towards North at the image's centre."""
    east, north = np.asarray(image.jacobian).T
    return east / np.hypot(*east), north / np.hypot(*north)


def draw_compass(ax: Axes, image: Image, ink: str = "white") -> None:
    """Arrows to the North and East in the lower right corner of a panel, true to any WCS."""
    if panel_width(ax) < _NO_COMPASS:
        return
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    stretch = np.array([1.0, (high - low) / (top - bottom)])
    east, north = (direction * stretch for direction in compass_directions(image))
    length = 0.15
    corner = np.array([0.83, 0.17]) - length * (east + north) / 2
    head = {"arrowstyle": "->,head_width=0.15,head_length=0.25", "shrinkA": 0, "shrinkB": 0}
    for name, direction in (("E", east), ("N", north)):
        ends = tuple(corner + length * direction), tuple(corner)
        arrow = head | {"color": ink, "path_effects": outline(ink)}
        ax.annotate("", *ends, xycoords="axes fraction", textcoords="axes fraction", arrowprops=arrow)
        x, y = corner + 1.4 * length * direction
        write(ax, x, y, name, ink, ha="center", va="center", size=text_size(ax) - 0.5)


def round_ticks(norm: AsinhNorm) -> list[float]:
    """Zero and a few round numbers, far enough apart to be read along a colour bar.

    Examples
    --------
    >>> round_ticks(AsinhNorm(linear_width=2.0, vmin=-2.5, vmax=640.0))
    [0.0, 50.0, 500.0]
    """
    peak = float(norm.vmax or 1.0)
    decades = 10.0 ** np.arange(np.floor(np.log10(peak)) - 8, np.floor(np.log10(peak)) + 1)
    steps = np.outer(decades, [1, 2, 5]).ravel()
    zero, kept = float(norm(0.0)), []
    for value in steps[steps <= peak * (1 + 1e-9)][::-1]:
        above = float(norm(kept[-1])) if kept else 2.0
        if float(norm(value)) - zero > 0.3 and above - float(norm(value)) > 0.3:
            kept.append(float(value))
    return [0.0, *reversed(kept)]


def draw_bar_below(
    ax: Axes, norm: Normalize, colours: str, ticks: Sequence[float], unit: str, room: float = 0.28
) -> None:
    """A colour bar under a panel, with its unit to the right."""
    size, height = text_size(ax) - 0.5, room / panel_width(ax)
    inset = ax.inset_axes((0.05, -0.4 * height, 0.68, 0.2 * height))
    bar = ax.figure.colorbar(
        ScalarMappable(norm, colours_of(colours)), cax=inset, orientation="horizontal", ticks=list(ticks)
    )
    bar.minorticks_off()
    bar.outline.set(linewidth=0.5)
    inset.set_xticks(list(ticks), [in_figures(value) for value in ticks], size=size)
    inset.tick_params(length=1.5, pad=1.0)
    inset.set_xlim(norm.vmin, norm.vmax)
    write(ax, 1.0, -0.65 * height, unit, "black", ha="right", va="center", size=size, path_effects=[])


def in_figures(value: float) -> str:
    """A round number, short.

    Examples
    --------
    >>> in_figures(500.0), in_figures(2e5), in_figures(-5.0)
    ('500', '$2\\\\!\\\\times\\\\!10^5$', '−5')
    """
    if abs(value) < 1e5:
        return f"{value:g}".replace("-", "−")
    power = int(np.floor(np.log10(abs(value))))
    return rf"${value / 10.0**power:g}\!\times\!10^{power}$"
