"""The Sersic profile's Fourier transform, b_n and total flux at run time: looked up, in JAX, for any n.

For one Sersic index the stored series give, as one small matrix product, the cubic of each cell in kappa^2
and its derivative with respect to n; wave numbers look these up (``cells.py``).
``build_sersic_table.py`` makes the table, ``hankel.py`` is what it is tested against.

In float64 f errs by 1.2e-9 at most (cubics in kappa^2 at n < 0.4; 4e-10 from n = 0.9) and its derivative with
respect to n by 5e-9. Outside 0.3 <= n <= 10 the nearest end is taken; beyond kappa^2 = 2^26 (kappa = 8192)
f is held at its value there (8e-7 at n = 4, 2e-4 at n = 10), and df/dkappa^2 too.
"""

from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from bayesjoint.light.cells import Cells, cell_of, hermite_cubics


class SersicTable(NamedTuple):
    """The file's arrays as the lookup wants them: power series in the place x of ln n in its panel.

    All are numpy, float64: index_edges (panels + 1,), b_over_n and log_norm (panels, terms), and cubics
    (panels, terms, cells * 4), the coefficients of powers of the distance in kappa^2 from a cell's start.
    """

    index_edges: np.ndarray
    cells: Cells
    b_over_n: np.ndarray
    log_norm: np.ndarray
    cubics: np.ndarray


@cache
def load_table() -> SersicTable:
    """Read the table that lies beside this module, once."""
    with np.load(Path(__file__).with_name("sersic_table.npz")) as file:
        first_octave, last_octave, in_octave = (int(i) for i in file["octaves"])
        cubics = hermite_cubics(file["value"], file["slope"], file["nodes"])
        cubics = cubics.reshape(*cubics.shape[:2], -1)
        series = [_power_series(s) for s in (file["b_over_n"], file["log_norm"], cubics)]
        cells = Cells(first_octave, last_octave, in_octave.bit_length() - 1)
        return SersicTable(file["index_edges"], cells, *series)


def _power_series(series: np.ndarray) -> np.ndarray:
    """Chebyshev to power coefficients along axis 1 (safe: these series fall faster than 2^-j)."""
    terms = series.shape[1]
    to_power = np.zeros((terms, terms))
    for j in range(terms):
        to_power[: j + 1, j] = np.polynomial.chebyshev.cheb2poly(np.eye(terms)[j])[: j + 1]
    return np.einsum("kj,pj...->pk...", to_power, series)


def sersic_b(n: ArrayLike) -> Array:
    """b_n, for which half of the flux lies inside the effective radius.

    Parameters
    ----------
    n : scalar
        Sersic index, 0.3 to 10 (the nearest end is taken outside).

    Returns
    -------
    scalar Array
        b_n, the solution of P(2n, b) = 1/2, to 1e-12 relative in float64.
    """
    n = inside_range(n)
    return n * _series_at(n, load_table().b_over_n)


def sersic_log_norm(n: ArrayLike) -> Array:
    """ln(n b^(-2n) e^b Gamma(2n)), from which total flux = 2 pi q Re^2 Ie exp(sersic_log_norm(n)).

    Parameters
    ----------
    n : scalar
        Sersic index, 0.3 to 10 (the nearest end is taken outside).

    Returns
    -------
    scalar Array
        The logarithm (dimensionless), to 1e-12 in float64. Graham & Driver (2005), PASA 22, 118, eq. 4.
    """
    return _series_at(inside_range(n), load_table().log_norm)


def sersic_transform(k2: ArrayLike, n: ArrayLike) -> Array:
    """Fourier transform of a round Sersic profile of unit flux, looked up, at not too many wave numbers.

    For whole images `radial_table` and `cells.look_up` share what depends on n alone.

    Parameters
    ----------
    k2 : array, any shape, float32 or float64
        kappa^2 = (k Re)^2, k in radians per unit of Re (dimensionless); held at 0 below 0 and at 2^26 above.
    n : scalar
        Sersic index, 0.3 to 10 (the nearest end is taken outside).

    Returns
    -------
    Array, shape and dtype of `k2`
        f(kappa; n) of ``hankel.sersic_hankel``, f(0) = 1.

    Notes
    -----
    The derivatives with respect to k2 (of the same cubic) and n (of the same series) come from the table.
    """
    return _transform(_floating(k2), _floating(n))


@jax.custom_jvp
def _transform(k2: Array, n: Array) -> Array:
    return _value_and_slopes(k2, n)[0]


@_transform.defjvp
def _transform_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    value, by_k2, by_n = _value_and_slopes(*primals)
    return value, by_k2 * tangents[0] + by_n * tangents[1].astype(value.dtype)


