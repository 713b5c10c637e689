"""The periodic images that an inverse DFT adds, and their removal.

The DFT over a padded grid of L pixels a side returns the sum over m of I(x - x0 - m L). Within the image the terms with
m != 0 are smooth, since their cusps lie outside it. Those of the 8 nearest cells, blurred by the PSF to second order,
are evaluated on 24 x 24 nodes; those of the next three rings of cells on 6 x 6; both are spread over the pixels by small
matrices; all that lies beyond is a constant, the flux outside over the cell's area. A source well outside the image is
itself smooth within: it is drawn by the same nodes alone.

The nodes are Chebyshev's in t, where x = anchor + width sinh t: where a cusp lies close to the image, `width` away in
the other axis, the nodes crowd around it. They are no function of the parameters as far as derivatives go.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.light.sersic import Sersic

NEAR_NODES = 24
FAR_NODES = 6
REACH = 4
_ANGLES = 32
_RADII = 24
_MAX_LOG_RADIUS = 7.0
_NEAR = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)])


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
    determinant = jacobian[0, 0] * jacobian[1, 1] - jacobian[0, 1] * jacobian[1, 0]
    to_sky = _adjugate(jacobian) / determinant
    (x, y), to_columns, to_rows = _near_nodes(image, jax.lax.stop_gradient(position), inside)
    at_nodes = _near_images(source, image, position, to_sky, inside, x, y)
    far = _far_images(source, image, position, to_sky)
    (nx, ny), dtype = image.shape[::-1], position.dtype
    far_rows, far_columns = (
        _interpolation(_to_unit(at, n), FAR_NODES, dtype) for at, n in ((y, ny), (x, nx))
    )
    at_nodes = at_nodes - jnp.where(inside, _product(far_rows, far, far_columns), 0.0)
    return _product(to_rows, at_nodes / jnp.abs(determinant), to_columns)


def _near_images(source, image: Image, position, to_sky, inside, x, y) -> jax.Array:
    """Minus the copies in the 8 nearest cells, or the source itself, at the nodes (y, x), nJy per arcsec^2."""
    py, px = image.fft_shape
    blur = jnp.matmul(jnp.matmul(to_sky, _blur(image), precision="highest"), to_sky.T, precision="highest")
    # the ninth place is the source's own, put where it does no harm while the spectrum draws it
    away = jnp.where(inside, 2.0, 0.0).astype(x.dtype)
    rows, columns = (jnp.append(jnp.asarray(_NEAR[:, i], x.dtype), away) for i in (0, 1))
    dx = (x - position[0])[None] - px * columns[:, None]
    dy = (y - position[1])[None] - py * rows[:, None]
    offsets = jnp.stack(jnp.broadcast_arrays(dx[:, None, :], dy[:, :, None])).reshape(2, -1)
    east, north = jnp.matmul(to_sky, offsets, precision="highest")
    brightness = source.blurred_brightness(east, north, blur).reshape(9, y.size, x.size)
    return jnp.where(inside, -jnp.sum(brightness[:8], axis=0), brightness[8])


def _far_images(source, image: Image, position, to_sky) -> jax.Array:
    """The copies in the cells from the second ring on, on the coarse nodes (y, x), nJy per arcsec^2."""
    cells, beyond, weight = _far_nodes(image.shape, image.fft_shape)
    dtype = position.dtype
    offsets = jnp.concatenate(
        [jnp.asarray(cells, dtype) - position[:, None], jnp.asarray(beyond, dtype)], axis=1
    )
    brightness = source.brightness(*jnp.matmul(to_sky, offsets, precision="highest"))
    near = jnp.sum(brightness[: cells.shape[1]].reshape(-1, FAR_NODES, FAR_NODES), axis=0)
    return near + jnp.dot(brightness[cells.shape[1] :], jnp.asarray(weight, dtype))


def _blur(image: Image) -> jax.Array:
    """Covariance (2, 2) of the effective PSF, pixels^2, from its transfer at the lowest frequencies."""
    ny, nx = image.fft_shape
    kx, ky = 2 * np.pi / nx, 2 * np.pi / ny
    transfer = jnp.asarray(image.transfer)
    fall = -jnp.log(
        jnp.abs(jnp.stack([transfer[0, 0, 1], transfer[0, 1, 0], transfer[0, 1, 1], transfer[0, -1, 1]]))
    )
    cross = (fall[2] - fall[3]) / (2 * kx * ky)
    return jnp.stack([2 * fall[0] / kx**2, cross, cross, 2 * fall[1] / ky**2]).reshape(2, 2)


def _near_nodes(image: Image, position, inside) -> tuple:
    """Nodes (x, y) of both axes, and the matrices (size, nodes) that interpolate from them to the pixels."""
    size = jnp.asarray(image.shape[::-1], position.dtype)
    padded = jnp.asarray(image.fft_shape[::-1], position.dtype)
    from_middle = jnp.abs(position - (size - 1) / 2)
    to_copy = (padded - size / 2 - from_middle)[::-1]
    to_source = jnp.max(from_middle - size / 2)
    width = jnp.maximum(jnp.where(inside, to_copy, to_source), 1.0)
    anchor = jnp.clip(position, -0.5, size - 0.5)
    (x, to_columns), (y, to_rows) = (_sinh_nodes(anchor[i], width[i], image.shape[1 - i]) for i in (0, 1))
    return (x, y), to_columns, to_rows


def _sinh_nodes(anchor, width, size: int) -> tuple[jax.Array, jax.Array]:
    """Nodes over pixels -0.5 to size - 0.5, crowded around `anchor`, and their matrix (size, nodes)."""
    first, last = (jnp.arcsinh((end - anchor) / width) for end in (-0.5, size - 0.5))
    unit = jnp.asarray(_chebyshev(NEAR_NODES)[0], anchor.dtype)
    nodes = anchor + width * jnp.sinh(first + (unit + 1) * (last - first) / 2)
    at = jnp.arcsinh((jnp.arange(size, dtype=anchor.dtype) - anchor) / width)
    return nodes, _interpolation(2 * (at - first) / (last - first) - 1, NEAR_NODES, anchor.dtype)


@cache
def _far_nodes(
    shape: tuple[int, int], fft_shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coarse nodes in the outer rings of cells (2, cells * nodes^2); places (2, n) and weights (n,) beyond them."""
    unit = _chebyshev(FAR_NODES)[0]
    steps = np.arange(-REACH, REACH + 1)
    y, x = ((unit + 1) * n / 2 - 0.5 - p * steps[:, None] for n, p in zip(shape, fft_shape, strict=True))
    grid = np.stack(np.broadcast_arrays(x[None, :, None, :], y[:, None, :, None]))
    outer = np.maximum(abs(steps[:, None]), abs(steps)) > 1
    return (grid[:, outer].reshape(2, -1), *_polar_nodes(fft_shape))


