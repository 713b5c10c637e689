"""The periodic images that an inverse DFT adds, and their removal.

The DFT over a padded grid of px by py pixels returns the sum over m of I(x - x0 - m L). Within the image the terms with
m != 0 are smooth, since their cusps lie outside it: the 24 nearest are evaluated, without the PSF, on Chebyshev nodes
and spread over the pixels by two small matrices; all that lies beyond is a constant, the flux outside over the cell's
area. A source well outside the image is itself smooth within: it is drawn by the same nodes alone.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.light.sersic import Sersic

NODES = 12
REACH = 2
_ANGLES = 32
_RADII = 24
_MAX_LOG_RADIUS = 7.0


class _Nodes(NamedTuple):
    """Where a source is evaluated, as pixel offsets, and what its brightness there counts for."""

    cells: np.ndarray  # (2, cells, NODES * NODES): Chebyshev nodes minus the cells' shifts
    is_central: np.ndarray  # (cells,)
    far: np.ndarray  # (2, angles * radii): polar nodes beyond the nearest cells
    far_weight: np.ndarray  # (angles * radii,)
    spread_x: np.ndarray  # (nx, NODES)
    spread_y: np.ndarray  # (ny, NODES)


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
    nodes = _nodes(image.shape, image.fft_shape)
    determinant = jacobian[0, 0] * jacobian[1, 1] - jacobian[0, 1] * jacobian[1, 0]
    area = 1 / jnp.abs(determinant)
    to_sky = _adjugate(jacobian) / determinant
    n_cells, n_nodes = nodes.cells.shape[1:]
    near = nodes.cells.reshape(2, -1) - position[:, None]
    offsets = jnp.concatenate([near, jnp.asarray(nodes.far, near.dtype)], axis=1)
    east, north = jnp.matmul(to_sky, offsets, precision="highest")
    brightness = source.brightness(east, north)
    cells, far = brightness[: n_cells * n_nodes].reshape(n_cells, n_nodes), brightness[n_cells * n_nodes :]
    weights = jnp.where(inside, nodes.is_central - 1.0, nodes.is_central)
    beyond = jnp.where(inside, jnp.dot(far, jnp.asarray(nodes.far_weight, far.dtype)), 0.0)
    at_nodes = area * (jnp.dot(weights.astype(cells.dtype), cells, precision="highest") - beyond)
    at_rows = jnp.matmul(nodes.spread_y, at_nodes.reshape(NODES, NODES), precision="highest")
    return jnp.matmul(at_rows, nodes.spread_x.T, precision="highest")


def _adjugate(matrix) -> jax.Array:
    """Adjugate of a (2, 2) matrix."""
    (a, b), (c, d) = matrix
    return jnp.stack([d, -b, -c, a]).reshape(2, 2)


@cache
def _nodes(shape: tuple[int, int], fft_shape: tuple[int, int]) -> _Nodes:
    """Nodes and weights for images of one shape."""
    (nodes_y, spread_y), (nodes_x, spread_x) = (_chebyshev(size) for size in shape)
    steps = np.arange(-REACH, REACH + 1)
    x = nodes_x - fft_shape[1] * steps[:, None]
    y = nodes_y - fft_shape[0] * steps[:, None]
    grid_x, grid_y = np.broadcast_arrays(x[None, :, None, :], y[:, None, :, None])
    cells = np.stack([grid_x, grid_y]).reshape(2, steps.size**2, NODES**2)
    is_central = np.ravel((steps[:, None] == 0) & (steps == 0)).astype(float)
    return _Nodes(cells, is_central, *_polar_nodes(fft_shape), spread_x, spread_y)


def _polar_nodes(fft_shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (2, n) and weights (n,) for the integral of I over |x| > 5/2 L, divided by L^2.

    Midpoint in angle over half a turn, Gauss-Legendre in the log of the radius.
    """
    py, px = fft_shape
    angle = np.pi * (np.arange(_ANGLES) + 0.5) / _ANGLES
    reach = REACH + 0.5
    edge = np.minimum(reach * px / np.abs(np.cos(angle)), reach * py / np.abs(np.sin(angle)))
    roots, weights = np.polynomial.legendre.leggauss(_RADII)
    radius = edge * np.exp(0.5 * _MAX_LOG_RADIUS * (roots + 1))[:, None]
    weight = radius**2 * (0.5 * _MAX_LOG_RADIUS * weights)[:, None] * (2 * np.pi / _ANGLES) / (px * py)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)]).reshape(2, -1), weight.ravel()


def _chebyshev(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev nodes over pixels -0.5 to size - 0.5, and the matrix (size, nodes) that interpolates from them."""
    theta = np.pi * (np.arange(NODES) + 0.5) / NODES
    degree = np.arange(NODES)
    to_coefficients = 2 / NODES * np.cos(np.outer(degree, theta))
    to_coefficients[0] /= 2
    at = (2 * np.arange(size) + 1) / size - 1
    spread = np.cos(np.outer(np.arccos(np.clip(at, -1, 1)), degree)) @ to_coefficients
    return (np.cos(theta) + 1) * size / 2 - 0.5, spread
