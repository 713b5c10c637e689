"""The Sersic profile: brightness, exact Fourier transform and total flux."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.checks import check_plain, check_range
from bayesjoint.light.geometry import as_centre, ellipse_coordinates, semi_axes
from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.sersic_table import sersic_b, sersic_log_norm, sersic_transform

N_RANGE = (0.3, 10.0)
_UNITS = {"centre": "arcsec", "q": "", "pa": "deg", "n": "", "Re": "arcsec", "Ie": "nJy/arcsec^2"}


@parameters_are("centre", "q", "pa", "n", "Re", "Ie")
@dataclass(frozen=True, eq=False)
class Sersic:
    """Elliptical Sersic galaxy: I(r) = Ie exp(-b_n ((r/Re)^(1/n) - 1)), with exact b_n.

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre : array (2,)
        Arcsec East and North of the images' tangent point.
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
        For numbers out of range (values inside a compiled program are not checked).

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

    amplitude: ClassVar[str] = "Ie"

    def __post_init__(self):
        for name, unit in _UNITS.items():
            check_plain("Sersic", name, getattr(self, name), unit)
        object.__setattr__(self, "centre", as_centre(self.centre))
        check_range("Sersic", "q", self.q, 0, 1, open_below=True)
        check_range("Sersic", "n", self.n, *N_RANGE)
        check_range("Sersic", "Re", self.Re, 0, np.inf, open_below=True)

    @property
    def flux(self) -> jax.Array:
        """Total flux to infinity, nJy: 2 pi q Re^2 Ie n b^(-2n) e^b Gamma(2n)."""
        log_norm = jnp.vectorize(sersic_log_norm)(self.n)  # n may differ from band to band
        return 2 * jnp.pi * self.q * self.Re**2 * self.Ie * jnp.exp(log_norm)

    @property
    def axes(self) -> jax.Array:
        """Semi-axis vectors (2, 2) of the half-light ellipse, arcsec."""
        return semi_axes(self.q, self.pa, self.Re)

    def transform(self, kx, ky) -> jax.Array:
        """Fourier transform of the unit-flux galaxy about its centre at angular frequencies (radians/arcsec; E, N)."""
        axes = self.axes
        k2 = (kx * axes[0, 0] + ky * axes[0, 1]) ** 2 + (kx * axes[1, 0] + ky * axes[1, 1]) ** 2
        return sersic_transform(k2, self.n)

    def brightness(self, east, north) -> jax.Array:
        """Surface brightness (nJy/arcsec^2) at offsets from the centre, arcsec."""
        r2 = jnp.sum(ellipse_coordinates(east, north, self.axes) ** 2, axis=0)
        return self.Ie * jnp.exp(sersic_b(self.n) * (1 - _root(r2, self.n)))

    def blurred_brightness(self, x, covariance) -> jax.Array:
        """Brightness convolved with a narrow kernel, to first order in its covariance: I + C : grad grad I / 2.

        Parameters
        ----------
        x : array (2, ...)
            Offsets from the centre along the major and the minor axis, in units of these: several widths of the kernel
            away from the centre.
        covariance : array (2, 2)
            Of the kernel, in the same units.
        """
        r2 = jnp.sum(x**2, axis=0)
        root, b = _root(r2, self.n), sersic_b(self.n)
        # derivatives by r2: I' = -slope I, I'' = (slope^2 + bend slope) I
        inverse = 1 / jnp.where(r2 > 0, r2, 1.0)
        slope = b / (2 * self.n) * root * inverse
        bend = (1 - 1 / (2 * self.n)) * inverse
        along = jnp.sum(x * jnp.tensordot(covariance, x, 1, precision="highest"), axis=0)
        curvature = slope * (2 * (slope + bend) * along - (covariance[0, 0] + covariance[1, 1]))
        return self.Ie * jnp.exp(b * (1 - root)) * (1 + curvature)


def _root(r2, n) -> jax.Array:
    """(r^2)^(1/2n), with a finite derivative at 0."""
    safe = jnp.where(r2 > 0, r2, 1.0)
    return jnp.where(r2 > 0, jnp.exp(jnp.log(safe) / (2 * n)), 0.0)
