"""What profiles of elliptical isophotes share: their ellipse, and brightness and transform as functions of radius alone.

A profile is a small file: a frozen dataclass of this kind names its parameters and gives `radial_brightness`,
`radial_transform` and `flux`. Where it lies, how it is turned, its lattice of copies and its derivatives follow.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.checks import check_plain, check_range
from bayesjoint.light.geometry import as_centre, ellipse_coordinates, semi_axes

AB_ZEROPOINT_NJY = 31.4
UNITS = {"centre": "arcsec", "q": "", "pa": "deg", "Re": "arcsec", "Ie": "nJy/arcsec^2", "flux": "nJy"}


class Elliptical:
    """Base of profiles with a centre, an axis ratio `q`, a position angle `pa` and a semi-major axis as unit of radius.

    Attributes
    ----------
    amplitude : str
        The parameter in which light is linear.
    radius : str
        The parameter that is the unit of radius: a semi-major axis, arcsec.
    shape : tuple of str
        Parameters on which the radial form depends, in this unit.
    """

    amplitude: ClassVar[str]
    radius: ClassVar[str]
    shape: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[dict[str, tuple[float, float]]] = {}

    centre: Any
    q: Any
    pa: Any
    flux: Any

    def __post_init__(self):
        owner = type(self).__name__
        for name, value in vars(self).items():
            if name != "name":
                check_plain(owner, name, value, UNITS.get(name, ""))
        object.__setattr__(self, "centre", as_centre(self.centre))
        check_range(owner, "q", self.q, 0, 1, open_below=True)
        check_range(owner, self.radius, getattr(self, self.radius), 0, jnp.inf, open_below=True)
        for name, (low, high) in self.limits.items():
            check_range(owner, name, getattr(self, name), low, high)

    def radial_brightness(self, r2) -> jax.Array:
        """Surface brightness (nJy/arcsec^2) at squared radii in units of the profile's own."""
        raise NotImplementedError

    @classmethod
    def radial_transform(cls, k2, shape, table=None) -> jax.Array:
        """Fourier transform of the round profile of unit flux at squared wave numbers, radians per unit of radius.

        Parameters
        ----------
        k2 : array
        shape : array (parameters,)
            Values of the `shape` parameters.
        table : array, optional
            From `radial_table`: the same values, quicker at many wave numbers.
        """
        raise NotImplementedError

    @classmethod
    def radial_table(cls, shape, dtype) -> jax.Array | None:
        """What makes `radial_transform` quick at many wave numbers; None where nothing does."""
        return None

    @property
    def axes(self) -> jax.Array:
        """Semi-axis vectors (2, 2) of the ellipse of unit radius, arcsec."""
        return semi_axes(self.q, self.pa, getattr(self, self.radius))

    @property
    def shape_values(self) -> jax.Array:
        """The `shape` parameters of a profile on one image, (parameters,)."""
        return jnp.asarray([getattr(self, name) for name in self.shape], jnp.result_type(float))

    @property
    def magnitude(self) -> jax.Array:
        """Total AB magnitude; NaN for a flux that is not positive."""
        flux = jnp.asarray(self.flux)
        return AB_ZEROPOINT_NJY - 2.5 * jnp.log10(jnp.where(flux > 0, flux, jnp.nan))

    def transform(self, kx, ky) -> jax.Array:
        """Fourier transform of the unit-flux galaxy about its centre at angular frequencies (radians/arcsec; E, N)."""
        axes = self.axes
        k2 = (kx * axes[0, 0] + ky * axes[0, 1]) ** 2 + (kx * axes[1, 0] + ky * axes[1, 1]) ** 2
        return self.radial_transform(k2, self.shape_values)

    def brightness(self, east, north) -> jax.Array:
        """Surface brightness (nJy/arcsec^2) at offsets from the centre, arcsec."""
        return self.radial_brightness(jnp.sum(ellipse_coordinates(east, north, self.axes) ** 2, axis=0))

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

        def along(function, r2):
            return jax.jvp(function, (r2,), (jnp.ones_like(r2),))

        r2 = jnp.sum(x**2, axis=0)
        (value, first), (_, second) = along(lambda r2: along(self.radial_brightness, r2), r2)
        spread = jnp.sum(x * jnp.tensordot(covariance, x, 1, precision="highest"), axis=0)
        return value + 2 * second * spread + first * (covariance[0, 0] + covariance[1, 1])
