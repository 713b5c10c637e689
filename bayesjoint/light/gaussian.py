"""The Gaussian profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.elliptical import Elliptical
from bayesjoint.light.pytree import parameters_are

FALL = 4 * np.log(2.0)  # I falls as exp(-FALL (r/fwhm)^2)


@parameters_are("centre", "q", "pa", "fwhm", "flux")
@dataclass(frozen=True, eq=False)
class Gaussian(Elliptical):
    """Elliptical Gaussian.

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa
        As those of `Sersic`.
    fwhm : float
        Full width at half maximum along the major axis, arcsec; half of it is the half-light radius.
    flux : float
        Total flux, nJy; may be negative.
    name : str, optional
        Names the source's derived sites.

    Examples
    --------
    >>> blob = Gaussian(centre=(0.0, 0.0), q=0.7, pa=30.0, fwhm=2.0, flux=100.0)
    >>> print(f"{blob.radial_brightness(1.0) / blob.radial_brightness(0.0):.3f}")
    0.500
    """

    centre: Any
    q: Any
    pa: Any
    fwhm: Any
    flux: Any
    name: str | None = None

    amplitude: ClassVar[str] = "flux"
    radius: ClassVar[str] = "fwhm"

    @property
    def half_light_radius(self) -> Any:
        """Semi-major half-light radius, arcsec."""
        return self.fwhm / 2

    @classmethod
    def fraction_within(cls, x, shape) -> jax.Array:
        """1 - 2^(-4 x^2)."""
        return -jnp.expm1(-FALL * x**2)

    @classmethod
    def radial_transform(cls, k2, shape, table=None) -> jax.Array:
        """exp(-k^2 / (16 ln 2))."""
        return jnp.exp(-k2 / (4 * FALL))

    @property
    def brightness_scale(self) -> Any:
        """Central brightness, nJy/arcsec^2."""
        return self.flux * FALL / (jnp.pi * self.q * self.fwhm**2)

    @classmethod
    def radial_form(cls, r2, shape) -> jax.Array:
        """2^(-4 r^2) at squared radii in units of the FWHM."""
        return jnp.exp(-FALL * r2)
