"""A radial Fourier transform looked up: cubics in kappa^2 on cells that a floating-point number names by its own bits.

With v = kappa^2 + 2^first_octave, each octave of v is cut into equal cells. The leading bits of v as a number are its cell,
and clearing the rest gives where the cell starts: a wave number finds its cubic without logarithm, exponential or power.
Beside the cubics of the transform itself stand those of its derivative by each parameter that it depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero


class Cells(NamedTuple):
    """2^bits cells in each octave of kappa^2 + 2^first_octave, up to 2^last_octave."""

    first_octave: int
    last_octave: int
    bits: int

    def nodes(self) -> np.ndarray:
        """kappa^2 at the ends of all cells, ascending from 0."""
        octaves = 2.0 ** np.arange(self.first_octave, self.last_octave)
        steps = 1 + np.arange(2**self.bits) / 2**self.bits
        v = np.append((octaves[:, None] * steps).ravel(), 2.0**self.last_octave)
        return v - v[0]


def hermite_cubics(value, slope, nodes: np.ndarray) -> Any:
    """Coefficients of powers of the distance from a cell's start.

    Parameters
    ----------
    value, slope : array (..., cells + 1)
        At the nodes.
    nodes : array (cells + 1,)

    Returns
    -------
    array (..., cells, 4)
    """
    xp = jnp if isinstance(value, Array) else np
    widths = np.diff(nodes).reshape((1,) * (value.ndim - 1) + (-1,))
    rise = (value[..., 1:] - value[..., :-1]) / widths
    left, right = slope[..., :-1], slope[..., 1:]
    second, third = (3 * rise - 2 * left - right) / widths, (left + right - 2 * rise) / widths**2
    return xp.stack([value[..., :-1], left, second, third], axis=-1)


def tabulate(transform: Callable[[Array, Array], Array], cells: Cells, shape: Array, dtype: Any) -> Array:
    """The table of a transform known at any wave number, for one set of parameters.

    Parameters
    ----------
    transform : function (k2, shape)
        Elementwise in k2.
    shape : array (P,)

    Returns
    -------
    array (1 + P, cells, 4)
    """
    nodes = cells.nodes()

    def at_nodes(shape):
        k2 = jnp.asarray(nodes, shape.dtype)
        return jnp.stack(jax.jvp(lambda k2: transform(k2, shape), (k2,), (jnp.ones_like(k2),)))

    shape = lax.stop_gradient(shape)
    value, slope = jnp.concatenate(
        [at_nodes(shape)[None], jnp.moveaxis(jax.jacfwd(at_nodes)(shape), -1, 0)]
    ).swapaxes(0, 1)
    return hermite_cubics(value, slope, nodes).astype(dtype)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def look_up(cells: Cells, k2: Array, shape: Array, table: Array) -> Array:
    """The transform at k2, any shape of array, from the table of its parameters.

    Differentiable in k2 and in the parameters `shape` (P,), not in the table (1 + P, cells, 4).
    """
    return evaluate(cells, k2, table[0])


def evaluate(cells: Cells, k2: Array, cubics: Array) -> Array:
    """The cubics (cells, 4) at k2, any shape of array; differentiable in both, to any order."""
    cell, u = cell_of(cells, k2)
    c0, c1, c2, c3 = _take(cubics, cell)
    return c0 + u * (c1 + u * (c2 + u * c3))


@partial(look_up.defjvp, symbolic_zeros=True)
def _look_up_jvp(cells: Cells, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (k2, _, table), (dk2, dshape, _) = primals, tangents
    cell, u = cell_of(cells, k2)
    c0, c1, c2, c3 = _take(table[0], cell)
    value = c0 + u * (c1 + u * (c2 + u * c3))
    tangent = jnp.zeros_like(value)
    if not isinstance(dk2, SymbolicZero):
        tangent = (c1 + u * (2.0 * c2 + u * (3.0 * c3))) * dk2
    if not isinstance(dshape, SymbolicZero):
        for i in range(dshape.shape[0]):
            d0, d1, d2, d3 = _take(table[1 + i], cell)
            slope = d0 + u * (d1 + u * (d2 + u * d3))
            tangent = tangent + slope * _everywhere(dshape[i].astype(value.dtype), value.shape)
    return value, tangent


def cell_of(cells: Cells, k2: Array) -> tuple[Array, Array]:
    """Cell of each k2 (int32) and its distance from the cell's start."""
    info = jnp.finfo(k2.dtype)
    integer = jnp.int64 if info.bits == 64 else jnp.int32
    shift = jnp.asarray(info.nmant - cells.bits, integer)
    top = np.nextafter(np.asarray(2.0**cells.last_octave, k2.dtype), np.asarray(0, k2.dtype))
    v = jnp.minimum(jnp.maximum(k2, 0.0) + 2.0**cells.first_octave, top)
    leading = lax.shift_right_logical(lax.bitcast_convert_type(v, integer), shift)
    start = lax.bitcast_convert_type(lax.shift_left(leading, shift), k2.dtype)
    first = (cells.first_octave + 1 - int(info.minexp)) << cells.bits
    return (leading - first).astype(jnp.int32), v - start


def _take(cubics: Array, cell: Array) -> tuple[Array, Array, Array, Array]:
    """The four coefficients of each cell, each of the shape of `cell`."""
    # one row of four neighbours in memory per wave number; "clip" so that a NaN's cell is harmless
    rows = cubics.at[cell].get(mode="clip")
    return rows[..., 0], rows[..., 1], rows[..., 2], rows[..., 3]


def _everywhere(value: Array, shape: tuple[int, ...]) -> Array:
    """A scalar at every place, as an outer product: its transpose is a matrix product, far quicker than a sum."""
    if len(shape) < 2:
        return jnp.broadcast_to(value, shape)
    columns = np.ones((1, shape[-1]), value.dtype)
    rows = jnp.broadcast_to(value, (int(np.prod(shape[:-1])), 1))
    return jnp.matmul(rows, columns, precision="highest").reshape(shape)