def _value_and_slopes(k2: Array, n: Array) -> tuple[Array, Array, Array]:
    """The transform, and its derivatives by k2 and n, from the series of just the cells that k2 meets."""
    cubics = jnp.asarray(_stored_cubics(k2.dtype))
    powers, panel = _index_powers(n.astype(k2.dtype), cubics.shape[1])
    cell, u = cell_of(load_table().cells, k2)
    series = cubics.reshape(*cubics.shape[:2], -1, 4).at[panel, :, cell].get(mode="clip")
    both = jnp.einsum("pt,...tj->p...j", powers, series, precision=lax.Precision.HIGHEST)
    (c0, c1, c2, c3), (d0, d1, d2, d3) = jnp.moveaxis(both, -1, 1)
    value = c0 + u * (c1 + u * (c2 + u * c3))
    return value, c1 + u * (2.0 * c2 + u * (3.0 * c3)), d0 + u * (d1 + u * (d2 + u * d3))


def radial_table(n: ArrayLike, dtype: Any = None) -> Array:
    """What `cells.look_up` needs to know of one Sersic index: made once, it serves every image.

    Parameters
    ----------
    n : scalar
        Sersic index, 0.3 to 10 (the nearest end is taken outside).

    Returns
    -------
    Array (2, cells, 4)
        Cubic of each cell in kappa^2, and that of its derivative with respect to n.
    """
    n = _floating(n)
    return _cubics_at(n, n.dtype if dtype is None else dtype)


def _floating(a: ArrayLike) -> Array:
    a = jnp.asarray(a)
    return a if jnp.issubdtype(a.dtype, jnp.floating) else a.astype(jnp.result_type(float))


def inside_range(n: ArrayLike) -> Array:
    """n held to the range of the table; its derivative is 1 at the ends themselves, 0 outside, never half."""
    n = _floating(n)
    low, high = (jnp.asarray(end, n.dtype) for end in load_table().index_edges[[0, -1]])
    return jnp.where(n < low, low, jnp.where(n > high, high, n))


def _place(n: Array) -> tuple[Array, Array]:
    """Panel of n, an integer, and its place x in it, -1 <= x <= 1, linear in ln n."""
    log_edges = np.log(load_table().index_edges)
    panel = jnp.sum(n >= jnp.asarray(load_table().index_edges[1:-1], n.dtype), dtype=jnp.int32)
    centre = jnp.asarray(0.5 * (log_edges[1:] + log_edges[:-1]), n.dtype)[panel]
    scale = jnp.asarray(2.0 / np.diff(log_edges), n.dtype)[panel]
    return panel, (jnp.log(n) - centre) * scale


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _powers(x: Array, terms: int) -> Array:
    """x^0 ... x^(terms - 1)."""
    return lax.pow(jnp.broadcast_to(x, (terms,)), np.arange(terms, dtype=np.int32))


@_powers.defjvp
def _powers_jvp(terms: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    powers = _powers(primals[0], terms)
    return powers, _power_slopes(powers) * tangents[0]


def _power_slopes(powers: Array) -> Array:
    """Derivatives j x^(j - 1) of `powers`, finite at x = 0."""
    lowered = jnp.concatenate([jnp.zeros(1, powers.dtype), powers[:-1]])
    return lowered * jnp.arange(powers.size, dtype=powers.dtype)


def _series_at(n: Array, series: np.ndarray) -> Array:
    """The power series (panels, terms) at n, a scalar; differentiable."""
    panel, x = _place(n)
    coefficients = jnp.asarray(series, n.dtype)[panel]
    return jnp.sum(coefficients * _powers(x, series.shape[1]))


def _cubics_at(n: Array, dtype: Any) -> Array:
    """Coefficients of the cubic of each cell, and of its derivative by n, (2, cells, 4)."""
    cubics = jnp.asarray(_stored_cubics(np.dtype(dtype)))
    powers, panel = _index_powers(n.astype(dtype), cubics.shape[1])
    return jnp.dot(powers, cubics[panel], precision=lax.Precision.HIGHEST).reshape(2, -1, 4)


def _index_powers(n: Array, terms: int) -> tuple[Array, Array]:
    """The powers of n's place in its panel and their derivatives by n, (2, terms), and the panel."""
    held = inside_range(n)
    panel, x = _place(held)
    # x is linear in ln n
    by_panel = jnp.asarray(2.0 / np.diff(np.log(load_table().index_edges)), n.dtype)
    scale = jnp.where(held == n, by_panel[panel] / held, jnp.zeros((), n.dtype))
    powers = _powers(x, terms)
    return jnp.stack([powers, scale * _power_slopes(powers)]), panel


@cache
def _stored_cubics(dtype: np.dtype) -> np.ndarray:
    """The table's cubics in the working precision.

    Numpy, not a cached JAX array: a program that closes over one and differentiates it within a scan fails
    when called again (jax 0.10.1: "compiled program expected ... buffers").
    """
    return load_table().cubics.astype(dtype)
