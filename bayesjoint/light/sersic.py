"""The Sersic profile: brightness, exact Fourier transform and total flux."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.cells import look_up
from bayesjoint.light.elliptical import HalfLightElliptical
from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.sersic_table import (
    inside_range,
    load_table,
    radial_table,
    sersic_b,
    sersic_log_norm,
    sersic_transform,
)

N_RANGE = (0.3, 10.0)


@parameters_are("centre", "q", "pa", "n", "Re", "Ie")
@dataclass(frozen=True, eq=False)
class Sersic(HalfLightElliptical):
    """Elliptical Sersic galaxy: I(r) = Ie exp(-b_n ((r/Re)^(1/n) - 1)), with exact b_n.

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre : array (2,)
        Arcsec East and North of the images' tangent point. A pair of numbers, or of arrays over the bands, will do; so
        will a list of pairs of numbers, one for each source of a `Windowed`.
    q : float
        Minor over major axis, 0 < q <= 1.
    pa : float
        Position angle of the major axis, degrees East of North.
    n : float
        Sersic index, 0.3 to 10.
    Re : float
        Semi-major half-light radius, arcsec.
    Ie : float
        Surface brightness at Re, nJy/arcsec^2; may be negative.
    name : str, optional
        Names the source's derived sites, e.g. `galaxy_flux`.

    Raises
    ------
    ValueError
        For numbers out of range; inside a compiled program `observe` gives minus infinity.

    References
    ----------
    Sersic 1968; Ciotti & Bertin 1999, A&A 352, 447; Graham & Driver 2005, PASA 22, 118.

    Examples
    --------
    >>> galaxy = Sersic(centre=(0.0, 0.0), q=0.7, pa=30.0, n=1.0, Re=2.0, Ie=100.0)
    >>> print(f"{galaxy.flux:.1f}")
    3345.6
    """

    centre: Any
    q: Any
    pa: Any
    n: Any
    Re: Any
    Ie: Any
    name: str | None = None

    shape: ClassVar[tuple[str, ...]] = ("n",)
    limits: ClassVar[dict[str, tuple[float, float]]] = {"n": N_RANGE}

    @property
    def flux(self) -> jax.Array:
        """Total flux to infinity, nJy: 2 pi q Re^2 Ie n b^(-2n) e^b Gamma(2n)."""
        log_norm = jnp.vectorize(sersic_log_norm)(self.n)  # n may differ from band to band
        return 2 * jnp.pi * self.q * self.Re**2 * self.Ie * jnp.exp(log_norm)

    @classmethod
    def fraction_within(cls, x, shape) -> jax.Array:
        """P(2n, b x^(1/n)), the regularised incomplete gamma function."""
        return jax.scipy.special.gammainc(2 * shape[0], sersic_b(shape[0]) * _root(x**2, shape[0]))

    @classmethod
    def radial_transform(cls, k2, shape, table=None) -> jax.Array:
        """Fourier transform of the round galaxy of unit flux at squared wave numbers, in units of 1/Re."""
        if table is None:
            return sersic_transform(k2, shape[0])
        return look_up(load_table().cells, cls.transform_table, k2, shape, table)

    @classmethod
    def transform_table(cls, shape, dtype) -> jax.Array:
        """The cubics of one index, for many wave numbers."""
        return radial_table(shape[0], dtype=dtype)

    @classmethod
    def radial_form(cls, r2, shape) -> jax.Array:
        """exp(-b (r^(1/n) - 1)) at squared radii in units of Re."""
        return jnp.exp(sersic_b(shape[0]) * (1 - _root(r2, shape[0])))

    @classmethod
    def radial_derivatives(cls, r2, shape) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The form at squared radii and its first two derivatives by them, written out."""
        n = inside_range(shape[0])
        root, b = _root(r2, n), sersic_b(n)
        inverse = 1 / jnp.where(r2 > 0, r2, 1.0)
        slope = b / (2 * n) * root * inverse
        value = jnp.exp(b * (1 - root))
        return value, -slope * value, slope * (slope + (1 - 1 / (2 * n)) * inverse) * value


def _root(r2, n) -> jax.Array:
    """(r^2)^(1/2n), with a finite derivative at 0; n held to its range, as the transform holds it."""
    safe = jnp.where(r2 > 0, r2, 1.0)
    return jnp.where(r2 > 0, jnp.exp(_log(safe) * (0.5 / inside_range(n))), 0.0)


@jax.custom_jvp
def _log(x) -> jax.Array:
    """The logarithm: one division serves its derivatives along all directions."""
    return jnp.log(x)


@_log.defjvp
def _log_jvp(primals, tangents) -> tuple[jax.Array, jax.Array]:
    (x,), (move,) = primals, tangents
    return jnp.log(x), move * (1 / x)
