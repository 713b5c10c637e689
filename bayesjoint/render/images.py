"""Components rendered on an image, or on all images of a set: parameters are spread over bands and images here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.render.spectral import render_pixels


def render(image: Image, *components: Any) -> jax.Array:
    """Model pixels of an image.

    Parameters
    ----------
    image : Image
    *components : Sersic, PointSource or FlatSky
        With scalar parameters.

    Returns
    -------
    array (ny, nx)
        nJy per pixel, PSF and pixel included.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.wcs import WCS
    >>> from bayesjoint.data.psf import gaussian_psf
    >>> from bayesjoint.light.point import PointSource
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    >>> wcs.wcs.crpix, wcs.wcs.cdelt = [16.5, 16.5], [-0.2 / 3600, 0.2 / 3600]
    >>> image = Image(np.zeros((32, 32)), wcs=wcs, zeropoint=31.4, psf=gaussian_psf(0.8), invvar=np.ones((32, 32)))
    >>> pixels = render(image, PointSource((0.0, 0.0), flux=100.0))
    >>> print(pixels.shape, f"{pixels.sum():.3f}")
    (32, 32) 100.000
    """
    return _render_compiled(light_on_image(image, *components))[0]


@partial(jax.tree_util.register_dataclass, data_fields=["images", "leaves"], meta_fields=["treedef", "axes"])
@dataclass(frozen=True, eq=False)
class Light:
    """Components with their parameters spread over the images of one stack, not yet rendered.

    Attributes
    ----------
    images : Image
        Stacked: its arrays have a leading axis.
    leaves : list of array
        The components' parameters; `axes` says of each whether its leading axis (0) runs over the images (None: shared).
    treedef : PyTreeDef
        What makes components of the leaves.
    """

    images: Image
    leaves: list[jax.Array]
    treedef: Any
    axes: tuple[int | None, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Images, ny, nx."""
        return (self.images.invvar.shape[0], *self.images.shape)

    def parameters(self) -> jax.Array:
        """All parameters of each image, flattened: (images, parameters)."""
        count = self.shape[0]
        each = [
            leaf if axis == 0 else jnp.broadcast_to(leaf, (count, *leaf.shape))
            for leaf, axis in self._pairs()
        ]
        return jnp.concatenate([leaf.reshape(count, -1) for leaf in each], axis=1)

    def render_one(self, image: Image, parameters) -> jax.Array:
        """Pixels (ny, nx) of one image of the stack from its row of `parameters`."""
        shapes = [leaf.shape[1:] if axis == 0 else leaf.shape for leaf, axis in self._pairs()]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        pieces = jnp.split(parameters, ends)
        leaves = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]
        return render_pixels(image, jax.tree.unflatten(self.treedef, leaves))

    def _pairs(self):
        return zip(self.leaves, self.axes, strict=True)


def render_light(light: Light) -> jax.Array:
    """Model pixels (images, ny, nx) of a stack, nJy."""

    def one(image, *leaves):
        return render_pixels(image, jax.tree.unflatten(light.treedef, leaves))

    return jax.vmap(one, in_axes=(0, *light.axes))(light.images, *light.leaves)


_render_compiled = jax.jit(render_light)


def light_on_image(image: Image, *components: Any) -> Light:
    """Components with scalar parameters on a single image, as a stack of one."""
    leaves, treedef, axes = _spread(components, (0,), 1, (0,), per_image=False)
    return Light(jax.tree.map(lambda a: jnp.asarray(a)[None], image), leaves, treedef, axes)


def light_on_stacks(images: ImageSet, *components: Any) -> tuple[Light, ...]:
    """Components on every stack of a set.

    A parameter with a leading axis of the number of bands is taken per band; of the number of images, per image.
    """
    return tuple(
        Light(stack, *_spread(components, images.band_index, len(images.bands), members))
        for stack, members in zip(images.stacks, images.members, strict=True)
    )


def _spread(components, band_index, n_bands, members, per_image=True):
    """Parameters of the components for the images of one stack, and the axis (0 or None) of each that runs over them."""
    paths, treedef = jax.tree_util.tree_flatten_with_path(components)
    leaves, axes = [], []
    for path, leaf in paths:
        leaf = jnp.asarray(leaf, jnp.result_type(float))
        event = 1 if path[-1].name == "centre" else 0
        if leaf.ndim == event:
            leaves.append(leaf)
            axes.append(None)
            continue
        which = _which_axis(path, leaf, event, len(band_index), n_bands, per_image)
        rows = members if which == "image" else [band_index[i] for i in members]
        leaves.append(leaf[np.asarray(rows)])
        axes.append(0)
    return leaves, treedef, tuple(axes)


def _which_axis(path, leaf, event: int, n_images: int, n_bands: int, per_image: bool) -> str:
    """Whether the leading axis of a parameter runs over images or bands (the same where both hold)."""
    if per_image and leaf.ndim == event + 1 and leaf.shape[0] in (n_images, n_bands):
        return "image" if leaf.shape[0] == n_images else "band"
    wanted = f"({n_bands},) for one value a band or ({n_images},) for one an image" if per_image else "()"
    if event:
        wanted = f"(2,), or {wanted} before it" if per_image else "(2,)"
    raise ValueError(
        f"component {path[0].idx}: {path[-1].name} has shape {leaf.shape}; wanted a scalar or {wanted}"
    )
