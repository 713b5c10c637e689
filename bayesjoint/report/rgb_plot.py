"""The figure of colours: three images as one composite, beside that of their model and of the residuals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bayesjoint.data.image import Image
from bayesjoint.report import image_panel as panel
from bayesjoint.report.fitted_pixels import Model, as_images, fitted_pixels
from bayesjoint.report.panel_grid import own_or_new
from bayesjoint.report.rgb import Composite
from bayesjoint.report.style import MASKED_COLOUR, paper_style

_INKS = ("#ff7070", "#70ff70", "#80a0ff")
_TITLE = 0.18  # inches over the panels


def plot_rgb(
    images: Iterable[Image],
    bands: Sequence[str],
    model: Model | None = None,
    *,
    axes: Iterable[Axes] | Axes | None = None,
) -> Figure:
    """Three images as one colour composite; with a model, beside the model's and that of the residuals.

    They are sampled at the pixels of the finest of them, for the eye only: nothing is measured on what is resampled.
    White is the colour of all their light together. Residuals are in sigma, from -5 (dark) to 5 (bright) in each colour,
    grey where there are none. Pixels that one of the images lacks are light grey, white among residuals.

    Parameters
    ----------
    images : sequence of Image
    bands : (red, green, blue)
        Names of images, or bands, of which the first image is taken.
    model : MapFit, Posterior, or sequence of array (ny, nx), optional
        As in `plot_images`.
    axes : Axes, or array of three, optional
        Where to draw.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        For bands that are not there, or not three.
    """
    every = as_images(images)
    chosen = [every[i] for i in _three(every, bands)]
    data = [image.data for image in chosen]
    if model is None:
        composite = Composite(chosen)
        drawn = [("", composite.light(data))]
    else:
        fitted = fitted_pixels(every, model)
        three = [next(one for one in fitted if one.image is image) for image in chosen]
        skies = [float(np.quantile(one.model, 0.05)) for one in three]
        composite = Composite(chosen, skies)
        drawn = [
            ("data", composite.light(data)),
            ("model", composite.light([one.model for one in three])),
            ("residual", composite.residual([one.residual for one in three])),
        ]
    with paper_style():
        fig, panels = own_or_new(len(drawn), axes, below=0.0, above=_TITLE if model is not None else 0.0)
        for ax, (title, colours) in zip(panels, drawn, strict=True):
            _draw(ax, composite.reference, colours, "white" if title == "residual" else MASKED_COLOUR)
            ax.set_title(title, pad=3)
        _draw_names(panels[0], chosen)
        panel.draw_scale_bar(panels[0], composite.reference)
        panel.draw_compass(panels[0], composite.reference)
    return fig


def _three(images: Sequence[Image], bands: Sequence[str]) -> list[int]:
    """The numbers of the images that are red, green and blue."""
    if isinstance(bands, str) or len(bands) != 3:
        raise ValueError(
            f'bands must name three images or bands, as ("z", "r", "g") for red, green, blue; got {bands!r}'
        )
    found = []
    for band in bands:
        own = [i for i, image in enumerate(images) if image.name == band]
        own += [i for i, image in enumerate(images) if image.band == band]
        if not own:
            names = dict.fromkeys([*(i.name for i in images), *(i.band for i in images)])
            raise ValueError(f"no image or band is called {band!r}: there are {', '.join(names)}")
        found.append(own[0])
    return found


def _draw(ax: Axes, reference: Image, colours: np.ndarray, missing: str) -> None:
    shown = np.where(np.isfinite(colours), colours, to_rgb(missing))
    ax.imshow(shown, origin="lower", interpolation="nearest")
    ax.set(xticks=[], yticks=[])


def _draw_names(ax: Axes, images: Sequence[Image]) -> None:
    """The three bands, each in its colour."""
    size = panel.text_size(ax)
    for i, (image, ink) in enumerate(zip(images, _INKS, strict=True)):
        line = 1.35 * size / 72 / panel.panel_width(ax)
        style = {"color": ink, "size": size, "weight": "bold", "va": "top"}
        panel.write(ax, 0.04, 0.96 - i * line, image.band, **style)
