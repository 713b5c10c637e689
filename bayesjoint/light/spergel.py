"""The Spergel profile: discs to bulges by one index, with a closed Fourier transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from bayesjoint.light.bessel import scaled_bessel, scaled_bessels
from bayesjoint.light.elliptical import HalfLightElliptical
from bayesjoint.light.pytree import parameters_are

# squared radius, in units of Re, inside which the brightness is held, for some have no end at the centre: of single
# precision, and of slopes; and of double precision
CORE2, DOUBLE_CORE2 = 4.0**-20, 4.0**-32
# ln c in powers of ln(1 + nu), to 1e-5
_START = (0.22885787, 0.75394462, -0.116391, 0.04026036, -0.01226053, 0.00324333, -0.00085369, 0.00016558)


@parameters_are("centre", "q", "pa", "nu", "Re", "Ie")
@dataclass(frozen=True, eq=False)
class Spergel(HalfLightElliptical):
    """Elliptical Spergel galaxy: I(r) = Ie u^nu K_nu(u) / (c^nu K_nu(c)) with u = c r/Re; its transform is closed.

    nu = 0.5 is the exponential disc, nu = -0.6 close to de Vaucouleurs' bulge. For nu <= 0 the brightness diverges at the
    centre: `brightness` holds it inside 2e-10 Re (1e-6 in single precision), pixels have all of it.

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa, Re, Ie
        As those of `Sersic`.
    nu : float
        Spergel index, -0.85 to 4.
    name : str, optional
        Names the source's derived sites.

    Raises
    ------
    ValueError
        For numbers out of range; inside a compiled program `observe` gives minus infinity.

    References
    ----------
    Spergel 2010, ApJS 191, 58.

    Examples
    --------
    >>> galaxy = Spergel(centre=(0.0, 0.0), q=0.7, pa=30.0, nu=0.5, Re=2.0, Ie=100.0)
    >>> print(f"{galaxy.flux:.1f} {galaxy.flux_within(2.0) / galaxy.flux:.3f}")
    3345.6 0.500
    """

    centre: Any
    q: Any
    pa: Any
    nu: Any
    Re: Any
    Ie: Any
    name: str | None = None

    shape: ClassVar[tuple[str, ...]] = ("nu",)
    limits: ClassVar[dict[str, tuple[float, float]]] = {"nu": (-0.85, 4.0)}

    @property
    def flux(self) -> jax.Array:
        """Total flux to infinity, nJy: 2 pi q Re^2 Ie 2^nu Gamma(1 + nu) / (c^(2 + nu) K_nu(c))."""
        return 2 * jnp.pi * self.q * self.Re**2 * self.Ie * self.of_shape(_light_of_form)

    @classmethod
    def fraction_within(cls, x, shape) -> jax.Array:
        """1 - (u/2)^(1 + nu) K_(1 + nu)(u) 2 / Gamma(1 + nu) (Spergel 2010, eq. 3)."""
        u2 = _constant(shape[0]) ** 2 * _outside_core(x**2)
        return 1 - scaled_bessel(1 + shape[0], u2) / _total(shape[0])

    @classmethod
    def radial_transform(cls, k2, shape, table=None) -> jax.Array:
        """(1 + k^2 / c^2)^-(1 + nu)."""
        inverse = (_constant(shape[0]) ** -2).astype(k2.dtype)
        return jnp.exp(-(1 + shape[0]).astype(k2.dtype) * jnp.log1p(k2 * inverse))

    @classmethod
    def radial_form(cls, r2, shape) -> jax.Array:
        """u^nu K_nu(u), over its value at Re, at squared radii in units of Re."""
        c2 = _constant(shape[0]) ** 2
        return scaled_bessel(shape[0], c2 * _outside_core(r2)) / scaled_bessel(shape[0], c2)

    @classmethod
    def radial_derivatives(cls, r2, shape) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The form at squared radii and its first two derivatives by them: Bessel functions of one and two orders less."""
        c2 = _constant(shape[0]) ** 2
        norm = scaled_bessel(shape[0], c2)
        value, less, least = scaled_bessels(shape[0], c2 * jnp.maximum(r2, CORE2), 3)
        outside = r2 > CORE2
        first = jnp.where(outside, -0.5 * c2 / norm * less, 0.0)
        return value / norm, first, jnp.where(outside, 0.25 * c2**2 / norm * least, 0.0)


def _outside_core(r2) -> jax.Array:
    """Squared radii, none smaller than that of the core."""
    return jnp.maximum(r2, DOUBLE_CORE2 if jnp.asarray(r2).dtype == jnp.float64 else CORE2)


def _constant(nu) -> jax.Array:
    """c: half of the light lies inside u = c; to 1e-12 in float64."""
    powers = jnp.asarray(np.array(_START[::-1]), nu.dtype)
    log_c = jax.lax.stop_gradient(jnp.polyval(powers, jnp.log1p(nu)))
    # each step doubles the digits, and after two the first and second derivatives by nu are those of the root
    for _ in range(2):
        u2 = jnp.exp(2 * log_c)
        outside, slope = scaled_bessels(1 + nu, u2, 2)
        log_c = log_c + (outside - 0.5 * _total(nu)) / (u2 * slope)
    return jnp.exp(log_c)


def _total(nu) -> jax.Array:
    """Integral of u u^nu K_nu(u) du from 0 to infinity: 2^nu Gamma(1 + nu)."""
    return jnp.exp(nu * np.log(2.0) + gammaln(1 + nu))


def _light_of_form(shape) -> jax.Array:
    """Integral of x I(x) dx where I(1) = 1."""
    c2 = _constant(shape[0]) ** 2
    return _total(shape[0]) / (c2 * scaled_bessel(shape[0], c2))
