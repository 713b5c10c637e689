"""The pixels of some of a program's sources alone, PSF and all, as one image sees them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.isophotes import components_on, profiles_among
from bayesjoint.infer.space import Layout, Program, prior_and_light
from bayesjoint.light.noise import Noise
from bayesjoint.light.sky import Sky
from bayesjoint.render.images import light_on_image, render_light
from bayesjoint.render.place import is_source


class SourcePixels(NamedTuple):
    """Of one draw: pixels (ny, nx) of the sources and of all else, nJy, and the first source's centre, q and pa."""

    own: Any
    rest: Any
    centre: Any
    q: Any
    pa: Any


def source_pixels(
    program: Program, layout: Layout, z: np.ndarray, args: tuple, image: str, sources: Sequence[str]
) -> SourcePixels:
    """What some sources, and all others with the sky, leave on an image, at z (P,).

    Raises
    ------
    ValueError
        For sources that the program does not have, and those that are points.
    """
    return jax.device_get(_pixels(program, layout, jnp.asarray(z), args, image, tuple(sources)))


@partial(quick_jit, static_argnames=("program", "layout", "image", "sources"))
def _pixels(program: Program, layout: Layout, z, args: tuple, image: str, sources: tuple) -> SourcePixels:
    images = args[0]
    _, lights, _ = prior_and_light(program, layout, z, args)
    components = components_on(images, lights, image)
    profiles = profiles_among(images, components, sources)
    effects = [c for c in components if not is_source(c) and not isinstance(c, Sky | Noise)]
    light = [c for c in components if not isinstance(c, Noise)]
    own = _drawn(images[image], *profiles, *effects)
    first = profiles[0]
    major, minor = first.axes  # which every profile has, whatever its parameters are
    q, pa = jnp.linalg.norm(minor) / jnp.linalg.norm(major), jnp.degrees(jnp.arctan2(major[0], major[1]))
    return SourcePixels(own, _drawn(images[image], *light) - own, first.centre, q, pa)


def _drawn(image: Any, *components: Any) -> jax.Array:
    return render_light(light_on_image(image, *components))[0][0]
