"""Which site or image of a program has no finite log density, in words."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.observed import is_rendered
from bayesjoint.infer.space import Layout, Program, prior_and_light, run_program
from bayesjoint.model.observe import PIXEL_SITE


def blame(program: Program, layout: Layout, z, args: tuple) -> str:
    """Which sites and images have a log density at z that is not finite, or that light is out of its range."""
    densities, ranges = jax.device_get(_densities(program, layout, z, args))
    if not all(np.isfinite(ranges)):
        return "a parameter of the light lies outside the range of its profile"
    found = []
    for name, (density, is_pixels) in densities.items():
        wrong = ~np.isfinite(np.atleast_1d(density))
        if wrong.any() and is_pixels:
            found += [f"image {image!r} has no finite density" for image in _images_of(name, args, wrong)]
        elif wrong.any():
            found.append(f"site {name!r} has {np.atleast_1d(density)[wrong][0]}")
    return "; ".join(found)


@partial(quick_jit, static_argnames=("program", "layout"))
def _densities(program: Program, layout: Layout, z, args: tuple) -> tuple[dict, list]:
    """Log density of each site, by element or image, with whether it is of images' pixels; and of each light's range."""
    trace, _ = run_program(program, layout, z, args)
    _, lights, _ = prior_and_light(program, layout, z, args)
    sites = {name: site for name, site in trace.items() if site["type"] == "sample"}
    densities = {
        name: (site["fn"].log_prob(site["value"]), is_rendered(site)) for name, site in sites.items()
    }
    return densities, [light.log_range() for _, light in lights]


def _images_of(site: str, args: tuple, rows: np.ndarray) -> list[str]:
    """Names of the images that are these rows of a site of pixels."""
    for images in args:
        for stack, members in zip(*_stacks(images), strict=True):
            if site.endswith(f"{PIXEL_SITE}{stack.name}") and len(members) == len(rows):
                return [images.names[i] for i, row in zip(members, rows, strict=True) if row]
    return [site.rpartition(PIXEL_SITE)[2]]


def _stacks(images: Any) -> tuple:
    return (images.stacks, images.members) if isinstance(images, ImageSet) else ((), ())
