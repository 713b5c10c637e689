"""Images beside the pixels of a model of theirs: what figures are drawn of, whatever the model was found by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.report.results import Results

Model = MapFit | Results | Sequence[np.ndarray]


class FittedPixels(NamedTuple):
    """An image with its model pixels (ny, nx), nJy, and residuals (ny, nx) that scatter by 1 where the model is right."""

    image: Image
    model: np.ndarray
    residual: np.ndarray


def as_images(images: Image | Iterable[Image]) -> list[Image]:
    """One image, or several, as a list."""
    return [images] if isinstance(images, Image) else list(images)


def fitted_pixels(images: Image | Iterable[Image], model: Model) -> list[FittedPixels]:
    """The model's pixels of each image.

    Parameters
    ----------
    images : Image, or sequence of Image
        Those that were fitted, or some of them, by name.
    model : MapFit, Posterior, or sequence of array (ny, nx)
        Arrays, nJy, are one for each image.

    Raises
    ------
    ValueError
        For images that the model does not know, and arrays that fit no image.
    """
    chosen = as_images(images)
    if isinstance(model, MapFit):
        known = {fit.name: (fit.model, fit.residual) for fit in model.images}
    elif isinstance(model, Results):
        pixels = model.model_images(), model.residual_images()
        known = dict(zip(model.image_names, zip(*pixels, strict=True), strict=True))
    else:
        known = _of_arrays(chosen, list(model))
    if unknown := [image.name for image in chosen if image.name not in known]:
        raise ValueError(
            f"the model knows no image {unknown[0]!r}: give images it was fitted to, of {', '.join(known)}"
        )
    return [FittedPixels(image, *map(np.asarray, known[image.name])) for image in chosen]


def _of_arrays(images: Sequence[Image], models: list[np.ndarray]) -> dict[str, tuple]:
    if len(models) != len(images):
        raise ValueError(
            f"{len(images)} images but {len(models)} models: give one array of model pixels per image"
        )
    known = {}
    for image, pixels in zip(images, models, strict=True):
        pixels = np.asarray(pixels, dtype=float)
        if pixels.shape != image.shape:
            raise ValueError(
                f"the model of image {image.name!r} has shape {pixels.shape}, its data {image.shape}: give one array of "
                "model pixels per image, in the images' order"
            )
        known[image.name] = pixels, (image.data - pixels) * np.sqrt(image.invvar)
    return known
