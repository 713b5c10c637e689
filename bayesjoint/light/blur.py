"""Light under a narrow kernel, to first order in the kernel's covariance C: I + C : grad grad I / 2."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def blurred_form(kind: Any, x, covariance, shape) -> jax.Array:
    """The form of a `Kind` convolved with a narrow kernel.

    Parameters
    ----------
    kind : Kind
    x : array (2, ...)
        Places in units of the semi-axes, several widths of the kernel away from the centre.
    covariance : arrays ((xx, xy), (xy, yy))
        Of the kernel, in the same units; of each place its own where they have axes.
    shape : array (parameters,)
    """
    (xx, xy), (_, yy) = covariance
    if kind.is_radial:
        value, first, second = kind.radial_derivatives(x[0] ** 2 + x[1] ** 2, shape)
        along = xx * x[0] ** 2 + 2 * xy * x[0] * x[1] + yy * x[1] ** 2
        return value + 2 * second * along + first * (xx + yy)
    value, by_xx, by_xy, by_yy = kind.plane_derivatives(x, shape)
    return value + 0.5 * (xx * by_xx + 2 * xy * by_xy + yy * by_yy)


def radial_derivatives(form, r2) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A function of the squared radius and its first two derivatives by it, elementwise."""

    def along(function, r2):
        return jax.jvp(function, (r2,), (jnp.ones_like(r2),))

    (value, first), (_, second) = along(lambda r2: along(form, r2), r2)
    return value, first, second


def plane_derivatives(form, x) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """A function of places (2, ...) and its second derivatives xx, xy and yy, elementwise."""

    def second(*direction):
        along = jnp.stack([jnp.full_like(x[0], part) for part in direction])

        def slope(x):
            return jax.jvp(form, (x,), (along,))

        (value, _), (_, bent) = jax.jvp(slope, (x,), (along,))
        return value, bent

    (value, xx), (_, yy), (_, both) = second(1.0, 0.0), second(0.0, 1.0), second(1.0, 1.0)
    return value, xx, 0.5 * (both - xx - yy), yy
