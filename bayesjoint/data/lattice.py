"""Sizes of the Fourier lattices that images, and windows on them, are rendered on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.fft import next_fast_len

from bayesjoint.data.transfer import PointSpread, folded_transfer

_PAD_STEP = 16
_MAX_PAD = 64
_SMALL, _SMALL_PAD = 320, 96
_WINDOW_STEP = 16


class WindowLattice(NamedTuple):
    """The lattice of square windows of `size` pixels: small sources are drawn on one of their own.

    Attributes
    ----------
    size : int
        0 where the image is no larger than the window: sources then are drawn on the image's own lattice.
    fft_shape, orders : tuple
        As those of an `Image`.
    """

    size: int
    fft_shape: tuple[int, ...] = ()
    orders: tuple[tuple[int, int], ...] = ()


def padded_shape(shape: tuple[int, int], half_width: float) -> tuple[int, int]:
    """Padded size: room for half a PSF and 16 pixels, in steps of 16, so that images of a size share a lattice.

    The periodic copy of a source on the image's edge then stays far enough from the image to be smooth in it. Small
    images get more, for there are galaxies larger than they are, whose copies would cross them.
    """
    pad = int(np.clip(_PAD_STEP * np.ceil(half_width / _PAD_STEP + 1), _PAD_STEP, _MAX_PAD))
    least = [min(_SMALL_PAD, _PAD_STEP * -(-3 * n // (2 * _PAD_STEP))) if n <= _SMALL else 0 for n in shape]
    sizes: list[Any] = [
        next_fast_len(int(n) + max(pad, more), real=True) for n, more in zip(shape, least, strict=True)
    ]
    return sizes[0], sizes[1]


def window_lattice(
    psf: PointSpread, shape: tuple[int, int], jacobian, pixel_scale: float, width: float
) -> tuple[np.ndarray, WindowLattice]:
    """Transfer function and lattice of windows at least `width` arcsec wide, in steps of 16 pixels."""
    size = _WINDOW_STEP * int(np.ceil(width / pixel_scale / _WINDOW_STEP))
    if size >= min(shape):
        return np.zeros(0), WindowLattice(0)
    # a small source in the middle of its window: its copies need no more room than the PSF
    half = int(_PAD_STEP * np.ceil(min(psf.half_width(pixel_scale), _MAX_PAD) / _PAD_STEP))
    padded: Any = next_fast_len(size + max(half, _PAD_STEP), real=True)
    transfer, orders = folded_transfer(psf, (padded, padded), jacobian)
    return transfer, WindowLattice(size, (padded, padded), orders)
