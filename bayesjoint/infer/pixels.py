"""Model pixels of every image at one point of a program, with their chi-squared."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.space import Layout, Observed, Program, observe_mean, run_program
from bayesjoint.model.observe import PIXEL_SITE


@dataclass(frozen=True)
class PixelFit:
    """How one image is fitted: its model pixels (ny, nx) in nJy, chi-squared and number of weighted pixels."""

    name: str
    chi2: float
    pixels: int
    model: np.ndarray = field(repr=False)

    @property
    def chi2_per_pixel(self) -> float:
        """Chi-squared over the number of weighted pixels."""
        return self.chi2 / max(self.pixels, 1)


@partial(jax.jit, static_argnames=("program", "layout"))
def _observed(program: Program, layout: Layout, z, args: tuple) -> tuple[dict[str, Observed], dict[str, jax.Array]]:
    trace, _ = run_program(program, layout, z, args)
    observed = {n: observe_mean(s) for n, s in trace.items() if s["type"] == "sample" and s["is_observed"]}
    known = {name: site for name, site in observed.items() if site is not None}
    return known, {name: trace[name]["value"] for name in known}


def pixel_fits(program: Program, layout: Layout, z, images: Any, args: tuple) -> tuple[PixelFit, ...]:
    """Model pixels and chi-squared of every image, in the images' order.

    Observed sites of a program's own making are matched to images by their data; those that match none are listed
    under their own names.
    """
    known, data = jax.device_get(_observed(program, layout, jnp.asarray(z), args))
    originals = list(images.originals) if isinstance(images, ImageSet) else [images]
    originals = [image for image in originals if isinstance(image, Image)]
    found: dict[str, PixelFit] = {}
    for site, observed in known.items():
        for image, row in _rows(site, data[site], images, originals):
            ny, nx = image.shape
            mean, weight = observed.mean[row][..., :ny, :nx], observed.weight[row][..., :ny, :nx]
            chi2 = float(np.sum(weight * (data[site][row][..., :ny, :nx] - mean) ** 2))
            found[image.name] = PixelFit(image.name, chi2, int(np.sum(weight > 0)), mean)
    return tuple(found[image.name] for image in originals if image.name in found)


def _rows(site: str, data: np.ndarray, images: Any, originals: list[Image]) -> list[tuple[Image, Any]]:
    """The images in one observed site, each with its index there."""
    if isinstance(images, ImageSet):
        for stack, members in zip(images.stacks, images.members, strict=True):
            if site == f"{PIXEL_SITE}{stack.name}" and data.ndim == 3:
                return [(originals[i], row) for row, i in enumerate(members)]
    named = [image for image in originals if site == f"{PIXEL_SITE}{image.name}"]
    same = named or [i for i in originals if i.shape == data.shape and np.array_equal(i.data, data)]
    return [(image, ...) for image in same[:1]]
