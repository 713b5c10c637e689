"""The figure of images: data, model and normalised residual of every image, with scale bar and compass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from bayesjoint.data.image import Image
from bayesjoint.infer.goodness import goodness
from bayesjoint.report.style import MASKED_COLOUR, PAGE_WIDTH, paper_style

RESIDUAL_RANGE = 5.0
ONE_BLOCK = 4  # more images than this are laid out in two blocks side by side
_TITLES = ("data", "model", "(data $-$ model) / $\\sigma$")
_ROUND_LENGTHS = np.array([1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600])
_OUTLINE = [withStroke(linewidth=1.6, foreground="black")]


def plot_images(
    images: Sequence[Image],
    models: Sequence[np.ndarray],
    axes: np.ndarray | None = None,
    size: float | None = None,
    residuals: Sequence[np.ndarray] | None = None,
) -> Figure:
    """Data, model and normalised residual of each image, in its own pixels.

    Data and model share one asinh stretch, linear within the noise; grey pixels carry no weight. The arrows
    point North and East as the image's WCS has them. Each row is labelled with chi2 per pixel.

    Parameters
    ----------
    images : sequence of Image
    models : sequence of array (ny, nx)
        Model pixels of each, nJy.
    axes : array of Axes (images, 3), optional
        Where to draw.
    size : float, optional
        Show only the middle `size` arcsec of each image.
    residuals : sequence of array (ny, nx), optional
        Normalised, where the noise is not as the images' inverse variances say.

    Returns
    -------
    Figure
        More than four images are laid out in two blocks of three columns, read down the left block first.
    """
    images = list(images)
    if len(models) != len(images):
        raise ValueError(
            f"{len(images)} images but {len(models)} models: give one array of model pixels per image"
        )
    with paper_style():
        if axes is None:
            fig, axes = _grid(len(images))
        else:
            axes = np.asarray(axes, dtype=object).reshape(len(images), 3)
            fig = axes[0, 0].get_figure()
        for row, image, model, residual in zip(
            axes, images, models, residuals or [None] * len(images), strict=True
        ):
            _plot_row(row, image, np.asarray(model, dtype=float), size, residual)
    return fig


def _grid(number: int) -> tuple[Figure, np.ndarray]:
    """A figure with three columns per block, and its axes in the order of the images (number, 3)."""
    blocks = 1 if number <= ONE_BLOCK else 2
    rows = -(-number // blocks)
    side = PAGE_WIDTH / (3 if blocks == 1 else 6.3)
    side = side if blocks == 2 else min(side, 1.75)
    fig = Figure(figsize=(side * (3 if blocks == 1 else 6.3) + 0.45, side * rows + 0.55))
    width, height = fig.get_size_inches()
    grid = fig.add_gridspec(
        rows,
        4 * blocks - 1,
        width_ratios=[1, 1, 1] + [0.3, 1, 1, 1] * (blocks - 1),
        left=0.05 / width,
        right=1 - 0.45 / width,
        top=1 - 0.22 / height,
        bottom=0.05 / height,
        wspace=0.03,
        hspace=0.04,
    )
    axes = np.array(
        [[fig.add_subplot(grid[i % rows, 4 * (i // rows) + k]) for k in range(3)] for i in range(number)],
        dtype=object,
    )
    for i in range(0, number, rows):
        for ax, title in zip(axes[i], _TITLES, strict=True):
            ax.set_title(title, pad=3)
    _residual_bar(fig, axes[: min(rows, number)] if blocks == 1 else axes[rows:])
    return fig, axes


def _residual_bar(fig: Figure, block: np.ndarray) -> None:
    """One colour bar for all residuals, beside the first of the rightmost column."""
    box = block[0, 2].get_position()
    width = fig.get_figwidth()
    bar = fig.add_axes((box.x1 + 0.05 / width, box.y0, 0.07 / width, box.height))
    colours = ScalarMappable(Normalize(-RESIDUAL_RANGE, RESIDUAL_RANGE), _colours("RdBu_r"))
    fig.colorbar(colours, cax=bar, ticks=[-5, 0, 5])
    bar.tick_params(length=2, labelsize=6, pad=1.5)


def _colours(name: str) -> Colormap:
    return colormaps[name].with_extremes(bad=MASKED_COLOUR)


def _plot_row(
    row: Sequence[Axes],
    image: Image,
    model: np.ndarray,
    size: float | None,
    residual: np.ndarray | None = None,
) -> None:
    used = np.asarray(image.invvar) > 0
    sigma = 1 / np.sqrt(np.median(image.invvar[used]))
    background = float(np.quantile(model[used], 0.05))
    norm = _stretch(model[used] - background, image.data[used] - background, sigma)
    extent = _window(image, size)
    for ax, pixels in zip(row, (image.data, model), strict=False):
        hidden = ~used if pixels is image.data else np.zeros_like(used)
        ax.imshow(np.ma.array(pixels - background, mask=hidden), norm=norm, cmap=_colours("magma"), **_PIXELS)
    deviation = (image.data - model) * np.sqrt(image.invvar) if residual is None else residual
    limits = {"vmin": -RESIDUAL_RANGE, "vmax": RESIDUAL_RANGE}
    row[2].imshow(np.ma.array(deviation, mask=~used), cmap=_colours("RdBu_r"), **limits, **_PIXELS)
    for ax in row:
        ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    name = image.name if image.name == image.band else f"{image.name} ({image.band})"
    _write(row[0], 0.04, 0.96, name, va="top", weight="bold", size=8)
    chi2 = goodness(image.name, image.data, model, image.invvar, residual).chi2_per_pixel
    paper = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    _write(
        row[2], 0.04, 0.95, rf"$\chi^2$/px {chi2:.3f}", va="top", color="black", path_effects=[], bbox=paper
    )
    draw_scale_bar(row[0], image)
    draw_compass(row[0], image)
    _stretch_bar(row[1], norm)


_PIXELS: dict[str, Any] = {"origin": "lower", "interpolation": "nearest"}


def _stretch(model: np.ndarray, data: np.ndarray, sigma: float) -> AsinhNorm:
    """Linear within two sigma of the noise, logarithmic above, to the brightest of the model (or noise)."""
    peak = max(float(model.max()), float(np.quantile(data, 0.999)), 5 * sigma)
    return AsinhNorm(linear_width=2 * sigma, vmin=-2.5 * sigma, vmax=peak)


def _window(image: Image, size: float | None) -> tuple[float, float, float, float]:
    """Limits in pixels (x, x, y, y) of the middle `size` arcsec, or of the whole image."""
    ny, nx = image.shape
    half = [(n if size is None else min(n, size / image.pixel_scale)) / 2 for n in (nx, ny)]
    x, y = (nx - 1) / 2, (ny - 1) / 2
    return x - half[0], x + half[0], y - half[1], y + half[1]


def _write(ax: Axes, x: float, y: float, text: str, **style) -> None:
    """White text with a dark outline, at a place in fractions of the panel: readable on any image."""
    style = {"size": 7, "color": "white", "path_effects": _OUTLINE} | style
    ax.text(x, y, text, transform=ax.transAxes, **style)


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


def draw_scale_bar(ax: Axes, image: Image, color: str = "white") -> float:
    """A bar of a round number of arcsec in the lower left corner of a panel; returns its length in arcsec."""
    outline = _OUTLINE if color == "white" else [withStroke(linewidth=1.6, foreground="white")]
    low, high = ax.get_xlim()
    length = round_length((high - low) * image.pixel_scale)
    fraction = length / image.pixel_scale / (high - low)
    ax.plot(
        [0.06, 0.06 + fraction],
        [0.07, 0.07],
        transform=ax.transAxes,
        color=color,
        linewidth=1.6,
        path_effects=outline,
    )
    unit, number = ("′", length / 60) if length >= 60 else ("″", length)
    style = {"color": color, "path_effects": outline}
    _write(ax, 0.06 + fraction / 2, 0.09, f"{number:g}{unit}", ha="center", va="bottom", **style)
    return length


def compass_directions(image: Image) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (x, y) of the pixel grid towards East and towards North at the image's centre."""
    east, north = np.asarray(image.jacobian).T
    return east / np.hypot(*east), north / np.hypot(*north)


