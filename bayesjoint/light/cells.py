"""A radial Fourier transform looked up: cubics in kappa^2 on cells that a floating-point number names by its own bits.

With v = kappa^2 + 2^first_octave, each octave of v is cut into equal cells. The leading bits of v as a number are its cell,
and clearing the rest gives where the cell starts: a wave number finds its cubic without logarithm, exponential or power.
Beside the cubics of the transform itself stand those of its derivative by each parameter that it depends on.
"""

from __future__ import annotations

import math
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


def look_up(
    cells: Cells, make: Callable[..., Array] | None, k2: Array, shape: Array, table: Array, which: Any = None
) -> Array:
    """The transform at k2, any shape of array, from the table of its parameters.

    Differentiable in k2 and in the parameters `shape` (P,), to any order, not in the table. Its own rows serve the first
    derivatives; second ones by the parameters make it anew.

    Parameters
    ----------
    cells : Cells
    make : function (shape, dtype), or None
        Makes the table, differentiable; hashable. Without it second derivatives by the parameters are refused.
    k2 : array
    shape : array (P,)
    table : array (1 + P, cells, 4)
    which : tuple of integers, optional
        Where `table` is in what `make` makes, if that is several.
    """
    return _derivative(cells, make, 0, 0, k2, shape, table, which)


def evaluate(cells: Cells, k2: Array, cubics: Array, order: int = 0) -> Array:
    """The cubics (cells, 4), or their derivative of an order by k2, at k2; differentiable in both, to any order."""
    cell, u = cell_of(cells, k2)
    factors = [math.perm(power, order) for power in range(order, 4)]
    value = jnp.zeros_like(u)
    for factor, coefficient in reversed(list(zip(factors, _take(cubics, cell)[order:], strict=True))):
        value = value * u + factor * coefficient
    return value


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def _derivative(
    cells, make, row: int, order: int, k2: Array, shape: Array, table: Array, which: Any
) -> Array:
    """The derivative of an order by k2 of one row of a table: of the transform (0), or of its slope by a parameter."""
    return evaluate(cells, k2, table[row], order)


@partial(_derivative.defjvp, symbolic_zeros=True)
def _derivative_jvp(
    cells, make, row: int, order: int, primals: tuple, tangents: tuple
) -> tuple[Array, Array]:
    (k2, shape, table, which), (dk2, dshape, *_) = primals, tangents
    value = _derivative(cells, make, row, order, *primals)
    tangent = jnp.zeros_like(value)
    if not isinstance(dk2, SymbolicZero):
        tangent = _derivative(cells, make, row, order + 1, *primals) * dk2
    if not isinstance(dshape, SymbolicZero):
        for i in range(shape.size):
            if row == 0:
                slope = _derivative(cells, make, 1 + i, order, *primals)
            elif make is None:
                raise NotImplementedError(
                    "second derivatives of the pixels of a profile that is not radial (Superellipse, Warp, ...) are "
                    "not known: take differences of its gradient"
                )
            else:
                slope = evaluate(cells, k2, _row_by_shape(make, row, i, shape, table, which), order)
            tangent = tangent + slope * _everywhere(dshape[i].astype(value.dtype), value.shape)
    return value, tangent


def _row_by_shape(make, row: int, i: int, shape: Array, table: Array, which: Any) -> Array:
    """The derivative (cells, 4) of a row of the table by the i-th parameter."""

    def made(shape):
        whole = make(shape, table.dtype)
        return (whole if which is None else whole[which])[row]

    return jax.jvp(made, (shape,), (jnp.zeros_like(shape).at[i].set(1.0),))[1]


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
