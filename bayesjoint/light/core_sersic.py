"""The core-Sersic profile: a Sersic galaxy with a shallower core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.radial import NumericalProfile
from bayesjoint.light.sersic_table import sersic_b


@parameters_are("centre", "q", "pa", "Re", "n", "core", "gamma", "alpha", "Ie")
@dataclass(frozen=True, eq=False)
class CoreSersic(NumericalProfile):
    """Elliptical core-Sersic galaxy (Graham et al. 2003, AJ 125, 2951, eq. 5; Trujillo et al. 2004, AJ 127, 1917).

    I(r) = I' (1 + (rb/r)^alpha)^(gamma/alpha) exp(-b ((r^alpha + rb^alpha) / Re^alpha)^(1/(alpha n))),

    with b that of `Sersic`.

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa
        As those of `Sersic`.
    Re : float
        Semi-major radius of the Sersic part, arcsec: half of the light without a core lies inside.
    n : float
        Sersic index, 0.5 to 8.
    core : float
        Break radius over Re, 1e-4 to 1.
    gamma : float
        Logarithmic slope of the core, 0 to 1.
    alpha : float
        Sharpness of the break, 0.5 to 10.
    Ie : float
        Brightness I' e^-b, nJy/arcsec^2: at Re where the core is small.
    name : str, optional
        Names the source's derived sites.

    Examples
    --------
    >>> galaxy = CoreSersic((0.0, 0.0), q=0.8, pa=30.0, Re=5.0, n=4.0, core=0.02, gamma=0.1, alpha=2.0, Ie=10.0)
    >>> bool(galaxy.half_light_radius > 5.0)
    True
    """

    centre: Any
    q: Any
    pa: Any
    Re: Any
    n: Any
    core: Any
    gamma: Any
    alpha: Any
    Ie: Any
    name: str | None = None

    amplitude: ClassVar[str] = "Ie"
    radius: ClassVar[str] = "Re"
    shape: ClassVar[tuple[str, ...]] = ("n", "core", "gamma", "alpha")
    limits: ClassVar[dict[str, tuple[float, float]]] = {
        "n": (0.5, 8.0),
        "core": (1e-4, 1.0),
        "gamma": (0.0, 1.0),
        "alpha": (0.5, 10.0),
    }

    @staticmethod
    def form(x, *shape: Any) -> jax.Array:
        """Brightness over Ie at radius x in units of Re."""
        n, core, gamma, alpha = shape
        ln_x, ln_core = jnp.log(x), jnp.log(core)
        inner = gamma / alpha * jnp.logaddexp(0.0, alpha * (ln_core - ln_x))
        outer = jnp.exp(jnp.logaddexp(alpha * ln_x, alpha * ln_core) / (alpha * n))
        return jnp.exp(inner + sersic_b(n) * (1 - outer))
