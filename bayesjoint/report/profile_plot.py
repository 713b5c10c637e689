"""The figure of profiles: isophotes on the images beside the model's, with its PSF and without, and colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from bayesjoint.report.isophotes import Isophotes, isophotes
from bayesjoint.report.panel_grid import figure_of
from bayesjoint.report.photometry import ONE_SIGMA, colour, interval, magnitude
from bayesjoint.report.radial_profile import RadialProfile, colour_profile
from bayesjoint.report.style import COLUMN_WIDTH, PAGE_WIDTH, PALETTE, paper_style

if TYPE_CHECKING:
    from bayesjoint.report.posterior import Posterior

_INTRINSIC, _SEEN = PALETTE[1], PALETTE[0]
_DETECTED = 2.0  # standard errors: fainter annuli are drawn as limits, and have no colour
_COLUMNS = 3


def plot_profile(
    posterior: Posterior,
    program: Any,
    more: Sequence[Any],
    bands: Sequence[str] = (),
    *,
    colours: Sequence[tuple[str, str]] = (),
    source: Any = None,
    axes: Iterable[Axes] | Axes | None = None,
) -> Figure:
    """Surface brightness of a source against semi-major axis, and colours, beside what the images have.

    Points are means of the images' own pixels in elliptical annuli of the model's shape, neighbours and sky as the best draw
    has them removed, with errors of the pixels' noise; triangles are limits of two of them. The model (68.27 and 95 %) is
    drawn as it is, and as its means over the same pixels through each image's PSF, to be compared with the points.

    Parameters
    ----------
    posterior, program, more
        As in `Posterior.extend`.
    bands : sequence of str
        Bands, of which the first image is shown, or names of images; all bands where there are neither bands nor colours.
    colours : sequence of (band, band)
        Pairs to show the colour of, each in annuli that both resolve.
    source : str or tuple of str, optional
        As in `Posterior.surface_brightness`.
    axes : Axes, or array of them, optional
        Where to draw: one for each band and colour.
    """
    bands = list(bands) if bands or colours else list(posterior.bands)
    found = isophotes(posterior, program, more, bands, source) if bands else []
    pairs = [isophotes(posterior, program, more, pair, source, together=True) for pair in colours]
    with paper_style():
        fig, panels = _panels(len(found) + len(pairs), axes)
        for ax, one in zip(panels, found, strict=False):
            _draw_band(ax, one)
        for ax, pair in zip(panels[len(found) :], pairs, strict=True):
            _draw_colour(ax, *pair)
        for ax in panels:
            _finish(ax)
        if axes is None:
            handles, labels = panels[0].get_legend_handles_labels()
            fig.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    return fig


def _panels(number: int, axes: Iterable[Axes] | Axes | None) -> tuple[Figure, list[Axes]]:
    if axes is not None:
        own = list(np.ravel(np.array(axes, dtype=object)))
        if len(own) != number:
            raise ValueError(f"{len(own)} axes for {number} profiles: give one for each band and colour")
        return figure_of(own), own
    columns = min(number, _COLUMNS)
    rows = -(-number // columns)
    width = COLUMN_WIDTH if columns == 1 else PAGE_WIDTH
    fig = Figure(figsize=(width, 0.4 + 2.15 * rows), layout="constrained")
    panels = [fig.add_subplot(rows, columns, i + 1) for i in range(number)]
    return fig, panels


def _draw_band(ax: Axes, one: Isophotes) -> None:
    """Magnitudes per arcsec^2, bright at the top."""
    _draw_intrinsic(ax, one.intrinsic.magnitudes)
    _draw_bands(ax, one.radii, magnitude(one.seen), _SEEN, "model as seen through the PSF")
    seen = one.light > _DETECTED * one.error
    bright, faint = (magnitude((one.light + sign * one.error)[seen]) for sign in (1, -1))
    middle = magnitude(one.light[seen])
    _draw_points(ax, one.radii[seen], middle, [middle - bright, faint - middle])
    limits = magnitude(np.maximum(one.light, 0)[~seen] + _DETECTED * one.error[~seen])
    ax.plot(one.radii[~seen], limits, linestyle="none", marker="v", markersize=3, color="0.55")
    values = [magnitude(one.seen.mean(axis=0)), middle, limits]
    _frame(ax, np.concatenate(values), one.radii, 0.6)
    ax.invert_yaxis()
    ax.set_ylabel(rf"$\mu$ {one.image} [mag/arcsec$^2$]")


def _draw_colour(ax: Axes, one: Isophotes, two: Isophotes) -> None:
    """The colour of what is measured in the same annuli of two images: each through its own PSF."""
    names = one.image, two.image
    number = min(len(one.radii), len(two.radii))
    _draw_intrinsic(ax, colour_profile(one.intrinsic, two.intrinsic, names))
    seen = colour(one.seen[:, :number], two.seen[:, :number])
    radii = one.radii[:number]
    _draw_bands(ax, radii, seen, _SEEN, "model as seen through the PSF")
    relative = np.array([(each.error / each.light)[:number] for each in (one, two)])
    known = np.all((relative > 0) & (relative < 1 / _DETECTED), axis=0)
    error = 2.5 / np.log(10) * np.hypot(*relative)
    middle = colour(one.light[:number], two.light[:number])
    _draw_points(ax, radii[known], middle[known], [error[known]] * 2)
    _frame(ax, np.concatenate([np.median(seen, axis=0), middle[known]]), radii, 0.15)
    ax.set_ylabel(f"{names[0]} $-$ {names[1]} [mag]")


def _draw_intrinsic(ax: Axes, profile: RadialProfile) -> None:
    _draw_bands(
        ax, profile.radii, profile.draws.reshape(-1, len(profile.radii)), _INTRINSIC, "model without PSF"
    )


def _draw_bands(ax: Axes, radii: np.ndarray, draws: np.ndarray, ink: str, label: str) -> None:
    """Median, 68.27 % and 95 % of draws (N, n)."""
    for probability, alpha in ((0.95, 0.2), (ONE_SIGMA, 0.35)):
        low, high = interval(draws, probability, axis=0)
        ax.fill_between(radii, low, high, color=ink, alpha=alpha, linewidth=0)
    ax.plot(radii, np.median(draws, axis=0), color=ink, linewidth=0.9, label=label)


def _draw_points(ax: Axes, radii: np.ndarray, values: np.ndarray, errors: Sequence[np.ndarray]) -> None:
    style: dict[str, Any] = {"fmt": "o", "markersize": 2.2, "elinewidth": 0.7, "color": "black", "zorder": 5}
    ax.errorbar(radii, values, np.array(errors), label="data in annuli", **style)


def _frame(ax: Axes, values: np.ndarray, radii: np.ndarray, room: float) -> None:
    """Limits about what is seen: the model without PSF may leave them at its centre."""
    finite = values[np.isfinite(values)]
    ax.set_xlim(0.7 * radii[0], 1.25 * radii[-1])
    if finite.size:
        ax.set_ylim(finite.min() - room, finite.max() + room)


def _finish(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_xlabel("semi-major axis [arcsec]")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(MaxNLocator(6))
