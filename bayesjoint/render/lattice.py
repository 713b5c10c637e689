"""The periodic images that an inverse DFT adds, and their removal.

The DFT over a padded grid of L pixels a side returns the sum over m of I(x - x0 - m L). Within the image the terms with
m != 0 are smooth, since their cusps lie outside it. Those of the 8 nearest cells, blurred by the PSF to second order,
are evaluated on 24 x 24 nodes; those farther away on fewer (``far.py``). Two small matrices spread the nodes over the
pixels. A source well outside the image is itself smooth within: it is drawn by the same nodes alone.

The nodes are Chebyshev's in t, where x = anchor + width sinh t: where a cusp lies close to the image, `width` away in
the other axis, the nodes crowd around it. They are no function of the parameters as far as derivatives go.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.blur import blurred_form
from bayesjoint.light.profile import Kind, Profile
from bayesjoint.render.far import COARSE, chebyshev, counts, far_sum, interpolation, product

NEAR_NODES = 24
_NEAR = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)] + [(0, 0)])


class Grid(NamedTuple):
    """Nodes (2, nodes) of a smooth part along x and y, pixels: anchor + width sinh t, with t Chebyshev's between `ends`.

    Attributes
    ----------
    nodes : array (2, nodes)
    anchor, width : array (2,)
    ends : array (2, 2)
        t at the first and the last edge, of x and of y.
    """

    nodes: Any
    anchor: Any
    width: Any
    ends: Any


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
    form = _smooth_form(source.kind, frame, grid, position, axes, source.shape_values, inside)
    return source.brightness_scale * form, grid


def _smooth_form(kind: Kind, frame, grid: Grid, position, axes, shape, inside) -> jax.Array:
    """The smooth part of unit brightness."""
    near, far = _near_places(grid, frame, inside), frame.far
    places = jnp.concatenate([near, far.places], axis=1)
    moved = jnp.concatenate([jnp.ones_like(near[0]), far.moved])
    right, up = places - moved[None] * position[:, None]
    to_unit = _inverse(axes.T)
    x = jnp.stack([row[0] * right + row[1] * up for row in to_unit])
    copied = near.shape[1] + counts()[:2].sum()
    covariances = _covariances(frame, to_unit, is_beyond=np.arange(places.shape[1]) >= copied)
    form = blurred_form(kind, x, covariances, shape)
    copies = form[: near.shape[1]].reshape(9, NEAR_NODES, NEAR_NODES)
    coarse = far_sum(form[near.shape[1] :], far, position)
    periodic = jnp.sum(copies[:8], axis=0) + _coarse_to_near(coarse, grid, frame.size)
    return jnp.where(inside, -periodic, copies[8])


def _covariances(frame, to_unit, is_beyond) -> tuple:
    """What blurs the light at each place, in units of the semi-axes: the PSF, and beyond the cells also their size.

    A sum over cells is their integral less the second moments of a cell.
    """
    cell = jnp.diag(frame.padded**2) / 12
    psf, beyond = (
        jnp.matmul(jnp.matmul(to_unit, covariance, precision="highest"), to_unit.T, precision="highest")
        for covariance in (frame.psf_covariance, frame.psf_covariance - cell)
    )
    xx, xy, yy = (jnp.where(is_beyond, beyond[i, j], psf[i, j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    return (xx, xy), (xy, yy)


def spread(values, grid: Grid, shape: tuple[int, int]) -> jax.Array:
    """Values at the nodes (y, x) of a grid, on all pixels (ny, nx)."""
    first, last = grid.ends.T
    pixels = jnp.arange(max(shape), dtype=grid.anchor.dtype)
    turned = _arcsinh((pixels[None] - grid.anchor[:, None]) / grid.width[:, None])
    at = 2 * (turned - first[:, None]) / (last - first)[:, None] - 1
    columns, rows = interpolation(at, NEAR_NODES)
    return product(rows[: shape[0]], values, columns[: shape[1]])


def _near_places(grid: Grid, frame, inside) -> jax.Array:
    """Where the nodes lie as seen from the source's copies in the 8 nearest cells, and from itself; (2, 9 nodes^2)."""
    # the ninth place is the source's own, put where it does no harm while the spectrum draws it
    away = jnp.where(inside, 2.0, 0.0).astype(grid.nodes.dtype)
    columns, rows = (jnp.asarray(cells, away.dtype) for cells in _NEAR.T[::-1])
    own = jnp.asarray(np.arange(9) == 8, away.dtype) * away
    cells = jnp.stack([columns + own, rows + own])
    x, y = grid.nodes[:, None] - frame.padded[:, None, None] * cells[:, :, None]
    return jnp.stack(jnp.broadcast_arrays(x[:, None, :], y[:, :, None])).reshape(2, -1)


def _coarse_to_near(coarse, grid: Grid, size) -> jax.Array:
    """Values at the coarse nodes, at the nodes of a grid."""
    columns, rows = interpolation((2 * grid.nodes + 1) / size[:, None] - 1, COARSE)
    return product(rows, coarse, columns)


def _near_grid(frame, position, inside) -> Grid:
    """The nodes over an image whose source, or whose source's nearest copy, lies at or around `position`."""
    from_middle = jnp.abs(position - (frame.size - 1) / 2)
    to_copy = (frame.padded - frame.size / 2 - from_middle)[::-1]
    to_source = jnp.max(from_middle - frame.size / 2)
    width = jnp.maximum(jnp.where(inside, to_copy, to_source), 1.0)
    anchor = jnp.clip(position, -0.5, frame.size - 0.5)
    edges = jnp.stack([jnp.full_like(frame.size, -0.5), frame.size - 0.5], axis=1)
    ends = _arcsinh((edges - anchor[:, None]) / width[:, None])
    unit = jnp.asarray(chebyshev(NEAR_NODES)[0] + 1, position.dtype)
    turned = ends[:, :1] + unit[None] * (ends[:, 1:] - ends[:, :1]) / 2
    return Grid(anchor[:, None] + width[:, None] * _sinh(turned), anchor, width, ends)


def _arcsinh(x) -> jax.Array:
    """Of any x, to the precision of its own size: XLA's is exact near 0 too, and takes five times as long to compile."""
    size = jnp.abs(x)
    return jnp.sign(x) * jnp.log(size + jnp.sqrt(size**2 + 1))


def _sinh(t) -> jax.Array:
    """Of any t, to the precision of 1: XLA's is exact near 0 too, and four programs."""
    rise = jnp.exp(t)
    return (rise * rise - 1) / (2 * rise)


def _inverse(matrix) -> jax.Array:
    """Inverse of a (2, 2) matrix."""
    (a, b), (c, d) = matrix
    return jnp.stack([d, -b, -c, a]).reshape(2, 2) * (1 / (a * d - b * c))
