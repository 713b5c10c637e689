"""Components rendered on an image, or on all images of a set: parameters are spread over bands and images here."""

from __future__ import annotations

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
    leaves, treedef, _ = _leaves_for_stack(components, (0,), 1, (0,), per_image=False)
    return _render(image, leaves, treedef)


def render_stacks(images: ImageSet, *components: Any) -> tuple[jax.Array, ...]:
    """Model pixels of every stack of a set, each (images, ny, nx), nJy per pixel.

    A parameter with a leading axis of the number of bands is taken per band; of the number of images, per image.
    """
    pixels = []
    for stack, members in zip(images.stacks, images.members, strict=True):
        leaves, treedef, axes = _leaves_for_stack(components, images.band_index, len(images.bands), members)
        pixels.append(jax.vmap(lambda image, *x, t=treedef: _render(image, x, t), in_axes=(0, *axes))(stack, *leaves))
    return tuple(pixels)


def _render(image: Image, leaves, treedef) -> jax.Array:
    return render_pixels(image, jax.tree.unflatten(treedef, leaves))


def _leaves_for_stack(components, band_index, n_bands, members, per_image=True):
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
    return leaves, treedef, axes


def _which_axis(path, leaf, event: int, n_images: int, n_bands: int, per_image: bool) -> str:
    """Whether the leading axis of a parameter runs over images or bands (the same where both hold)."""
    if per_image and leaf.ndim == event + 1 and leaf.shape[0] in (n_images, n_bands):
        return "image" if leaf.shape[0] == n_images else "band"
    wanted = f"({n_bands},) for one value a band or ({n_images},) for one an image" if per_image else "()"
    if event:
        wanted = f"(2,), or {wanted} before it" if per_image else "(2,)"
    raise ValueError(f"component {path[0].idx}: {path[-1].name} has shape {leaf.shape}; wanted a scalar or {wanted}")
