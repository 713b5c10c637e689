"""Figures of a field's sources on its images: what was found where, and the windows that their light is drawn in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.shapes import sky_ellipse
from bayesjoint.data.source_start import SourceStart
from bayesjoint.report import image_panel as panel
from bayesjoint.report.labels import place_labels
from bayesjoint.report.panel_grid import own_or_new
from bayesjoint.report.style import PALETTE, paper_style

if TYPE_CHECKING:
    from astropy.table import Table

_COLOURS = {"galaxy": PALETTE[0], "star": PALETTE[1]}
_LABELLED = 1.5  # inches: narrower panels have no room for names
_NAMES = 12  # of the first sources of the table, per square inch
_LEGEND = 0.2  # inches over the panels
_TURN = np.linspace(0, 2 * np.pi, 73)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)])


def plot_sources(
    images: ImageSet | Image | Iterable[Image],
    sources: Table | None = None,
    *,
    axes: Iterable[Axes] | Axes | None = None,
) -> Figure:
    """The sources of a field over each image: half-light ellipses of galaxies, crosses of stars, and names.

    Parameters
    ----------
    images : ImageSet, Image, or sequence of Image
    sources : astropy Table, optional
        As `find_sources` gives it, or edited; by default those the images know of (`images.with_sources`).
    axes : Axes, or array of Axes (images,), optional
        Where to draw. Panels narrower than 1.5 inches carry no names; of crowded fields only the table's first sources do.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        Without a table, of images that know of no sources; for tables that `with_sources` refuses.
    """
    images = _with_sources(images, sources)
    found: SourceStart = images.sources  # type: ignore[assignment]
    with paper_style():
        fig, panels = own_or_new(len(images), axes, below=0.0, above=_LEGEND)
        for ax, image in zip(panels, images, strict=True):
            _draw_chart(ax, image)
            _draw_sources(ax, image, found)
        if axes is None:
            kinds = [kind for kind in _COLOURS if kind in found.kinds]
            _draw_legend(fig, [(kind, _COLOURS[kind], "x" if kind == "star" else "o") for kind in kinds])
    return fig


def plot_windows(
    images: ImageSet | Image | Iterable[Image],
    sources: Table | None = None,
    *,
    axes: Iterable[Axes] | Axes | None = None,
) -> Figure:
    """The windows in which the light of each source is drawn on each image, a colour for each width of theirs.

    Images no larger than a window draw its sources as a whole, and say so. Arguments as in `plot_sources`.
    """
    images = _with_sources(images, sources)
    found: SourceStart = images.sources  # type: ignore[assignment]
    with paper_style():
        fig, panels = own_or_new(len(images), axes, below=0.0, above=_LEGEND)
        for ax, image in zip(panels, images, strict=True):
            _draw_chart(ax, image)
            _draw_windows(ax, image, found)
        if axes is None:
            widths = [f'sources within {width:.2g}"' for width in found.widths]
            _draw_legend(fig, [(words, PALETTE[i], "s") for i, words in enumerate(widths)])
    return fig


def _with_sources(images: ImageSet | Image | Iterable[Image], sources: Table | None) -> ImageSet:
    if not isinstance(images, ImageSet):
        images = ImageSet(images)
    if sources is not None:
        return images.with_sources(sources)
    if images.sources is None:
        raise ValueError(
            "these images know of no sources: give a table, such as bj.find_sources(images) makes"
        )
    return images


def _draw_chart(ax: Axes, image: Image) -> None:
    """An image in grey, dark where it is bright."""
    panel.draw_light(ax, image, image.data, panel.stretch_of(image), colours=panel.CHART_COLOURS)


def _draw_sources(ax: Axes, image: Image, found: SourceStart) -> None:
    """Marks of the sources that lie on an image, and their names where there is room."""
    position, ellipticity = np.asarray(found.position), np.asarray(found.ellipticity)
    middles = image.pixel_map.pixel(position)
    shown = np.all((middles > -0.5) & (middles < np.array(image.shape[::-1]) - 0.5), axis=1)
    reach = np.zeros(len(found))
    for i in np.flatnonzero(shown):
        colour = _COLOURS[found.kinds[i]]
        if found.kinds[i] == "star":
            ax.plot(*middles[i], "x", color=colour, markersize=3.5, markeredgewidth=0.8)
            continue
        covariance = sky_ellipse(float(found.effective_radius[i]), ellipticity[i])
        ring = image.pixel_map.pixel(position[i] + (np.linalg.cholesky(covariance) @ _CIRCLE).T)
        reach[i] = np.max(np.hypot(*(ring - middles[i]).T))
        ax.plot(*ring.T, color=colour, linewidth=0.8)
    if panel.panel_width(ax) >= _LABELLED:
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        square = panel.panel_width(ax) ** 2 * (top - bottom) / (right - left)
        first = np.flatnonzero(shown)[: int(_NAMES * square)]
        _draw_names(ax, middles[first], reach[first], [found.names[i] for i in first])


def _draw_names(ax: Axes, middles: np.ndarray, reach: np.ndarray, names: list[str]) -> None:
    """Names beside marks, all in pixels."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    points = 72 * panel.panel_width(ax) / (right - left)
    corner, size = np.array([left, bottom]), panel.text_size(ax) - 1
    radii = points * reach + 0.4 * size
    extent = points * (right - left), points * (top - bottom)
    taken = [np.array(box) * np.tile(extent, 2) for box in panel.WRITTEN]
    places = place_labels(points * (middles - corner), radii, names, size, extent, taken)
    for place, name in zip(places / points + corner, names, strict=True):
        style = {"ha": "center", "va": "center", "size": size, "path_effects": panel.outline("black")}
        ax.text(place[0], place[1], name, **style)


def _draw_windows(ax: Axes, image: Image, found: SourceStart) -> None:
    """The windows' outlines, as the light of each source is cut."""
    middles, size = image.pixel_map.pixel(np.asarray(found.places)), np.array(image.shape[::-1])
    for middle, window in zip(middles, found.window, strict=True):
        side = image.window_lattices[window].size
        first = np.round(middle) - side // 2
        if side and np.all(first < size) and np.all(first + side > 0):
            square: dict[str, Any] = {"facecolor": "none", "edgecolor": PALETTE[window], "linewidth": 0.6}
            ax.add_patch(Rectangle(tuple(first - 0.5), side, side, **square))
    if whole := [
        width for width, own in zip(found.widths, image.window_lattices, strict=True) if not own.size
    ]:
        which = "all sources" if len(whole) == len(found.widths) else f'within {max(whole):.2g}"'
        panel.write(ax, 0.96, 0.96, f"{which}: whole image", "black", ha="right", va="top")


def _draw_legend(fig: Figure, entries: list[tuple[str, str, str]]) -> None:
    """Over all panels: words, colours and markers."""
    style = {"linestyle": "none", "markerfacecolor": "none", "markersize": 5}
    handles = [
        Line2D([], [], color=colour, marker=mark, label=words, **style) for words, colour, mark in entries
    ]
    fig.legend(handles=handles, loc="upper left", ncols=len(handles), borderaxespad=0.2, handletextpad=0.1)
