"""What profiles of elliptical isophotes share: brightness and transform as functions of radius alone."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light import panels
from bayesjoint.light.blur import radial_derivatives
from bayesjoint.light.profile import Profile


class Elliptical(Profile):
    """Base of profiles with a centre, an axis ratio `q`, a position angle `pa` and a semi-major axis as unit of radius.

    They give `radial_form`, `radial_transform` and `flux`.
    """

    is_radial: ClassVar[bool] = True

    @classmethod
    def radial_form(cls, r2, shape) -> jax.Array:
        """Brightness at squared radii, in units of the profile's own, for unit `brightness_scale`."""
        raise NotImplementedError

    @classmethod
    def radial_derivatives(cls, r2, shape) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The form at squared radii and its first two derivatives by them."""
        return radial_derivatives(lambda r2: cls.radial_form(r2, shape), r2)

    @classmethod
    def radial_transform(cls, k2, shape, table=None) -> jax.Array:
        """Fourier transform of the round profile of unit flux at squared wave numbers, radians per unit of radius.

        Parameters
        ----------
        k2 : array
        shape : array (parameters,)
            Values of the `shape` parameters.
        table : array, optional
            From `transform_table`: the same values, quicker at many wave numbers.
        """
        raise NotImplementedError

    @classmethod
    def plane_form(cls, x, shape) -> jax.Array:
        """Brightness at x (2, ...), in units of the semi-axes, for unit `brightness_scale`."""
        return cls.radial_form(jnp.sum(x**2, axis=0), shape)

    @classmethod
    def plane_transform(cls, k1, k2, shape, table=None) -> tuple[jax.Array, None]:
        """Fourier transform of the form of unit flux; real."""
        return cls.radial_transform(k1**2 + k2**2, shape, table), None

    @classmethod
    def fraction_within(cls, x, shape) -> jax.Array:
        """Fraction of the flux inside radius x, a scalar, in units of the profile's own; by quadrature unless closed."""
        return panels.fraction_within(panels.standard(), cls._at_nodes(shape), x)

    @classmethod
    def half_light(cls, shape) -> jax.Array:
        """Half-light radius in units of the profile's own; by quadrature unless closed."""
        return panels.half_light(panels.standard(), cls._at_nodes(shape))

    @classmethod
    def _at_nodes(cls, shape) -> jax.Array:
        x = jnp.asarray(panels.nodes(panels.standard()).x, jnp.result_type(float))
        return cls.radial_form(x**2, shape)

    @property
    def half_light_radius(self) -> Any:
        """Semi-major half-light radius, arcsec."""
        return self.unit * self.of_shape(self.kind.half_light)

    def flux_within(self, radius) -> jax.Array:
        """Curve of growth: flux inside the ellipse of semi-major axis `radius`, nJy.

        Parameters
        ----------
        radius : array
            Arcsec; broadcast against parameters that have a leading axis.
        """
        return self.flux * self.of_shape(self.kind.fraction_within, radius / self.unit)

    def radial_brightness(self, radius) -> jax.Array:
        """Surface brightness (nJy/arcsec^2) at radii along the major axis, arcsec."""
        return self.brightness_scale * self.kind.radial_form((radius / self.unit) ** 2, self.shape_values)


class HalfLightElliptical(Elliptical):
    """Base of profiles given by the half-light radius `Re` and the brightness `Ie` there."""

    amplitude: ClassVar[str] = "Ie"
    radius: ClassVar[str] = "Re"

    Re: Any
    Ie: Any

    @property
    def half_light_radius(self) -> Any:
        """Semi-major half-light radius, arcsec."""
        return self.Re
