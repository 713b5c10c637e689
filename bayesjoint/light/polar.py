"""Transforms of forms that are not radial: a Fourier series in angle, and of each of its orders a Hankel transform.

A form is sampled on circles whose radii are even in the logarithm (``log_hankel.py``); one that ends sharply, on rays
(``rays.py``). Each order then is a table of cubics in kappa^2 (``cells.py``).
"""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from bayesjoint.light.blur import plane_derivatives, radial_derivatives
from bayesjoint.light.cells import evaluate, hermite_cubics, look_up
from bayesjoint.light.log_hankel import CELLS, Grid, hankel, radii_of, waves_of, with_zero
from bayesjoint.light.rays import light_of_power

GRID = Grid(-40, 24, 1024)
_CENTRE = -28  # octave inside which the light, a power of the radius there, is put on the centre


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
        return tuple(self.fold * i for i in range(self.angles // 2)) if self.fold else (0,)

    @property
    def angles(self) -> int:
        """Angles within one of the `fold` parts of a turn that the orders ask for."""
        return {0: 1, 1: 64, 2: 48}.get(self.fold, 32) * (self.detail if self.fold else 1)

    @property
    def sampled_angles(self) -> int:
        """Angles there that are sampled."""
        return self.angles * (self.sampling if self.fold else 1)

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors (2, angles) towards the angles that are sampled."""
        angle = 2 * np.pi * np.arange(self.sampled_angles) / self.sampled_angles / max(self.fold, 1)
        return np.stack([np.cos(angle), np.sin(angle)])

    def series(self, form) -> jax.Array:
        """Fourier coefficients (orders, parts, ...) of (angles, ...): cosines, and sines where it is not mirrored."""
        waves = jnp.fft.rfft(form, axis=0)[: len(self.orders)] / self.sampled_angles
        parts = [waves.real] if self.is_mirrored else [waves.real, -waves.imag]
        return jnp.stack(parts, axis=1) * np.where(np.asarray(self.orders) > 0, 2.0, 1.0)[:, None, None]

    def circles(self, shape) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Series of the form on circles (orders, parts, radii), tapered towards the centre; light, and that left there."""
        form = (
            self.plane_form(jnp.asarray(self.directions[:, :, None] * radii_of(GRID)), shape) * taper()[None]
        )
        series = self.series(form)
        return series, *light_of(series[0, 0])

    def light(self, shape) -> jax.Array:
        """Integral of the form over the plane, over 2 pi."""
        return self.circles(shape)[1]

    def area(self, shape) -> jax.Array:
        """Integral of the form over the plane."""
        return 2 * np.pi * self.light(shape)

    def harmonics(self, shape) -> tuple[jax.Array, jax.Array, jax.Array, Grid]:
        """Of all orders, in ln r: (orders, parts, harmonics), with light and centre as of `circles`, and their grid."""
        series, light, centre = self.circles(shape)
        return waves_of(series, GRID), light, centre, GRID

    def at_cells(self, shape) -> jax.Array:
        """Transform of unit flux at the ends of all cells, then its slopes by kappa^2: (2, orders, parts, cells + 1).

        Of odd orders, divided by kappa.
        """
        waves, light, centre, grid = self.harmonics(shape)
        found = hankel(waves, self.orders, grid).at[0, 0, 0].add(centre)
        return with_zero(found, light, self.orders) / light

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
            read = partial(look_up, CELLS, None)
        turn = _unit_power(k1, k2, square, self.fold)

        @jax.checkpoint
        def add_order(carry, order):
            """One order more; angles by multiplication, one turn after the other."""
            (cosine, sine), real, imaginary = carry
            parts, even, odd = order
            term = cosine * read(square, shape, parts[0])
            if not self.is_mirrored:
                term = term + sine * read(square, shape, parts[1])
            angle = cosine * turn[0] - sine * turn[1], sine * turn[0] + cosine * turn[1]
            return (angle, real + even * term, imaginary + odd * term), None

        zero = jnp.zeros_like(square)
        even, odd = (jnp.asarray(sign, square.dtype) for sign in _signs(self.orders))
        carry = (jnp.ones_like(square), zero), zero, zero
        (_, real, imaginary), _ = jax.lax.scan(add_order, carry, (table, even, odd))
        if self.fold % 2 == 0:
            return real, None
        return real, imaginary * jnp.sqrt(jnp.maximum(square, 1e-30))


def _evaluate(k2, shape, table) -> jax.Array:
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
def taper() -> np.ndarray:
    """Towards the smallest radii, lest the ends of the period differ."""
    return 0.5 * (1 + special.erf(np.log2(radii_of(GRID)) - _CENTRE))


_RINGS = (_CENTRE - GRID.lowest + np.array([0, 2])) * GRID.radii // (GRID.highest - GRID.lowest)


def light_of(mean) -> tuple[jax.Array, jax.Array]:
    """Integral of r I(r) dr of a form on all radii, tapered; and what of it the taper takes away, as a power of r."""
    first, second = mean[_RINGS] / taper()[_RINGS]
    centre, power = light_of_power(first, second, 2.0**_CENTRE)
    centre = centre * jnp.exp((power * np.log(2) / 2) ** 2)
    return GRID.step * jnp.dot(mean, _weights(), precision="highest") + centre, centre


@cache
def _weights() -> np.ndarray:
    """Of the integral of r I(r) d(ln r): the trapezoid rule, its last value, next after the radii, as a line would go on."""
    weights = radii_of(GRID) ** 2
    weights[-2:] *= 0.5, 2.0
    return weights
