"""Where panels lie on a page: a panel for each image, or three, at the width of a journal's page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesjoint.report.style import COLUMN_WIDTH, PAGE_WIDTH

BELOW = 0.3  # inches under a panel, for its colour bar
_GAP, _EDGE = 0.06, 0.05
ONE_BLOCK, TWO_BLOCKS = 4, 14  # rows of three: more images are laid out in more blocks side by side


def panel_grid(number: int, below: float = BELOW, above: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A figure of square panels in the order of reading: a column wide for one image, else as wide as a page.

    Parameters
    ----------
    number : int
        Of the panels.
    below, above : float
        Inches to leave under each panel, and over all of them.
    """
    columns = min(number, max(3, int(np.ceil(np.sqrt(number)))))
    rows = -(-number // columns)
    width = PAGE_WIDTH if number > 1 else COLUMN_WIDTH
    side = (width - 2 * _EDGE - (columns - 1) * _GAP) / columns
    height = above + 2 * _EDGE + rows * (side + below) + (rows - 1) * _GAP
    fig = Figure(figsize=(width, height))
    axes = []
    for i in range(number):
        row, column = divmod(i, columns)
        left = _EDGE + column * (side + _GAP)
        bottom = height - above - _EDGE - (row + 1) * side - row * (below + _GAP)
        axes.append(fig.add_axes((left / width, bottom / height, side / width, side / height), anchor="N"))
    return fig, axes


def own_or_new(
    number: int, axes: Iterable[Axes] | Axes | None, below: float = BELOW, above: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """The axes given, one for each of so many images, or those of a new figure.

    Raises
    ------
    ValueError
        For another number of axes than of images.
    """
    if axes is None:
        return panel_grid(number, below, above)
    own = list(np.ravel(np.array(axes, dtype=object)))
    if len(own) != number:
        raise ValueError(f"{len(own)} axes for {number} images: give one for each")
    return figure_of(own), own


def figure_of(axes: Sequence[Any]) -> Figure:
    """The figure that axes belong to."""
    figure = axes[0].get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def triple_grid(number: int, titles: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """A figure with three panels for each image, in one to three blocks, read down the left block first.

    Returns
    -------
    Figure, and array of Axes (number, 3)
    """
    blocks = 1 if number <= ONE_BLOCK else 2 if number <= TWO_BLOCKS else 3
    rows = -(-number // blocks)
    units = 3 * blocks + 0.3 * (blocks - 1)
    side = min((PAGE_WIDTH - 0.4) / units, 1.75)
    fig = Figure(figsize=(side * units + 0.45, side * rows + 0.55))
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
        for ax, title in zip(axes[i], titles, strict=True):
            ax.set_title(title, pad=3, size=8 if blocks < 3 else 6.5)
    return fig, axes
