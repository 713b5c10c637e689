"""Figures of images: data, model and normalised residuals of each, in its own pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure

from bayesjoint.data.image import Image
from bayesjoint.report import image_panel as panel
from bayesjoint.report.fitted_pixels import FittedPixels, Model, as_images, fitted_pixels
from bayesjoint.report.panel_grid import BELOW, figure_of, own_or_new, triple_grid
from bayesjoint.report.style import paper_style

_TITLES = ("data", "model", "(data $-$ model) / $\\sigma$")
_UNIT = "nJy/px"


def plot_images(
    images: Image | Iterable[Image],
    model: Model | None = None,
    *,
    axes: Iterable[Axes] | Axes | None = None,
    size: float | None = None,
) -> Figure:
    """Each image in its own pixels; with a model: data, model and normalised residual of each.

    Light is drawn above the background by one asinh stretch an image, linear within the noise; grey pixels carry no
    weight. Arrows point North and East as the image's WCS has them.

    Parameters
    ----------
    images : Image, or sequence of Image
    model : MapFit, Posterior, or sequence of array (ny, nx), optional
        What was fitted to the images, or the model's pixels of each, nJy. Rows are labelled with chi2 per pixel.
    axes : Axes, or array of Axes, optional
        Where to draw: (images,), or (images, 3) with a model.
    size : float, optional
        Show only the middle `size` arcsec of each image.

    Returns
    -------
    Figure
        With a model, more than four images are laid out in blocks of three columns, read down the left block first.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from bayesjoint.data.analytic_psf import gaussian_psf
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    >>> wcs.wcs.crpix, wcs.wcs.cdelt = [16.5, 16.5], [-0.2 / 3600, 0.2 / 3600]
    >>> image = Image(np.eye(32), wcs=wcs, zeropoint=31.4, psf=gaussian_psf(0.8), invvar=np.ones((32, 32)))
    >>> figure = plot_images(image)
    """
    if model is not None:
        return _plot_triples(fitted_pixels(images, model), axes, size)
    chosen = as_images(images)
    with paper_style():
        fig, panels = own_or_new(len(chosen), axes)
        for ax, image in zip(panels, chosen, strict=True):
            stretch = panel.stretch_of(image)
            panel.draw_light(ax, image, image.data, stretch, size=size)
            _light_bar(ax, stretch[0])
    return fig


def plot_model(
    images: Image | Iterable[Image],
    model: Model,
    *,
    axes: Iterable[Axes] | Axes | None = None,
    size: float | None = None,
) -> Figure:
    """The model's pixels of each image, by the stretch of its data; arguments as in `plot_images`."""
    fitted = fitted_pixels(images, model)
    with paper_style():
        fig, panels = own_or_new(len(fitted), axes)
        for ax, (image, pixels, _) in zip(panels, fitted, strict=True):
            stretch = panel.stretch_of(image, pixels)
            panel.draw_light(ax, image, pixels, stretch, masked=False, size=size)
            _light_bar(ax, stretch[0])
    return fig


def plot_residuals(
    images: Image | Iterable[Image],
    model: Model,
    *,
    axes: Iterable[Axes] | Axes | None = None,
    size: float | None = None,
) -> Figure:
    """Data minus model in sigma of each image, on one symmetric scale; arguments as in `plot_images`.

    Where the noise correlates, or is not as the inverse variances say, residuals are those that scatter independently by 1.
    """
    fitted = fitted_pixels(images, model)
    limits = Normalize(-panel.RESIDUAL_RANGE, panel.RESIDUAL_RANGE)
    with paper_style():
        fig, panels = own_or_new(len(fitted), axes)
        for ax, one in zip(panels, fitted, strict=True):
            panel.draw_residual(ax, one.image, one.residual, size)
            panel.draw_note(ax, f"{one.image.name}  {_chi2(one)}")
            panel.draw_scale_bar(ax, one.image, "black")
            panel.draw_compass(ax, one.image, "black")
            panel.draw_bar_below(ax, limits, panel.RESIDUAL_COLOURS, (-5, 0, 5), "$\\sigma$", BELOW)
    return fig


def _light_bar(ax: Axes, norm: AsinhNorm) -> None:
    panel.draw_bar_below(ax, norm, panel.LIGHT_COLOURS, panel.round_ticks(norm), _UNIT, BELOW)


def _chi2(one: FittedPixels) -> str:
    used = one.image.invvar > 0
    return rf"$\chi^2$/px {np.mean(one.residual[used] ** 2):.3f}"


def _plot_triples(
    fitted: list[FittedPixels], axes: Iterable[Axes] | Axes | None, size: float | None
) -> Figure:
    with paper_style():
        if axes is None:
            fig, rows = triple_grid(len(fitted), _TITLES)
        else:
            rows = np.asarray(axes, dtype=object).reshape(len(fitted), 3)
            fig = figure_of(rows[0])
        for row, one in zip(rows, fitted, strict=True):
            _plot_triple(row, one, size)
        if axes is None:
            _residual_bar(fig, rows[:, 2])
    return fig


def _plot_triple(row: np.ndarray, one: FittedPixels, size: float | None) -> None:
    image, model, residual = one
    stretch = panel.stretch_of(image, model)
    panel.draw_light(row[0], image, image.data, stretch, size=size)
    panel.draw_pixels(row[1], image, model - stretch[1], stretch[0], masked=False, size=size)
    _bar_inside(row[1], stretch[0])
    panel.draw_residual(row[2], image, residual, size)
    panel.draw_note(row[2], _chi2(one))


def _residual_bar(fig: Figure, column: np.ndarray) -> None:
    """One colour bar for all residuals, beside the first of those farthest to the right."""
    rightmost = column[np.argmax([ax.get_position().x1 for ax in column])]
    rightmost.apply_aspect()
    box, width = rightmost.get_position(), fig.get_figwidth()
    bar = fig.add_axes((box.x1 + 0.05 / width, box.y0, 0.07 / width, box.height))
    limits = Normalize(-panel.RESIDUAL_RANGE, panel.RESIDUAL_RANGE)
    shown = ScalarMappable(limits, panel.colours_of(panel.RESIDUAL_COLOURS))
    fig.colorbar(shown, cax=bar, ticks=[-5, 0, 5]).set_ticklabels(["−5 $\\sigma$", "0", "5 $\\sigma$"])
    bar.tick_params(length=2, labelsize=6, pad=1.5)


def _bar_inside(ax: Axes, norm: AsinhNorm) -> None:
    """A small colour bar inside the model's panel: nJy per pixel above the background."""
    inset = ax.inset_axes((0.06, 0.06, 0.55, 0.035))
    top = panel.round_ticks(norm)[-1]
    shown = ScalarMappable(norm, panel.colours_of(panel.LIGHT_COLOURS))
    bar = ax.figure.colorbar(shown, cax=inset, orientation="horizontal", ticks=[0, top])
    bar.minorticks_off()
    bar.outline.set(edgecolor="white", linewidth=0.5)
    style = {"color": "white", "size": panel.text_size(ax) - 1, "path_effects": panel.outline("white")}
    inset.set_xticks([0, top], ["0", f"{panel.in_figures(top)} {_UNIT}"], **style)
    inset.tick_params(
        length=1.5, color="white", top=True, bottom=False, labeltop=True, labelbottom=False, pad=0.5
    )
