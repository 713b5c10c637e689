"""Transforms of forms that are not radial: a Fourier series in angle, and of each of its orders a Hankel transform.

A form is sampled on circles whose radii are even in the logarithm. There a function that is smooth but for a cusp at the
centre is smooth throughout, and the Hankel transform of any order is a convolution: two short FFTs with a phase between
(Talman 1978, J. Comput. Phys. 29, 35; Hamilton 2000, MNRAS 312, 257). For a form whose harmonics in ln r end before
pi / step = 72 it is exact but for rounding. Each order then is a table of cubics in kappa^2 (``cells.py``).
"""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from bayesjoint.light.blur import plane_derivatives, radial_derivatives
from bayesjoint.light.cells import Cells, evaluate, hermite_cubics, look_up

CELLS = Cells(first_octave=-16, last_octave=26, bits=4)
_LOWEST, _HIGHEST, _RADII = -40, 24, 1024  # octaves of the radius, and how many radii
_STEP = (_HIGHEST - _LOWEST) * np.log(2) / _RADII
_FINER = 2  # of the grid in ln kappa over that in ln r
_STENCIL = 10


class PolarKind:
    """Base of kinds that give `plane_form` alone: one that repeats `fold` times in a turn.

    Attributes
    ----------
    fold : int
        0 for a form that is the same at all angles.
    is_mirrored : bool
        Whether the form is the same on both sides of the first axis.
    is_radial : bool
    detail : int
        How many times the usual number of orders the form needs.
    sampling : int
        How many times more angles than orders ask for it is sampled at, where its series falls slowly: so that what is
        left out does not come back as lower orders.
    """

    detail: int = 1
    sampling: int = 1
    fold: int
    is_mirrored: bool
    is_radial: bool = False

    def plane_form(self, x, shape) -> jax.Array:
        """Brightness at x (2, ...), in units of the semi-axes, for unit `brightness_scale`."""
        raise NotImplementedError

    def plane_derivatives(self, x, shape) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """The form at x and its second derivatives xx, xy, yy."""
        return plane_derivatives(lambda x: self.plane_form(x, shape), x)

    def radial_derivatives(self, r2, shape) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Of forms that are the same at all angles: value and its first two derivatives by the squared radius."""

        def form(r2):
            r = jnp.sqrt(jnp.where(r2 > 0, r2, 1.0))
            return self.plane_form(jnp.stack([jnp.where(r2 > 0, r, 0.0), jnp.zeros_like(r2)]), shape)

        return radial_derivatives(form, r2)

    @property
    def orders(self) -> tuple[int, ...]:
        """The orders of the Fourier series in angle."""
        return tuple(self.fold * i for i in range(self._angles // 2)) if self.fold else (0,)

    @property
    def _angles(self) -> int:
        """Angles within one of the `fold` parts of a turn."""
        return {0: 1, 1: 64, 2: 48}.get(self.fold, 32) * (self.detail if self.fold else 1)

    def series(self, shape) -> jax.Array:
        """The form's Fourier coefficients (orders, parts, radii): cosines, and sines where it is not mirrored."""
        count = self._angles * (self.sampling if self.fold else 1)
        angle = 2 * np.pi * np.arange(count) / count / max(self.fold, 1)
        circles = np.stack([np.cos(angle), np.sin(angle)])[:, :, None] * _radii()
        # a taper at the smallest radii, where there is no light, lest the ends of the period differ
        form = self.plane_form(jnp.asarray(circles), shape) * _taper()[None]
        waves = jnp.fft.rfft(form, axis=0)[: len(self.orders)] / count
        parts = [waves.real] if self.is_mirrored else [waves.real, -waves.imag]
        return jnp.stack(parts, axis=1) * np.where(np.asarray(self.orders) > 0, 2.0, 1.0)[:, None, None]

    def area(self, shape) -> jax.Array:
        """Integral of the form over the plane."""
        return 2 * np.pi * _STEP * jnp.dot(self.series(shape)[0, 0], _radii() ** 2, precision="highest")

    def at_cells(self, shape) -> jax.Array:
        """Transform of unit flux at the ends of all cells, then its slopes by kappa^2: (2, orders, parts, cells + 1).

        Of odd orders, divided by kappa.
        """
        series = self.series(shape)
        flux = _STEP * jnp.dot(series[0, 0], _radii() ** 2, precision="highest")
        return _hankel(series, self.orders) / flux

    def transform_table(self, shape, dtype) -> jax.Array:
        """Cubics of each order and part, and of their derivatives by the parameters: (orders, parts, 1 + P, cells, 4)."""
        found = [self.at_cells(shape)]
        if shape.size:
            found += list(jnp.moveaxis(jax.jacfwd(self.at_cells)(shape), -1, 0))
        value, slope = jnp.moveaxis(jnp.stack(found), 0, 3)
        return hermite_cubics(value, slope, CELLS.nodes()).astype(dtype)

    def radial_transform(self, k2, shape, table=None) -> jax.Array:
        """Of forms that are the same at all angles: the transform at squared wave numbers."""
        if table is not None:
            return look_up(CELLS, self.transform_table, k2, shape, table[0, 0], (0, 0))
        value, slope = self.at_cells(shape)[:, 0, 0]
        return evaluate(CELLS, k2, hermite_cubics(value, slope, CELLS.nodes()).astype(k2.dtype))

    def plane_transform(self, k1, k2, shape, table=None) -> tuple[jax.Array, jax.Array | None]:
        """Fourier transform of the form of unit flux: real part, and imaginary part where it has odd orders."""
        square = k1**2 + k2**2
        if table is None:
            value, slope = self.at_cells(shape)
            table = hermite_cubics(value, slope, CELLS.nodes())[:, :, None].astype(square.dtype)
            read = _evaluate
        else:
            read = partial(look_up, CELLS, self.transform_table)
        turn = _unit_power(k1, k2, square, self.fold)

        @jax.checkpoint
        def add_order(carry, order):
            """One order more; angles by multiplication, one turn after the other."""
            (cosine, sine), real, imaginary = carry
            parts, even, odd, number = order
            term = cosine * read(square, shape, parts[0], (number, 0))
            if not self.is_mirrored:
                term = term + sine * read(square, shape, parts[1], (number, 1))
            angle = cosine * turn[0] - sine * turn[1], sine * turn[0] + cosine * turn[1]
            return (angle, real + even * term, imaginary + odd * term), None

        zero = jnp.zeros_like(square)
        even, odd = (jnp.asarray(sign, square.dtype) for sign in _signs(self.orders))
        carry = (jnp.ones_like(square), zero), zero, zero
        (_, real, imaginary), _ = jax.lax.scan(
            add_order, carry, (table, even, odd, jnp.arange(len(self.orders)))
        )
        if self.fold % 2 == 0:
            return real, None
        return real, imaginary * jnp.sqrt(jnp.maximum(square, 1e-30))


