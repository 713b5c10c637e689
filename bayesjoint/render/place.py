"""What every component is on every image, before there are pixels: where it falls, its shape there, its smooth part.

All of it is small and none of it depends on the number of pixels, so it is written for one image and mapped over
all images of a set at once, whatever their sizes: programs stay small however many images they join.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bayesjoint.data.frame import PixelMap
from bayesjoint.data.image import Image
from bayesjoint.light.profile import Profile
from bayesjoint.light.sky import FlatSky
from bayesjoint.render.lattice import Grid, smooth_part


class Frame(NamedTuple):
    """The geometry of one image; of all images of a set where its arrays have a leading axis.

    Attributes
    ----------
    pixel_map : PixelMap
    pixel_area : array ()
        arcsec^2.
    psf_covariance : array (2, 2)
        Of the effective PSF's core, pixels^2.
    size, padded : array (2,)
        Pixels along x and y, of the image and of its Fourier lattice.
    """

    pixel_map: PixelMap
    pixel_area: Any
    psf_covariance: Any
    size: Any
    padded: Any


class Place(NamedTuple):
    """A source on one image.

    Attributes
    ----------
    flux : array ()
        What the spectrum draws, nJy: 0 for a source well outside the image.
    position : array (2,)
        Pixels (x, y).
    axes : array (2, 2) or None
        The semi-axes, the unit vectors of its form, as rows, pixels; None for a point.
    shape : array (parameters,) or None
        What else its transform depends on.
    smooth : array (nodes, nodes) or None
        What to add to the spectrum's pixels, nJy per pixel on the nodes of a `Grid`; None for a point.
    """

    flux: Any
    position: Any
    axes: Any = None
    shape: Any = None
    smooth: Any = None


class Scene(NamedTuple):
    """All components on one image: the sky, nJy per pixel, and the sources."""

    level: Any
    sources: tuple[Place, ...]


def frames_of(stacks: Sequence[Image]) -> Frame:
    """The frames of all images of all stacks, one after the other."""

    def of_stack(stack: Image) -> Frame:
        count = stack.invvar.shape[0]
        dtype = jnp.result_type(stack.invvar)
        size, padded = (
            jnp.broadcast_to(jnp.asarray(n[::-1], dtype), (count, 2)) for n in (stack.shape, stack.fft_shape)
        )
        return Frame(stack.pixel_map, stack.pixel_area, stack.psf_covariance, size, padded)

    return jax.tree.map(lambda *each: jnp.concatenate(each), *map(of_stack, stacks))


def place(frame: Frame, components: tuple) -> tuple[Scene, tuple[Grid | None, ...]]:
    """The components, with scalar parameters, on one image; and the nodes of their smooth parts.

    The nodes follow the sources but are no function of the parameters as far as derivatives go.
    """
    level, sources, grids = jnp.zeros_like(frame.pixel_area), [], []
    for component in components:
        if isinstance(component, FlatSky):
            level = level + component.level * frame.pixel_area
            continue
        position, jacobian = frame.pixel_map.linearise(component.centre)
        inside = _is_inside(position, frame)
        drawn = Place(jnp.where(inside, component.flux, 0.0), position)
        grid = None
        if isinstance(component, Profile):
            axes = jnp.matmul(component.axes, jacobian.T, precision="highest")
            brightness, grid = smooth_part(component, frame, position, axes, inside)
            determinant = jacobian[0, 0] * jacobian[1, 1] - jacobian[0, 1] * jacobian[1, 0]
            smooth = brightness / jnp.abs(determinant)
            drawn = drawn._replace(axes=axes, shape=component.shape_values, smooth=smooth)
        sources.append(drawn)
        grids.append(grid)
    return Scene(level, tuple(sources)), tuple(grids)


def _is_inside(position, frame: Frame) -> jax.Array:
    """Whether the source's nearest periodic copy stays clear of the image: within half the padding of its edges."""
    margin = (frame.padded - frame.size) / 2
    return jnp.all((position > -margin) & (position < frame.size - 1 + margin))
