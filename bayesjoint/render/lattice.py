"""The periodic images that an inverse DFT adds, and their removal.

The DFT over a padded grid of px by py pixels returns the sum over m of I(x - x0 - m L). Within the image the terms with
m != 0 are smooth, since their cusps lie outside it: the 24 nearest are evaluated, without the PSF, on Chebyshev nodes
and spread over the pixels by two small matrices; all that lies beyond is a constant, the flux outside over the cell's
area. A source well outside the image is itself smooth within: it is drawn by the same nodes alone.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.light.sersic import Sersic

NODES = 12
REACH = 2
_CELLS = np.array([(mx, my) for my in range(-REACH, REACH + 1) for mx in range(-REACH, REACH + 1)])
_IS_CENTRAL = (_CELLS == 0).all(axis=1)
_ANGLES = 32
_RADII = 24
_MAX_LOG_RADIUS = 7.0


def lattice_correction(source: Sersic, image: Image, position, jacobian, inside) -> jax.Array:
    """What to add to the inverse DFT: minus its periodic images, or the source itself where it lies outside.

    Parameters
    ----------
    source : Sersic
    image : Image
    position : array (2,)
        Of the source, pixels (x, y).
    jacobian : array (2, 2)
        d(x, y)/d(east, north) there.
    inside : bool
        Whether the spectrum draws the source.

    Returns
    -------
    array (ny, nx), nJy per pixel.
    """
    ny, nx = image.shape
    to_sky = jnp.linalg.inv(jacobian)
    area = jnp.abs(jnp.linalg.det(to_sky))
    (nodes_x, spread_x), (nodes_y, spread_y) = _chebyshev(nx), _chebyshev(ny)
    dx = nodes_x - position[0] - _CELLS[:, :1] * image.fft_shape[1]
    dy = nodes_y - position[1] - _CELLS[:, 1:] * image.fft_shape[0]
    cells = _brightness(source, to_sky, dx[:, None, :], dy[:, :, None])
    weights = jnp.where(inside, -1.0 + _IS_CENTRAL, 0.0 + _IS_CENTRAL)
    far = jnp.where(inside, -_flux_outside(source, to_sky, image.fft_shape), 0.0)
    at_nodes = area * (jnp.tensordot(weights, cells, 1) + far)
    return spread_y @ at_nodes @ spread_x.T


def _brightness(source: Sersic, to_sky, dx, dy) -> jax.Array:
    """Surface brightness at pixel offsets from the source."""
    return source.brightness(to_sky[0, 0] * dx + to_sky[0, 1] * dy, to_sky[1, 0] * dx + to_sky[1, 1] * dy)


def _flux_outside(source: Sersic, to_sky, fft_shape) -> jax.Array:
    """Flux beyond the nearest cells, per cell, in brightness units: integral of I over |x| > 5/2 L, divided by L^2.

    Polar quadrature: midpoint in angle over half a turn, Gauss-Legendre in the log of the radius.
    """
    py, px = fft_shape
    angle = np.pi * (np.arange(_ANGLES) + 0.5) / _ANGLES
    reach = REACH + 0.5
    edge = np.minimum(reach * px / np.abs(np.cos(angle)), reach * py / np.abs(np.sin(angle)))
    roots, weights = np.polynomial.legendre.leggauss(_RADII)
    log_radius, weights = 0.5 * _MAX_LOG_RADIUS * (roots + 1), 0.5 * _MAX_LOG_RADIUS * weights
    radius = edge * np.exp(log_radius)[:, None]
    area = radius**2 * weights[:, None] * (2 * np.pi / _ANGLES)
    values = _brightness(source, to_sky, radius * np.cos(angle), radius * np.sin(angle))
    return jnp.sum(values * (area / (px * py)).astype(values.dtype))


@cache
def _chebyshev(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev nodes over pixels -0.5 to size - 0.5, and the matrix (size, nodes) that interpolates from them."""
    theta = np.pi * (np.arange(NODES) + 0.5) / NODES
    nodes = np.cos(theta)
    degree = np.arange(NODES)
    to_coefficients = 2 / NODES * np.cos(np.outer(degree, theta))
    to_coefficients[0] /= 2
    at = (2 * np.arange(size) + 1) / size - 1
    spread = np.cos(np.outer(np.arccos(np.clip(at, -1, 1)), degree)) @ to_coefficients
    return (nodes + 1) * size / 2 - 0.5, spread