def _evaluate(k2, shape, table, which) -> jax.Array:
    """Without slopes by the parameters, which derivatives of derivatives would not see move."""
    return evaluate(CELLS, k2, table[0])


def _unit_power(k1, k2, square, power: int) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of `power` times the angle of a wave vector; 0 at 0."""
    inverse = jax.lax.rsqrt(square + 1e-30)
    one = k1 * inverse, k2 * inverse
    found = jnp.ones_like(square), jnp.zeros_like(square)
    for _ in range(power):
        found = found[0] * one[0] - found[1] * one[1], found[0] * one[1] + found[1] * one[0]
    return found


def _signs(orders: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(-i)^order: its real and imaginary part."""
    quarter = np.asarray(orders) % 4
    return np.array([1.0, 0.0, -1.0, 0.0])[quarter], np.array([0.0, -1.0, 0.0, 1.0])[quarter]


@cache
def _radii() -> np.ndarray:
    return np.exp(_LOWEST * np.log(2) + _STEP * np.arange(_RADII))


@cache
def _taper() -> np.ndarray:
    return 0.5 * (1 + special.erf(np.log2(_radii()) - _LOWEST - 4))


def _hankel(series, orders: tuple[int, ...]) -> jax.Array:
    """Hankel transforms at the ends of all cells, and their slopes by kappa^2, (2, orders, parts, cells + 1).

    With f x = sum_w c_w x^(iw), the transform times kappa is sum_w c_w (2/kappa)^(iw) Gamma((1+m+iw)/2) / Gamma((1+m-iw)/2).
    """
    kappa = np.sqrt(CELLS.nodes()[1:])
    phase, omega = _phases(orders)
    waves = jnp.fft.rfft(series * _radii()[None, None], axis=-1) / _RADII * phase[:, None]
    odd = (np.asarray(orders) % 2)[:, None, None]
    power = np.where(odd, 2.0, 1.0) + 1j * omega  # the transform of each harmonic falls as kappa^-power
    both = jnp.conj(jnp.stack([waves, -0.5 * power * waves]))
    fine = jnp.fft.irfft(both, _FINER * _RADII, axis=-1) * (_FINER * _RADII)
    index, weights = _stencil()
    both = (
        jnp.einsum("...cs,cs->...c", fine[..., index], weights, precision="highest")
        / kappa ** (1.0 + odd)[None]
    )
    value, slope = both[0], both[1] / (kappa**2)[None, None]
    # at kappa = 0 only the zeroth order has light; there and next to it slopes differ by nothing that could be seen
    at_zero = value[..., :1] - slope[..., :1] * kappa[0] ** 2
    at_zero = jnp.where(np.asarray(orders)[:, None, None] % 2 == 1, at_zero, 0.0)
    flux = _STEP * jnp.dot(series[0, 0], _radii() ** 2, precision="highest")
    at_zero = at_zero.at[0, 0, 0].set(flux)
    return jnp.stack(
        [
            jnp.concatenate([at_zero, value], axis=-1),
            jnp.concatenate([slope[..., :1], slope], axis=-1),
        ]
    )


@cache
def _phases(orders: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What each harmonic is turned by, (orders, harmonics), where the grid of ln kappa starts at `_FIRST`; and these."""
    omega = 2 * np.pi * np.arange(_RADII // 2 + 1) / (_RADII * _STEP)
    angle = 2 * special.loggamma((np.asarray(orders)[:, None] + 1 + 1j * omega) / 2).imag
    angle += omega * (np.log(2) - _LOWEST * np.log(2) - _FIRST)
    phase = np.exp(1j * angle)
    phase[:, -1] = phase[:, -1].real
    return phase, omega


_FIRST = -12 * np.log(2)  # ln kappa at which the fine grid starts


@cache
def _stencil() -> tuple[np.ndarray, np.ndarray]:
    """Places on the fine grid in ln kappa and weights of Lagrange's interpolation, (cells, stencil), at the cells' ends."""
    at = (0.5 * np.log(CELLS.nodes()[1:]) - _FIRST) / (_STEP / _FINER)
    first = np.floor(at).astype(int) - _STENCIL // 2 + 1
    nodes = np.arange(_STENCIL)
    distance = (at - first)[:, None] - nodes
    weights = np.stack(
        [
            np.prod(np.delete(distance, j, axis=1) / (j - np.delete(nodes, j)), axis=1)
            for j in range(_STENCIL)
        ],
        axis=1,
    )
    return first[:, None] + nodes, weights
