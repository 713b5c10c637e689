"""Figures of a check: mean residuals with their autocorrelation, and which image constrains which parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayesjoint.data.image import Image
from bayesjoint.infer.predictive import LAGS, Prediction
from bayesjoint.report.image_panel import draw_scale_bar
from bayesjoint.report.style import COLUMN_WIDTH, DRAWS_COLOUR, MASKED_COLOUR, paper_style

if TYPE_CHECKING:
    from bayesjoint.report.check import Information

RESIDUAL_RANGE = 4.0
ONE_BLOCK = 3  # more images than this are laid out in two blocks side by side
_GREY = "#d9d9d9"


def plot_residuals(images: Sequence[Image], found: Sequence[Prediction]) -> Figure:
    """Mean normalised residual of each image over the draws, as it is and smoothed, and its correlation against distance.

    Smoothed residuals (by a Gaussian of one pixel) are in units of the noise that independent pixels leave in them. Thin
    lines enclose where the source stands out. Grey bands hold 95 % of what predicted data have; the dotted line is at the
    FWHM of the PSF.

    Parameters
    ----------
    images : sequence of Image
    found : sequence of Prediction
        More than three are laid out in two blocks, read down the left block first.
    """
    blocks = 1 if len(found) <= ONE_BLOCK else 2
    rows = -(-len(found) // blocks)
    side = 1.45 if blocks == 1 else 0.97
    with paper_style():
        fig = Figure(figsize=(blocks * (3 * side + 0.66), rows * (side + 0.14) + 0.64))
        axes = _residual_axes(fig, blocks, rows, side)
        for i, (image, one) in enumerate(zip(images, found, strict=True)):
            first, second, lags = (fig.add_axes(box) for box in axes[i])
            _residual_map(first, image, one.residual, one)
            _residual_map(second, image, one.smoothed, one)
            first.text(
                0.05, 0.95, one.name, transform=first.transAxes, va="top", weight="bold", size=7, bbox=_PAPER
            )
            draw_scale_bar(first, image, "black")
            _correlation(lags, image, one)
            if i % rows == 0:
                _titles(fig, first, second, lags)
            if i % rows == rows - 1 or i == len(found) - 1:
                lags.set_xlabel("distance [px]", labelpad=1)
            else:
                lags.tick_params(labelbottom=False)
    return fig


def _residual_axes(fig: Figure, blocks: int, rows: int, side: float) -> list[list[tuple]]:
    """The places of two maps and a graph for each image, square: (left, bottom, width, height) in parts of the figure."""
    width, height = fig.get_size_inches()
    lefts = 0.08, 0.13 + side, 0.58 + 2 * side
    return [
        [
            (
                (block * width / blocks + left) / width,
                1 - (0.42 + (row + 1) * side + 0.14 * row) / height,
                side / width,
                side / height,
            )
            for left in lefts
        ]
        for block in range(blocks)
        for row in range(rows)
    ]


_PAPER = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}


def _residual_map(ax: Axes, image: Image, residual: np.ndarray, one: Prediction) -> None:
    colours = colormaps["RdBu_r"].with_extremes(bad=MASKED_COLOUR)
    limits: dict[str, Any] = {"vmin": -RESIDUAL_RANGE, "vmax": RESIDUAL_RANGE}
    shown = np.ma.array(residual, mask=~one.used)
    ax.imshow(shown, cmap=colours, origin="lower", interpolation="nearest", **limits)
    if one.source.any():
        ax.contour(one.source, levels=[0.5], colors="black", linewidths=0.4)
    ax.set(xticks=[], yticks=[])


def _titles(fig: Figure, first: Axes, second: Axes, lags: Axes) -> None:
    """What the columns are; the colour bar over the maps of a block."""
    second.set_title("smoothed", pad=3)
    first.set_title("mean residual", pad=3)
    lags.set_title("correlation", pad=3)
    left, right, height = first.get_position(), second.get_position(), fig.get_figheight()
    inset = 0.12 / fig.get_figwidth()
    bar = fig.add_axes((left.x0 + inset, 1 - 0.2 / height, right.x1 - left.x0 - 2 * inset, 0.06 / height))
    colours = ScalarMappable(Normalize(-RESIDUAL_RANGE, RESIDUAL_RANGE), colormaps["RdBu_r"])
    fig.colorbar(colours, cax=bar, orientation="horizontal", ticks=[-4, -2, 0, 2, 4])
    bar.set_xticklabels(["$-4\\,\\sigma$", "$-2$", "0", "2", "$4\\,\\sigma$"])
    bar.tick_params(length=2, labelsize=6, pad=1, top=True, bottom=False, labeltop=True, labelbottom=False)


def _correlation(ax: Axes, image: Image, one: Prediction) -> None:
    lags = np.arange(1, LAGS + 1)
    observed, low, high = one.correlations
    ax.fill_between(lags, low, high, color=_GREY, lw=0)
    ax.axhline(0, color="black", lw=0.6)
    ax.plot(lags, observed, "o-", ms=2.5, lw=0.8, color=DRAWS_COLOUR)
    fwhm = image.psf.fwhm_arcsec(image.pixel_scale) / image.pixel_scale
    ax.axvline(fwhm, color="black", lw=0.6, ls=":")
    bottom, top = np.nanmin([low, observed]), np.nanmax([high, observed])
    room = 0.1 * (top - bottom)
    ax.set(xlim=(0.5, LAGS + 0.5), ylim=(bottom - room, top + room), xticks=[2, 4, 6, 8, 10])
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.tick_params(labelsize=6, pad=2)


def plot_information(found: Information, parameters: Sequence[str] | None = None) -> Figure:
    """Which image constrains which parameter: what part of its precision is lost without each image, or without the prior.

    Parameters
    ----------
    found : Information
    parameters : sequence of str, optional
        Labels of the scalars to show; by default all but skies.

    Raises
    ------
    ValueError
        For a label that is not there.
    """
    if missing := [name for name in parameters or () if name not in found.labels]:
        raise ValueError(f"no scalar {missing[0]!r} in this check: there are {', '.join(found.labels)}")
    chosen = [label for label in found.labels if not label.startswith("sky")] or found.labels
    rows = [found.labels.index(label) for label in parameters or chosen]
    share, height = found.share[rows], 0.21 * len(rows) + 1.0
    with paper_style():
        width = max(COLUMN_WIDTH, 0.9 + 0.42 * len(found.names) + 0.6)
        fig = Figure(figsize=(width, height), layout="constrained")
        ax = fig.subplots()
        shown = ax.imshow(share, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        for (i, j), value in np.ndenumerate(share):
            colour = "white" if value > 0.6 else "black"
            ax.text(j, i, _percent(value), ha="center", va="center", size=6.5, color=colour)
        ax.set_yticks(range(len(rows)), [found.symbols[i] for i in rows])
        long = max(map(len, found.names)) > 5
        slant = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"} if long else {}
        ax.set_xticks(range(len(found.names)), found.names, **slant)
        ax.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
        ax.axvline(len(found.names) - 1.5, color="white", lw=2)
        bar = fig.colorbar(shown, ax=ax, ticks=[0, 0.5, 1], aspect=25, pad=0.02)
        bar.set_ticklabels(["0", "50", "100 %"])
        bar.set_label("precision lost without it")
        bar.outline.set_visible(False)
        ax.spines[:].set_visible(False)
    return fig


def _percent(share: float) -> str:
    """Of a share, without decimals; nothing where it is under half a per cent.

    Examples
    --------
    >>> _percent(0.004), _percent(0.834)
    ('', '83')
    """
    return f"{100 * share:.0f}" if share >= 0.005 else ""
