"""Model pixels of every image at one point of a program, with their chi-squared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.goodness import Goodness, goodness
from bayesjoint.infer.observed import observe_mean, site_log_density
from bayesjoint.infer.residuals import independent_pixels, one_of, residuals
from bayesjoint.infer.space import Layout, Program, run_program
from bayesjoint.model.observe import PIXEL_SITE


@dataclass(frozen=True)
class PixelFit:
    """How one image is fitted: its model pixels and normalised residuals (ny, nx), chi-squared and pixels with weight.

    The residuals of noise that correlates are whitened.
    """

    name: str
    chi2: float
    pixels: int
    model: np.ndarray = field(repr=False)
    goodness: Goodness = field(repr=False)
    residual: np.ndarray = field(repr=False)

    @property
    def chi2_per_pixel(self) -> float:
        """Chi-squared over the number of weighted pixels."""
        return self.chi2 / max(self.pixels, 1)


def pixel_fits(means: Mapping[str, Any], noises: Mapping[str, Any], images: Any) -> tuple[PixelFit, ...]:
    """Model pixels and chi-squared of every image, in the images' order.

    Parameters
    ----------
    means : dict of array
        Model pixels of the observed sites.
    noises : dict of tuple of Noise
        The noise of those that `observe` made.
    images : ImageSet or Image

    Sites of a program's own making are matched to images by their shape, in order.
    """
    fitted = []
    for image, site, row in places_of(means, images):
        ny, nx = image.shape
        model = np.asarray(means[site][row])[..., :ny, :nx]
        noise = one_of(noises.get(site, ()), row)
        residual, widened = residuals(noise, *independent_pixels(image, model))
        own = residual, widened, image.whitening is not None
        measured = goodness(image.name, image.data, model, image.invvar, *own)
        chi2 = float(np.sum(residual**2))
        fitted.append(PixelFit(image.name, chi2, image.number_used, model, measured, residual))
    return tuple(fitted)


@partial(quick_jit, static_argnames=("program", "layout"))
def rendered(program: Program, layout: Layout, z, args: tuple) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The log posterior, and the model pixels of observed sites."""
    trace, log_determinant = run_program(program, layout, z, args)
    sites = {name: site for name, site in trace.items() if site["type"] == "sample"}
    means = {name: observe_mean(site).mean for name, site in sites.items() if site["is_observed"]}  # type: ignore[union-attr]
    return log_determinant + sum(site_log_density(site) for site in sites.values()), means


class Place(NamedTuple):
    """Where an image is observed: the site, and its row there (all of it where the site is a single image)."""

    image: Image
    site: str
    row: Any


def places_of(means: Mapping[str, Any], images: Any) -> list[Place]:
    """The observed site of each image, in the images' order; of those that have one. Arguments as in `pixel_fits`."""
    originals = list(images.originals) if isinstance(images, ImageSet) else [images]
    waiting = [image for image in originals if isinstance(image, Image)]
    found: dict[str, Place] = {}
    # those that `observe` made first: they say which image is theirs, others only what shape it has
    for site, mean in sorted(means.items(), key=lambda pair: PIXEL_SITE not in pair[0]):
        for image, row in _rows(site, np.asarray(mean), images, waiting):
            found[image.name] = Place(image, site, row)
            waiting.remove(image)
    return [found[image.name] for image in originals if isinstance(image, Image) and image.name in found]


def _rows(site: str, mean: np.ndarray, images: Any, waiting: list[Image]) -> list[tuple[Image, Any]]:
    """The images in one observed site, each with its index there."""
    if isinstance(images, ImageSet):
        for stack, members in zip(images.stacks, images.members, strict=True):
            if site.endswith(f"{PIXEL_SITE}{stack.name}") and mean.ndim == 3:
                return [(images.originals[i], row) for row, i in enumerate(members)]
    named = [image for image in waiting if site.endswith(f"{PIXEL_SITE}{image.name}")]
    if named:
        return [(named[0], 0 if mean.ndim == 3 else ...)]
    return [(image, ...) for image in waiting if image.shape == mean.shape][:1]
