"""What an image's description may be off by, and how a program's model pixels move with it.

The program is not changed: it renders images whose PSF, place or zero point are told a little differently, and the
difference of the pixels is a direction in which the data may depart from the model. So it holds for any program and any PSF,
sampled finely or not, and for sources in windows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.data.image import Image
from bayesjoint.data.transfer import widening
from bayesjoint.infer.observed import observe_mean
from bayesjoint.infer.pixels import Place
from bayesjoint.infer.space import Layout, Program, run_program
from bayesjoint.light.sky import ARCSEC_PER_ARCMIN

DIRECTIONS = (
    "PSF width",
    "offset East",
    "offset North",
    "sky slope East",
    "sky slope North",
    "flux scale",
)
_STEP = 1e-3


def directions(
    program: Program, layout: Layout, z: Any, args: tuple, places: Sequence[Place]
) -> dict[str, np.ndarray]:
    """How the model pixels of each observed site move with what its images are told to be, at z (P,).

    Parameters
    ----------
    args : tuple
        The images first.
    places : sequence of Place
        Where each image is observed.

    Returns
    -------
    dict of array (images, 6, ny, nx)
        In the order of `DIRECTIONS`: nJy per pixel for a PSF or a flux larger by its own size (1 is 100 %), for sources one
        arcsec to the East or North, and for a sky that rises by 1 nJy/arcsec^2 an arcmin.
    """
    images, *more = args

    def pixels(change: Callable[[Image, Any], Image], step: float) -> dict[str, np.ndarray]:
        return jax.device_get(model_pixels(program, layout, z, (_changed(change, step, images), *more)))

    def slopes(change: Callable[[Image, Any], Image], low: float, high: float) -> dict[str, np.ndarray]:
        ends = pixels(change, low), pixels(change, high)
        return {site: (ends[1][site] - ends[0][site]) / (high - low) for site in ends[0]}

    brighter = slopes(_brighter, 0.0, 1.0)
    wider = slopes(_wider, 0.0, 1.0)
    east, north = (slopes(change, -_STEP, _STEP) for change in (_to_the_east, _to_the_north))
    found = {}
    for site, mean in brighter.items():
        ny, nx = mean.shape[-2:]
        each = [part[site].reshape(-1, ny, nx) for part in (wider, east, north, brighter)]
        each[3:3] = [np.zeros_like(each[0])] * 2
        found[site] = np.stack(each, axis=1)
    for image, site, row in places:
        ny, nx = image.shape
        found[site][row if isinstance(row, int) else 0, 3:5, :ny, :nx] = _sky_slopes(image)
    return found


@partial(quick_jit, static_argnames=("program", "layout"))
def model_pixels(program: Program, layout: Layout, z, args: tuple) -> dict[str, jax.Array]:
    """Model pixels of the observed sites at z (P,), of those whose noise is about a mean."""
    trace, _ = run_program(program, layout, z, args)
    observed = {n: s for n, s in trace.items() if s["type"] == "sample" and s["is_observed"]}
    found = {name: observe_mean(site) for name, site in observed.items()}
    return {name: one.mean for name, one in found.items() if one is not None and one.mean.ndim >= 2}


def _is_image(part: Any) -> bool:
    return isinstance(part, Image)


@partial(quick_jit, static_argnames="change")
def _changed(change: Callable[[Image, Any], Image], step, images: Any) -> Any:
    """Images, alone or in stacks, each told differently."""

    def of_part(part: Any) -> Any:
        if not _is_image(part):
            return part
        if jnp.ndim(part.centre) == 2:
            return jax.vmap(lambda one: change(one, step))(part)
        return change(part, step)

    return jax.tree.map(of_part, images, is_leaf=_is_image)


def _with(image: Image, **arrays: Any) -> Image:
    new = copy.copy(image)
    vars(new).update(arrays)
    return new


def _wider(image: Image, step) -> Image:
    """With a PSF wider by `step` of its width: to first order, in which the pixels are linear."""
    windows = tuple(
        window + step * widening(window, lattice.fft_shape, lattice.orders) if lattice.size else window
        for window, lattice in zip(image.windows, image.window_lattices, strict=True)
    )
    wide = widening(image.transfer, image.fft_shape, image.orders)
    return _with(image, transfer=image.transfer + step * wide, windows=windows)


def _brighter(image: Image, step) -> Image:
    """With all sources, but not the sky, brighter by `step` of their flux."""
    windows = tuple((1 + step) * window for window in image.windows)
    return _with(image, transfer=(1 + step) * image.transfer, windows=windows)


def _to_the_east(image: Image, step) -> Image:
    return _moved(image, step, 0)


def _to_the_north(image: Image, step) -> Image:
    return _moved(image, step, 1)


def _moved(image: Image, step, axis: int) -> Image:
    """With all sources `step` arcsec to the East (`axis` 0) or North (1)."""
    _, jacobian = image.pixel_map.linearise(image.centre)
    pixel_map = copy.copy(image.pixel_map)
    moved = jnp.asarray(pixel_map.coefficients).at[:, 0, 0].add(step * jacobian[:, axis])
    object.__setattr__(pixel_map, "coefficients", moved)
    return _with(image, pixel_map=pixel_map)


def _sky_slopes(image: Image) -> np.ndarray:
    """Skies (2, ny, nx) that rise by 1 nJy/arcsec^2 an arcmin to the East and to the North, 0 in the image's middle."""
    y, x = np.indices(image.shape)
    ny, nx = image.shape
    away = np.stack([x - (nx - 1) / 2, y - (ny - 1) / 2])
    arcsec = np.tensordot(np.linalg.inv(image.jacobian), away, axes=1)
    return image.pixel_area * arcsec / ARCSEC_PER_ARCMIN
