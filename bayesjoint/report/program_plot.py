"""The figure of a program: its latents in the plates they are drawn in, and what of the images depends on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from bayesjoint.infer.sites import Site, sites_of
from bayesjoint.infer.space import Program
from bayesjoint.report.panel_grid import figure_of
from bayesjoint.report.style import PAGE_WIDTH, PALETTE, paper_style

_LINE, _LETTER, _MARGIN = 0.155, 0.056, 0.08  # inches
_BETWEEN, _ABOVE = 0.16, 0.42  # boxes, rows of boxes: inches
_SHOWN = 9  # names of images in a box
_LATENT, _OBSERVED = PALETTE[0], "#555555"


@dataclass
class _Box:
    """Sites drawn together: those of the same plates as many steps from the images."""

    title: str
    lines: list[str]
    names: tuple[str, ...]
    parents: frozenset[str]
    is_observed: bool
    left: float = 0.0
    top: float = 0.0

    @property
    def width(self) -> float:
        return _LETTER * max(len(line) for line in (self.title, *self.lines)) + 2 * _MARGIN

    @property
    def height(self) -> float:
        return _LINE * (len(self.lines) + bool(self.title)) + _MARGIN


def plot_program(program: Program, images: Any, *more: Any, axes: Axes | None = None) -> Figure:
    """A program's latents and the images it observes, with an arrow wherever one depends on another.

    A box holds the latents of one plate, which says how many there are of each; deterministic sites are passed through.
    Nothing is computed, and graphviz is not needed; for a graph with a node for each site see `numpyro.render_model`.

    Parameters
    ----------
    program : function
        A NumPyro program of `images` (and of `more` arguments).
    images : ImageSet or Image
    *more
        Further arguments of the program.
    axes : Axes, optional
        Where to draw.

    Returns
    -------
    Figure
    """
    rows = _rows(sites_of(program, images, more))
    width, height = _place(rows)
    with paper_style():
        ax = Figure(figsize=(width, height)).add_axes((0, 0, 1, 1)) if axes is None else axes
        ax.set(xlim=(0, width), ylim=(-height, 0), aspect="equal")
        ax.set_axis_off()
        boxes = [box for row in rows for box in row]
        for i, box in enumerate(boxes):
            for other in boxes[i + 1 :]:
                if other.parents & set(box.names):
                    _draw_arrow(ax, box, other)
        for box in boxes:
            _draw_box(ax, box)
    return figure_of([ax])


def _rows(sites: Sequence[Site]) -> list[list[_Box]]:
    """Boxes in rows: latents right above the first that depends on them, images last; rows no wider than a page."""
    height: dict[str, int] = {}
    for site in reversed(sites):
        own = height.setdefault(site.name, 0 if site.is_observed else 1)
        for parent in site.parents:
            height[parent] = max(height.get(parent, 1), own + 1)
    groups: dict[Any, list[Site]] = {}
    for site in sites:
        kind = frozenset(site.parents) if site.is_observed else site.plates
        groups.setdefault((-height[site.name], kind), []).append(site)
    rows: list[list[_Box]] = []
    for level in sorted({key[0] for key in groups}):
        row: list[_Box] = []
        for box in (_box(group) for key, group in groups.items() if key[0] == level):
            if row and sum(b.width + _BETWEEN for b in (*row, box)) > PAGE_WIDTH:
                rows.append(row)
                row = []
            row.append(box)
        rows.append(row)
    return rows


def _box(sites: Sequence[Site]) -> _Box:
    names = tuple(site.name for site in sites)
    parents = frozenset(parent for site in sites for parent in site.parents)
    if not sites[0].is_observed:
        plates = sites[0].plates
        title = f"{' × '.join(name for name, _ in plates)}: {' × '.join(str(size) for _, size in plates)}"
        lines = [f"{site.name} ~ {site.family}" for site in sites]
        return _Box(title if plates else "", lines, names, parents, False)
    lines = [f"{site.name} ~ {site.family}" for site in sites if not site.images]
    images = [image for site in sites for image in site.images]
    if images:
        shown = images if len(images) <= _SHOWN else [*images[: _SHOWN - 1], "…", images[-1]]
        families = dict.fromkeys(site.family for site in sites if site.images)
        word = "images" if len(images) > 1 else "image"
        lines = [f"{len(images)} {word} ~ {', '.join(families)}", ", ".join(shown), *lines]
    return _Box("observed", lines, names, parents, True)


def _place(rows: Sequence[Sequence[_Box]]) -> tuple[float, float]:
    """Give each box its place, inches from the upper left corner; the size of all."""
    widths = [sum(box.width for box in row) + _BETWEEN * (len(row) - 1) for row in rows]
    width, top = max(widths) + 2 * _BETWEEN, -_BETWEEN
    for row, own in zip(rows, widths, strict=True):
        left = (width - own) / 2
        for box in row:
            box.left, box.top = left, top
            left += box.width + _BETWEEN
        top -= max(box.height for box in row) + _ABOVE
    return width, -top - _ABOVE + _BETWEEN


def _draw_box(ax: Axes, box: _Box) -> None:
    ink = _OBSERVED if box.is_observed else _LATENT
    corner = box.left, box.top - box.height
    fill: dict[str, Any] = {"facecolor": "#eeeeee" if box.is_observed else "white", "edgecolor": ink}
    shape = "round,pad=0,rounding_size=0.06"
    ax.add_patch(FancyBboxPatch(corner, box.width, box.height, boxstyle=shape, linewidth=0.9, **fill))
    y = box.top - _MARGIN / 2
    if box.title:
        ax.text(box.left + _MARGIN, y, box.title, size=6.5, color=ink, va="top", style="italic")
        y -= _LINE
    for line in box.lines:
        ax.text(box.left + _MARGIN, y, line, size=7, va="top")
        y -= _LINE


def _draw_arrow(ax: Axes, box: _Box, other: _Box) -> None:
    """From the foot of a box to the head of one that depends on it, aimed at where that lies."""
    foot = box.left + box.width / 2, box.top - box.height
    head = other.left + other.width * min(max((foot[0] - other.left) / other.width, 0.1), 0.9), other.top
    style = {"arrowstyle": "-|>,head_width=0.2,head_length=0.35", "color": "0.45", "linewidth": 0.8}
    ax.annotate("", head, foot, arrowprops=style | {"shrinkA": 0, "shrinkB": 0}, zorder=0)
