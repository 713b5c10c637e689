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
from bayesjoint.report.images_plot import draw_compass, draw_scale_bar
from bayesjoint.report.style import COLUMN_WIDTH, DRAWS_COLOUR, MASKED_COLOUR, PAGE_WIDTH, paper_style

if TYPE_CHECKING:
    from bayesjoint.report.check import Information

RESIDUAL_RANGE = 4.0
ONE_BLOCK = 2  # more images than this are laid out in two blocks side by side
_GREY = "#d9d9d9"


def plot_residuals(images: Sequence[Image], found: Sequence[Prediction]) -> Figure:
    """Mean normalised residual of each image over the draws, and its correlation against distance.

    Thin lines enclose where the source stands out. Grey bands hold 95 % of what predicted data have; the dotted line is at
    the FWHM of the PSF.

    Parameters
    ----------
    images : sequence of Image
    found : sequence of Prediction
    """
    blocks = 1 if len(found) <= ONE_BLOCK else 2
    rows = -(-len(found) // blocks)
    side = (PAGE_WIDTH if blocks == 2 else 4.6) / (4.6 if blocks == 2 else 2.75)
    with paper_style():
        fig = Figure(figsize=(side * (4.6 if blocks == 2 else 2.75), (side + 0.12) * rows + 0.75))
        width, height = fig.get_size_inches()
        grid = fig.add_gridspec(
            rows,
            5 if blocks == 2 else 2,
            width_ratios=[1, 1, 0.12, 1, 1] if blocks == 2 else [1, 1],
            left=0.05 / width,
            right=1 - 0.05 / width,
            top=1 - 0.5 / height,
            bottom=0.38 / height,
            wspace=0.42 if blocks == 2 else 0.35,
            hspace=0.14,
        )
        for i, (image, one) in enumerate(zip(images, found, strict=True)):
            row, column = i % rows, 3 * (i // rows)
            panel = fig.add_subplot(grid[row, column])
            _residual_map(panel, image, one)
            lags = fig.add_subplot(grid[row, column + 1])
            _correlation(lags, image, one)
            if row == rows - 1 or i == len(found) - 1:
                lags.set_xlabel("distance [pixels]")
            else:
                lags.tick_params(labelbottom=False)
            if row == 0:
                lags.set_title("correlation of residuals", pad=3)
                _residual_bar(fig, panel)
    return fig


def _residual_map(ax: Axes, image: Image, one: Prediction) -> None:
    colours = colormaps["RdBu_r"].with_extremes(bad=MASKED_COLOUR)
    limits: dict[str, Any] = {"vmin": -RESIDUAL_RANGE, "vmax": RESIDUAL_RANGE}
    ax.imshow(
        np.ma.array(one.residual, mask=~one.used),
        cmap=colours,
        origin="lower",
        interpolation="nearest",
        **limits,
    )
    if one.source.any():
        ax.contour(one.source, levels=[0.5], colors="black", linewidths=0.5)
    ax.set(xticks=[], yticks=[])
    paper = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    ax.text(0.04, 0.95, one.name, transform=ax.transAxes, va="top", weight="bold", bbox=paper)
    draw_scale_bar(ax, image)
    draw_compass(ax, image)


def _residual_bar(fig: Figure, panel: Axes) -> None:
    """The colour bar over the first map of a block."""
    box, height = panel.get_position(), fig.get_figheight()
    bar = fig.add_axes((box.x0, box.y1 + 0.06 / height, box.width, 0.07 / height))
    colours = ScalarMappable(Normalize(-RESIDUAL_RANGE, RESIDUAL_RANGE), colormaps["RdBu_r"])
    fig.colorbar(colours, cax=bar, orientation="horizontal", ticks=[-4, -2, 0, 2, 4])
    bar.tick_params(length=2, labelsize=6, pad=1, top=True, bottom=False, labeltop=True, labelbottom=False)
    bar.set_title("mean residual / $\\sigma$", pad=3)


def _correlation(ax: Axes, image: Image, one: Prediction) -> None:
    lags = np.arange(1, LAGS + 1)
    observed, low, high = one.correlations
    ax.fill_between(lags, low, high, color=_GREY, lw=0)
    ax.axhline(0, color="black", lw=0.6)
    ax.plot(lags, observed, "o-", ms=2.5, lw=0.8, color=DRAWS_COLOUR)
    fwhm = image.psf.fwhm_arcsec(image.pixel_scale) / image.pixel_scale
    ax.axvline(fwhm, color="black", lw=0.6, ls=":")
    reach = 1.25 * max(np.nanmax(np.abs([observed, low, high])), 0.02)
    ax.set(xlim=(0.5, LAGS + 0.5), ylim=(-reach, reach), xticks=[2, 4, 6, 8, 10])
    ax.yaxis.set_major_locator(MaxNLocator(5, symmetric=True))
    ax.set_box_aspect(1)


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
        ax.set_xticks(range(len(found.names)), found.names, rotation=40 if long else 0, ha="left" if long else "center")
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
