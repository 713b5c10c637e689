"""The exponential disc: the Sersic profile of n = 1, whose transform is closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from bayesjoint.light.elliptical import HalfLightElliptical
from bayesjoint.light.geometry import radius_of
from bayesjoint.light.pytree import parameters_are

B = 1.6783469900166612  # half of the flux lies inside: (1 + b) exp(-b) = 1/2


@parameters_are("centre", "q", "pa", "Re", "Ie")
@dataclass(frozen=True, eq=False)
class Exponential(HalfLightElliptical):
    """Elliptical exponential disc: I(r) = Ie exp(-b (r/Re - 1)), b = 1.678; its scale length is Re / b.

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa, Re, Ie
        As those of `Sersic`.
    name : str, optional
        Names the source's derived sites, e.g. `disc_flux`.

    References
    ----------
    Freeman 1970, ApJ 160, 811.

    Examples
    --------
    >>> disc = Exponential(centre=(0.0, 0.0), q=0.7, pa=30.0, Re=2.0, Ie=100.0)
    >>> print(f"{disc.flux:.1f} {disc.scale_length:.3f}")
    3345.6 1.192
    """

    centre: Any
    q: Any
    pa: Any
    Re: Any
    Ie: Any
    name: str | None = None

    @property
    def flux(self) -> jax.Array:
        """Total flux to infinity, nJy: 2 pi q Re^2 Ie e^b / b^2."""
        return 2 * jnp.pi * self.q * self.Re**2 * self.Ie * jnp.exp(B) / B**2

    @property
    def scale_length(self) -> Any:
        """Semi-major radius over which the light falls by e, arcsec."""
        return self.Re / B

    @classmethod
    def fraction_within(cls, x, shape) -> jax.Array:
        """1 - (1 + b x) exp(-b x)."""
        return 1 - (1 + B * x) * jnp.exp(-B * x)

    @classmethod
    def radial_transform(cls, k2, shape, table=None) -> jax.Array:
        """(1 + k^2 / b^2)^(-3/2)."""
        root = jax.lax.rsqrt(1 + k2 / B**2)
        return root * root * root

    @classmethod
    def radial_form(cls, r2, shape) -> jax.Array:
        """exp(-b (r - 1)) at squared radii in units of Re."""
        return jnp.exp(B * (1 - radius_of(r2)))
