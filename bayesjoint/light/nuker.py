"""The Nuker profile of galaxy centres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.radial import NumericalProfile


@parameters_are("centre", "q", "pa", "rb", "alpha", "beta", "gamma", "Ib")
@dataclass(frozen=True, eq=False)
class Nuker(NumericalProfile):
    """Elliptical Nuker profile: a broken power law (Lauer et al. 1995, AJ 110, 2622).

    I(r) = Ib 2^((beta - gamma)/alpha) (r/rb)^-gamma (1 + (r/rb)^alpha)^((gamma - beta)/alpha).

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa
        As those of `Sersic`.
    rb : float
        Semi-major break radius, arcsec.
    alpha : float
        Sharpness of the break, 0.3 to 10.
    beta : float
        Outer slope, 2.5 to 10: shallower ones have no finite flux.
    gamma : float
        Inner slope, 0 to 1.5.
    Ib : float
        Surface brightness at the break, nJy/arcsec^2.
    name : str, optional
        Names the source's derived sites.

    Examples
    --------
    >>> centre = Nuker((0.0, 0.0), q=0.8, pa=30.0, rb=1.0, alpha=2.0, beta=4.0, gamma=0.5, Ib=10.0)
    >>> print(f"{centre.radial_brightness(1.0):.3f}")
    10.000
    """

    centre: Any
    q: Any
    pa: Any
    rb: Any
    alpha: Any
    beta: Any
    gamma: Any
    Ib: Any
    name: str | None = None

    amplitude: ClassVar[str] = "Ib"
    radius: ClassVar[str] = "rb"
    shape: ClassVar[tuple[str, ...]] = ("alpha", "beta", "gamma")
    limits: ClassVar[dict[str, tuple[float, float]]] = {
        "alpha": (0.3, 10.0),
        "beta": (2.5, 10.0),
        "gamma": (0.0, 1.5),
    }

    @staticmethod
    def form(x, *shape: Any) -> jax.Array:
        """Brightness over Ib at radius x in units of rb."""
        alpha, beta, gamma = shape
        ln_x = jnp.log(x)
        turn = jnp.logaddexp(0.0, alpha * ln_x) - jnp.log(2.0)
        return jnp.exp(-gamma * ln_x + (gamma - beta) / alpha * turn)