def draw_compass(ax: Axes, image: Image) -> None:
    """Arrows to the North and East in the lower right corner of a panel, true to any WCS."""
    east, north = compass_directions(image)
    length = 0.16
    corner = np.array([0.83, 0.17]) - length * (east + north) / 2
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    stretch = np.array([1.0, (high - low) / (top - bottom)])
    for name, direction in (("E", east), ("N", north)):
        tip = corner + length * direction * stretch
        arrow = {
            "arrowstyle": "->,head_width=0.15,head_length=0.25",
            "color": "white",
            "shrinkA": 0,
            "shrinkB": 0,
        }
        ax.annotate(
            "",
            tuple(tip),
            tuple(corner),
            xycoords="axes fraction",
            textcoords="axes fraction",
            arrowprops=arrow,
        )
        x, y = corner + 1.35 * length * direction * stretch
        _write(ax, x, y, name, ha="center", va="center", size=6)


def _stretch_bar(ax: Axes, norm: AsinhNorm) -> None:
    """A small colour bar inside the model's panel: nJy per pixel above the background."""
    inset = ax.inset_axes((0.06, 0.06, 0.55, 0.035))
    peak = float(norm.vmax or 1.0)
    top = float(f"{peak:.0e}")
    top = top if top <= peak else float(f"{0.8 * peak:.0e}")
    bar = ax.figure.colorbar(
        ScalarMappable(norm, _colours("magma")), cax=inset, orientation="horizontal", ticks=[0, top]
    )
    bar.minorticks_off()
    bar.outline.set(edgecolor="white", linewidth=0.5)
    inset.set_xticks([0, top], ["0", f"{top:g} nJy"], color="white", size=6, path_effects=_OUTLINE)
    inset.tick_params(
        length=1.5, color="white", top=True, bottom=False, labeltop=True, labelbottom=False, pad=0.5
    )
