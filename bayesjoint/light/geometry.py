"""Ellipses on the sky: axis ratio and position angle as matrices, and as an ellipticity vector."""

from __future__ import annotations

import jax
import jax.numpy as jnp

ROUND = 1e-12


def semi_axes(q, pa, radius) -> jax.Array:
    """Rows are the semi-major and semi-minor axis vectors (east, north), arcsec; shape (2, 2).

    Parameters
    ----------
    q : scalar
        Minor over major axis.
    pa : scalar
        Position angle of the major axis, degrees East of North.
    radius : scalar
        Semi-major axis, arcsec.
    """
    angle = jnp.deg2rad(pa)
    major = jnp.stack([jnp.sin(angle), jnp.cos(angle)])
    minor = jnp.stack([jnp.cos(angle), -jnp.sin(angle)])
    return jnp.stack([radius * major, radius * q * minor])


def ellipse_coordinates(east, north, axes) -> jax.Array:
    """Offsets from the centre in units of the ellipse's semi-axes, which makes of it the unit circle.

    Parameters
    ----------
    east, north : array (...)
        Offsets, arcsec.
    axes : array (2, 2)
        From `semi_axes`.

    Returns
    -------
    array (2, ...), along the major and the minor axis.
    """
    east, north = jnp.broadcast_arrays(east, north)
    components = jnp.matmul(axes, jnp.stack([east.ravel(), north.ravel()]), precision="highest")
    scaled = components / jnp.sum(axes**2, axis=1)[:, None]
    return scaled.reshape(2, *east.shape)


def radius_of(r2) -> jax.Array:
    """Root of r^2, with a finite derivative at 0."""
    safe = jnp.where(r2 > 0, r2, 1.0)
    return jnp.where(r2 > 0, jnp.sqrt(safe), 0.0)


def axis_ratio_and_angle(ellipticity) -> tuple[jax.Array, jax.Array]:
    """Axis ratio q and position angle (degrees in [0, 180)) of an ellipticity vector.

    The vector is eta (cos 2 PA, sin 2 PA) with eta = -ln q (the conformal shear of Bernstein & Jarvis 2002), so that
    q = 1 and PA = 0 or 180 are ordinary points of the plane. At the origin the image's derivative is finite though
    those of q and PA are not: there the vector is taken 1e-6 off, which changes q by as much.

    Parameters
    ----------
    ellipticity : array (..., 2)

    Examples
    --------
    >>> q, pa = axis_ratio_and_angle(jnp.array([0.0, 0.5]))
    >>> print(f"{q:.4f} {pa:.1f}")
    0.6065 45.0
    """
    is_round = jnp.sum(ellipticity**2, axis=-1, keepdims=True) < ROUND
    e1, e2 = jnp.moveaxis(jnp.where(is_round, ellipticity + 1e-6, ellipticity), -1, 0)
    q = jnp.exp(-jnp.sqrt(e1**2 + e2**2))
    pa = jnp.rad2deg(0.5 * jnp.arctan2(e2, e1))
    return q, jnp.where(pa < 0, pa + 180.0, pa)


def ellipticity_vector(q, pa) -> jax.Array:
    """The ellipticity vector (2, ...) of axis ratios and position angles in degrees: inverse of `axis_ratio_and_angle`."""
    eta, angle = -jnp.log(q), 2 * jnp.deg2rad(pa)
    return jnp.stack([eta * jnp.cos(angle), eta * jnp.sin(angle)])
