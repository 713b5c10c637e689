"""What an image's WCS and zero point may be off by: an offset, a rotation, a scale of flux."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.checks import take_numbers
from bayesjoint.light.pytree import parameters_are


@parameters_are("offset", "rotation", "flux_scale", static=())
@dataclass(frozen=True, eq=False)
class Registration:
    """Corrections to images, given to `observe` or `render` among the components: all sources are drawn with them.

    Each may carry a leading axis over the images of the set, as the corrections of images do.

    Parameters
    ----------
    offset : array (2,)
        Arcsec East and North from where a source is to where the image's WCS would put what it shows.
    rotation : float
        Degrees from North to East by which the image shows the sky turned, about the image's centre.
    flux_scale : float
        Flux in the image over true flux; the skies know none of it.

    Examples
    --------
    >>> Registration(offset=(0.05, -0.02), flux_scale=1.01).rotation
    0.0
    """

    offset: Any = (0.0, 0.0)
    rotation: Any = 0.0
    flux_scale: Any = 1.0

    amplitude: ClassVar[str] = ""
    events: ClassVar[Mapping[str, int]] = {"offset": 1}

    def __post_init__(self):
        take_numbers(self, offset="arcsec", rotation="deg", flux_scale="")

    def turn(self) -> jax.Array:
        """The rotation as a matrix (2, 2) on (east, north)."""
        angle = jnp.deg2rad(self.rotation)
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        return jnp.stack([cosine, sine, -sine, cosine]).reshape(2, 2)

    def move(self, centre, about) -> jax.Array:
        """Where a source at `centre` (2,) is seen, in an image whose centre is `about`; arcsec."""
        return about + jnp.matmul(self.turn(), centre - about, precision="highest") + self.offset
