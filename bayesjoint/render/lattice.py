"""The periodic images that an inverse DFT adds, and their removal.

The DFT over a padded grid of L pixels a side returns the sum over m of I(x - x0 - m L). Within the image the terms with
m != 0 are smooth, since their cusps lie outside it. Those of the 8 nearest cells, blurred by the PSF to second order,
are evaluated on 24 x 24 nodes; those of the next three rings of cells on 6 x 6; all that lies beyond is a constant, the
flux outside over the cell's area. Two small matrices spread the nodes over the pixels. A source well outside the image
is itself smooth within: it is drawn by the same nodes alone.

The nodes are Chebyshev's in t, where x = anchor + width sinh t: where a cusp lies close to the image, `width` away in
the other axis, the nodes crowd around it. They are no function of the parameters as far as derivatives go.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.profile import Profile

NEAR_NODES = 24
FAR_NODES = 6
REACH = 4
_ANGLES = 64
_RADII = 24
_MAX_LOG_RADIUS = 7.0
_NEAR = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)])
_OUTER = np.array(
    [
        (i, j)
        for i in range(2 * REACH + 1)
        for j in range(2 * REACH + 1)
        if max(abs(i - REACH), abs(j - REACH)) > 1
    ]
)


class Grid(NamedTuple):
    """Nodes x, y (pixels) of a smooth part: those of Chebyshev in t, with pixel = anchor + width sinh t."""

    x: Any
    y: Any
    anchor: Any
    width: Any


class FarPlaces(NamedTuple):
    """Places of an image's far lattice, (2, cells nodes^2) and (2, n), and weights (n,) of the latter."""

    cells: Any
    beyond: Any
    weight: Any


def smooth_part(source: Profile, frame, position, axes, inside) -> tuple[jax.Array, Grid]:
    """What to add to the inverse DFT: minus its periodic images, or the source itself where it lies outside.

    Parameters
    ----------
    source : Profile
    frame : Frame
        Of the image.
    position : array (2,)
        Of the source, pixels (x, y).
    axes : array (2, 2)
        Its semi-axis vectors, pixels, as rows.
    inside : bool
        Whether the spectrum draws the source.

    Returns
    -------
    array (nodes, nodes), nJy/arcsec^2 at the nodes (y, x), and these.
    """
    grid = _near_grid(frame, jax.lax.stop_gradient(position), inside)
    near, (cells, beyond, weight) = _near_places(grid, frame, inside), frame.far
    still = near.shape[1] + cells.shape[1]
    offsets = jnp.concatenate([near - position[:, None], cells - position[:, None], beyond], axis=1)
    to_unit = _adjugate(axes.T) / (axes[0, 0] * axes[1, 1] - axes[0, 1] * axes[1, 0])
    # a sum over cells is their integral less the second moments of a cell
    moments = frame.psf_covariance, frame.psf_covariance - jnp.diag(frame.padded**2) / 12
    blurs = [
        jnp.matmul(jnp.matmul(to_unit, m, precision="highest"), to_unit.T, precision="highest")
        for m in moments
    ]
    blur = jnp.concatenate(
        [jnp.broadcast_to(b[..., None], (2, 2, n)) for b, n in zip(blurs, (still, weight.size), strict=True)],
        axis=2,
    )
    brightness = source.blurred_brightness(jnp.matmul(to_unit, offsets, precision="highest"), blur)
    near, cells, outer = jnp.split(brightness, [near.shape[1], still])
    far = jnp.sum(cells.reshape(-1, FAR_NODES, FAR_NODES), axis=0) + jnp.dot(outer, weight)
    copies = near.reshape(9, NEAR_NODES, NEAR_NODES)
    periodic = jnp.sum(copies[:8], axis=0) + _far_to_near(far, grid, frame.size)
    return jnp.where(inside, -periodic, copies[8]), grid


def spread(values, grid: Grid, shape: tuple[int, int]) -> jax.Array:
    """Values at the nodes (y, x) of a grid, on all pixels (ny, nx)."""
    rows, columns = (_sinh_interpolation(grid.anchor[1 - i], grid.width[1 - i], shape[i]) for i in (0, 1))
    return product(rows, values, columns)


def _near_places(grid: Grid, frame, inside) -> jax.Array:
    """Where the nodes lie as seen from the source's copies in the 8 nearest cells, and from itself; (2, 9 nodes^2)."""
    # the ninth place is the source's own, put where it does no harm while the spectrum draws it
    away = jnp.where(inside, 2.0, 0.0).astype(grid.x.dtype)
    rows, columns = (jnp.append(jnp.asarray(_NEAR[:, i], grid.x.dtype), away) for i in (0, 1))
    x = grid.x[None] - frame.padded[0] * columns[:, None]
    y = grid.y[None] - frame.padded[1] * rows[:, None]
    return jnp.stack(jnp.broadcast_arrays(x[:, None, :], y[:, :, None])).reshape(2, -1)


