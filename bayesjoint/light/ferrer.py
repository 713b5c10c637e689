"""The Ferrer profile of bars and lenses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.radial import NumericalProfile


@parameters_are("centre", "q", "pa", "rout", "alpha", "beta", "I0")
@dataclass(frozen=True, eq=False)
class Ferrer(NumericalProfile):
    """Elliptical Ferrer profile: I(r) = I0 (1 - (r/rout)^(2 - beta))^alpha inside rout (Peng et al. 2010, AJ 139, 2097).

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa
        As those of `Sersic`.
    rout : float
        Semi-major radius where it ends, arcsec.
    alpha : float
        Sharpness of the end, 0.5 to 10.
    beta : float
        Cusp of the centre, 0 to 1.9.
    I0 : float
        Surface brightness at the centre, nJy/arcsec^2.
    name : str, optional
        Names the source's derived sites.

    Examples
    --------
    >>> bar = Ferrer((0.0, 0.0), q=0.3, pa=30.0, rout=4.0, alpha=2.0, beta=0.0, I0=10.0)
    >>> print(f"{bar.flux:.3f}")
    50.265
    """

    centre: Any
    q: Any
    pa: Any
    rout: Any
    alpha: Any
    beta: Any
    I0: Any
    name: str | None = None

    amplitude: ClassVar[str] = "I0"
    radius: ClassVar[str] = "rout"
    has_end: ClassVar[bool] = True
    shape: ClassVar[tuple[str, ...]] = ("alpha", "beta")
    limits: ClassVar[dict[str, tuple[float, float]]] = {"alpha": (0.5, 10.0), "beta": (0.0, 1.9)}

    @staticmethod
    def form(x, *shape: Any) -> jax.Array:
        """Brightness over I0 at radius x in units of rout."""
        alpha, beta = shape
        within = x < 1
        safe = jnp.where(within, x, 0.5)
        return jnp.where(within, jnp.exp(alpha * jnp.log1p(-(safe ** (2 - beta)))), 0.0)
