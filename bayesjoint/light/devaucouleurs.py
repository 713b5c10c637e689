"""The de Vaucouleurs profile: the Sersic profile of n = 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from bayesjoint.light.cells import look_up
from bayesjoint.light.elliptical import HalfLightElliptical
from bayesjoint.light.geometry import radius_of
from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.sersic_table import load_table, radial_table, sersic_transform

B = 7.669249442500804  # half of the flux lies inside
NORM = 3.6072839834411594  # n b^(-2n) e^b Gamma(2n)


@parameters_are("centre", "q", "pa", "Re", "Ie")
@dataclass(frozen=True, eq=False)
class DeVaucouleurs(HalfLightElliptical):
    """Elliptical de Vaucouleurs bulge: I(r) = Ie exp(-7.669 ((r/Re)^(1/4) - 1)).

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa, Re, Ie
        As those of `Sersic`.
    name : str, optional
        Names the source's derived sites, e.g. `bulge_flux`.

    References
    ----------
    de Vaucouleurs 1948, Ann. Astrophys. 11, 247.

    Examples
    --------
    >>> bulge = DeVaucouleurs(centre=(0.0, 0.0), q=0.7, pa=30.0, Re=2.0, Ie=100.0)
    >>> print(f"{bulge.flux:.1f}")
    6346.3
    """

    centre: Any
    q: Any
    pa: Any
    Re: Any
    Ie: Any
    name: str | None = None

    @property
    def flux(self) -> jax.Array:
        """Total flux to infinity, nJy."""
        return 2 * jnp.pi * self.q * self.Re**2 * self.Ie * NORM

    @classmethod
    def fraction_within(cls, x, shape) -> jax.Array:
        """P(8, b x^(1/4)), the regularised incomplete gamma function."""
        return jax.scipy.special.gammainc(jnp.full_like(x, 8.0), B * radius_of(radius_of(x)))

    @classmethod
    def radial_transform(cls, k2, shape, table=None) -> jax.Array:
        """That of Sersic at n = 4."""
        n = jnp.full(1, 4.0, k2.dtype)
        return (
            sersic_transform(k2, n[0])
            if table is None
            else look_up(load_table().cells, cls.transform_table, k2, n, table)
        )

    @classmethod
    def transform_table(cls, shape, dtype) -> jax.Array:
        """The cubics of n = 4, for many wave numbers."""
        return radial_table(jnp.asarray(4.0, dtype), dtype=dtype)

    @classmethod
    def radial_form(cls, r2, shape) -> jax.Array:
        """exp(-b (r^(1/4) - 1)) at squared radii in units of Re."""
        return jnp.exp(B * (1 - radius_of(radius_of(radius_of(r2)))))