def _polar_nodes(fft_shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (2, n) and weights (n,) for the integral of I beyond the outermost cells, divided by L^2.

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


@cache
def _chebyshev(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev nodes on (-1, 1) and the matrix from values there to coefficients."""
    theta = np.pi * (np.arange(count) + 0.5) / count
    to_coefficients = 2 / count * np.cos(np.outer(np.arange(count), theta))
    to_coefficients[0] /= 2
    return np.cos(theta), to_coefficients


def _interpolation(at, count: int, dtype) -> jax.Array:
    """Matrix (places, nodes) from values at Chebyshev nodes to those at places `at` in [-1, 1]."""
    angle = jnp.arccos(jnp.clip(at, -1, 1))
    polynomials = jnp.cos(angle[:, None] * jnp.arange(count, dtype=dtype)[None])
    return jnp.matmul(polynomials, jnp.asarray(_chebyshev(count)[1], dtype), precision="highest")


def _to_unit(at, size: int) -> jax.Array:
    """Pixels -0.5 to size - 0.5 as -1 to 1."""
    return (2 * at + 1) / size - 1


def _product(rows, middle, columns) -> jax.Array:
    """rows middle columns^T."""
    return jnp.matmul(jnp.matmul(rows, middle, precision="highest"), columns.T, precision="highest")


def _adjugate(matrix) -> jax.Array:
    """Adjugate of a (2, 2) matrix."""
    (a, b), (c, d) = matrix
    return jnp.stack([d, -b, -c, a]).reshape(2, 2)
