"""The King profile of star clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.radial import NumericalProfile


@parameters_are("centre", "q", "pa", "rt", "concentration", "alpha", "I0")
@dataclass(frozen=True, eq=False)
class King(NumericalProfile):
    """Elliptical modified King profile (Elson 1999; alpha = 2: King 1962, AJ 67, 471).

    I(r) = I0 ((u^-1/alpha - v^-1/alpha) / (1 - v^-1/alpha))^alpha with u = 1 + (r/rc)^2 and v = 1 + (rt/rc)^2 inside rt.

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa
        As those of `Sersic`.
    rt : float
        Semi-major truncation radius, arcsec.
    concentration : float
        rt over the core radius rc, 1 to 300.
    alpha : float
        Shape, 0.5 to 10; 2 is King's.
    I0 : float
        Surface brightness at the centre, nJy/arcsec^2.
    name : str, optional
        Names the source's derived sites.

    Examples
    --------
    >>> cluster = King((0.0, 0.0), q=0.9, pa=0.0, rt=30.0, concentration=20.0, alpha=2.0, I0=5.0)
    >>> print(f"{cluster.radial_brightness(0.0):.3f}")
    5.000
    """

    centre: Any
    q: Any
    pa: Any
    rt: Any
    concentration: Any
    alpha: Any
    I0: Any
    name: str | None = None

    amplitude: ClassVar[str] = "I0"
    radius: ClassVar[str] = "rt"
    has_end: ClassVar[bool] = True
    shape: ClassVar[tuple[str, ...]] = ("concentration", "alpha")
    limits: ClassVar[dict[str, tuple[float, float]]] = {"concentration": (1.0, 300.0), "alpha": (0.5, 10.0)}

    @staticmethod
    def form(x, *shape: Any) -> jax.Array:
        """Brightness over I0 at radius x in units of rt."""
        concentration, alpha = shape
        within = x < 1
        safe = jnp.where(within, x, 0.5)
        end = jnp.exp(-jnp.log1p(concentration**2) / alpha)
        here = jnp.exp(-jnp.log1p((safe * concentration) ** 2) / alpha)
        return jnp.where(within, ((here - end) / (1 - end)) ** alpha, 0.0)
