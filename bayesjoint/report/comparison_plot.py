"""The figure of a comparison: where in each image one model predicts better than the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.figure import Figure

from bayesjoint.data.image import Image
from bayesjoint.report.image_panel import draw_scale_bar
from bayesjoint.report.style import MASKED_COLOUR, PAGE_WIDTH, paper_style

if TYPE_CHECKING:
    from bayesjoint.report.comparison import Comparison

_COLUMNS = 5
_COLOURS = "PuOr"


def plot_comparison(found: Comparison, a: str | None = None, b: str | None = None) -> Figure:
    """Difference in elpd of each block of pixels: model a minus model b, image by image, with the sum over each image.

    Parameters
    ----------
    found : Comparison
    a, b : str, optional
        Two of the models; by default the best and the next.

    Raises
    ------
    ValueError
        For a model that was not compared.
    """
    a, b = a or found.best, b or next(name for name in found.names if name != (a or found.best))
    if missing := [name for name in (a, b) if name not in found.names]:
        raise ValueError(f"no model {missing[0]!r} was compared: there are {', '.join(found.names)}")
    loo = found.models[a]
    each = found.pointwise(a, b)
    most = float(np.max(np.abs(each)))
    # linear up to one in elpd: a single block there says nothing
    norm = SymLogNorm(1.0, vmin=-most, vmax=most) if most > 3 else Normalize(-most, most)
    columns = min(_COLUMNS, len(loo.names))
    rows = -(-len(loo.names) // columns)
    with paper_style():
        side = min((PAGE_WIDTH - 0.75) / columns, 2.2)
        fig = Figure(figsize=(side * columns + 0.75, (side + 0.22) * rows + 0.3), layout="constrained")
        axes = list(np.atleast_1d(fig.subplots(rows, columns)).ravel())
        parts = zip(axes, loo.names, loo.images, loo.labels, loo.of_images(each), strict=False)
        for ax, name, image, labels, own in parts:
            _map(ax, image, labels, own, norm)
            ax.set_title(f"{name}: {own.sum():+.1f} $\\pm$ {np.sqrt(own.size * np.var(own)):.1f}", pad=3)
        for ax in axes[len(loo.names) :]:
            ax.remove()
        shown = ScalarMappable(norm, colormaps[_COLOURS])
        bar = fig.colorbar(shown, ax=axes[: len(loo.names)], aspect=30, pad=0.02)
        bar.set_label(f"elpd of a block: {a} $-$ {b}")
        bar.ax.minorticks_off()
    return fig


def _map(ax: Axes, image: Image, labels: np.ndarray, values: np.ndarray, norm: Normalize) -> None:
    colours = colormaps[_COLOURS].with_extremes(bad=MASKED_COLOUR)
    pixels = np.ma.array(values[labels], mask=labels < 0)
    ax.imshow(pixels, norm=norm, cmap=colours, origin="lower", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    draw_scale_bar(ax, image, "black")