@cache
def far_places(size: tuple[int, int], padded: tuple[int, int]) -> FarPlaces:
    """What lies beyond the nearest cells, of an image of `size` pixels (x, y) on a lattice of `padded` ones.

    The coarse nodes as seen from the copies in the second to the outermost ring of cells; and places of the integral of I
    beyond these cells, divided by L^2: midpoint in angle over half a turn, Gauss-Legendre in the log of the radius.
    """
    steps = np.arange(-REACH, REACH + 1)
    unit = _chebyshev(FAR_NODES)[0]
    x, y = (
        (unit + 1) * n / 2 - 0.5 - length * steps[:, None] for n, length in zip(size, padded, strict=True)
    )
    seen = np.broadcast_arrays(x[_OUTER[:, 1], None, :], y[_OUTER[:, 0], :, None])
    angle = np.pi * (np.arange(_ANGLES) + 0.5) / _ANGLES
    directions = np.stack([np.cos(angle), np.sin(angle)])
    edge = np.min((REACH + 0.5) * np.array(padded)[:, None] / np.abs(directions), axis=0)
    roots, weights = np.polynomial.legendre.leggauss(_RADII)
    radius = edge * np.exp(0.5 * _MAX_LOG_RADIUS * (roots + 1))[:, None]
    weight = radius**2 * (_MAX_LOG_RADIUS * weights * np.pi / _ANGLES)[:, None] / np.prod(padded)
    return FarPlaces(
        np.stack(seen).reshape(2, -1), (radius * directions[:, None]).reshape(2, -1), weight.ravel()
    )


def _far_to_near(far, grid: Grid, size) -> jax.Array:
    """Values at the coarse nodes, at the nodes of a grid."""
    rows, columns = (
        _interpolation((2 * at + 1) / n - 1, FAR_NODES) for at, n in ((grid.y, size[1]), (grid.x, size[0]))
    )
    return product(rows, far, columns)


def _near_grid(frame, position, inside) -> Grid:
    """The nodes over an image whose source, or whose source's nearest copy, lies at or around `position`."""
    from_middle = jnp.abs(position - (frame.size - 1) / 2)
    to_copy = (frame.padded - frame.size / 2 - from_middle)[::-1]
    to_source = jnp.max(from_middle - frame.size / 2)
    width = jnp.maximum(jnp.where(inside, to_copy, to_source), 1.0)
    anchor = jnp.clip(position, -0.5, frame.size - 0.5)
    first, last = _ends(anchor, width, frame.size)
    unit = jnp.asarray(_chebyshev(NEAR_NODES)[0], position.dtype)
    turned = first[:, None] + (unit[None] + 1) * (last - first)[:, None] / 2
    x, y = anchor[:, None] + width[:, None] * jnp.sinh(turned)
    return Grid(x, y, anchor, width)


def _ends(anchor, width, size) -> tuple[jax.Array, jax.Array]:
    """t at both edges of an axis of `size` pixels."""
    return _arcsinh((-0.5 - anchor) / width), _arcsinh((size - 0.5 - anchor) / width)


def _sinh_interpolation(anchor, width, size: int) -> jax.Array:
    """Matrix (size, nodes) from the nodes of an axis to its pixels."""
    first, last = _ends(anchor, width, size)
    at = _arcsinh((jnp.arange(size, dtype=anchor.dtype) - anchor) / width)
    return _interpolation(2 * (at - first) / (last - first) - 1, NEAR_NODES)


def _arcsinh(x) -> jax.Array:
    """Of any x, to the precision of its own size: XLA's is exact near 0 too, and takes five times as long to compile."""
    size = jnp.abs(x)
    return jnp.sign(x) * jnp.log(size + jnp.sqrt(size**2 + 1))


@cache
def _chebyshev(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev nodes on (-1, 1) and their barycentric weights (Berrut & Trefethen 2004, SIAM Rev. 46, 501)."""
    theta = np.pi * (np.arange(count) + 0.5) / count
    return np.cos(theta), (-1.0) ** np.arange(count) * np.sin(theta)


def _interpolation(at, count: int) -> jax.Array:
    """Matrix (places, nodes) from values at Chebyshev nodes to those at places `at` in [-1, 1]."""
    nodes, weights = (jnp.asarray(a, at.dtype) for a in _chebyshev(count))
    distance = at[:, None] - nodes[None]
    met = distance == 0
    terms = weights[None] / jnp.where(met, 1.0, distance)
    between = terms / jnp.sum(terms, axis=1, keepdims=True)
    return jnp.where(jnp.any(met, axis=1, keepdims=True), met.astype(at.dtype), between)


def product(rows, middle, columns) -> jax.Array:
    """rows middle columns^T."""
    return jnp.matmul(jnp.matmul(rows, middle, precision="highest"), columns.T, precision="highest")


def _adjugate(matrix) -> jax.Array:
    """Adjugate of a (2, 2) matrix."""
    (a, b), (c, d) = matrix
    return jnp.stack([d, -b, -c, a]).reshape(2, 2)
