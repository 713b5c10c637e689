"""The Moffat profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.radial import NumericalProfile


@parameters_are("centre", "q", "pa", "rd", "beta", "I0")
@dataclass(frozen=True, eq=False)
class Moffat(NumericalProfile):
    """Elliptical Moffat profile: I(r) = I0 (1 + (r/rd)^2)^(-beta) (Moffat 1969, A&A 3, 455).

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa
        As those of `Sersic`.
    rd : float
        Semi-major scale radius, arcsec; the FWHM is 2 rd sqrt(2^(1/beta) - 1).
    beta : float
        Slope of the wings, 1.5 to 20.
    I0 : float
        Surface brightness at the centre, nJy/arcsec^2; may be negative.
    name : str, optional
        Names the source's derived sites.

    Examples
    --------
    >>> star = Moffat(centre=(0.0, 0.0), q=1.0, pa=0.0, rd=1.0, beta=3.0, I0=1.0)
    >>> print(f"{star.flux:.4f}")
    1.5708
    """

    centre: Any
    q: Any
    pa: Any
    rd: Any
    beta: Any
    I0: Any
    name: str | None = None

    amplitude: ClassVar[str] = "I0"
    radius: ClassVar[str] = "rd"
    shape: ClassVar[tuple[str, ...]] = ("beta",)
    limits: ClassVar[dict[str, tuple[float, float]]] = {"beta": (1.5, 20.0)}

    @staticmethod
    def form(x, *shape: Any) -> jax.Array:
        """(1 + x^2)^-beta."""
        (beta,) = shape
        return jnp.exp(-beta * jnp.log1p(x**2))
