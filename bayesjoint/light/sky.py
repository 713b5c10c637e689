"""Sky backgrounds, added in real space: they know no PSF. All are polynomials over an image, linear in all they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.checks import take_numbers
from bayesjoint.light.pytree import parameters_are

ARCSEC_PER_ARCMIN = 60.0


class Sky:
    """Base of backgrounds.

    Attributes
    ----------
    amplitude : tuple of str
        The parameters in which the sky is linear: all.
    events : dict
        How many axes a parameter has of its own, where it has any.
    is_flat : bool
        Whether its `level` says all of it.
    """

    amplitude: ClassVar[tuple[str, ...]]
    events: ClassVar[Mapping[str, int]] = {}
    is_flat: ClassVar[bool] = False

    level: Any

    def surface(self, size, jacobian) -> jax.Array:
        """Coefficients (m, m) of v^i u^j, nJy/arcsec^2, where u and v run from -1 to 1 over x and y, edge to edge.

        Of a sky on one image; without its `level`, so that [0, 0] is 0.

        Parameters
        ----------
        size : array (2,)
            Pixels of the image along x and y.
        jacobian : array (2, 2)
            d(x, y)/d(east, north) at its centre, pixels per arcsec.
        """
        raise NotImplementedError


@parameters_are("level", static=())
@dataclass(frozen=True, eq=False)
class FlatSky(Sky):
    """Constant surface brightness over the image.

    Parameters
    ----------
    level : float
        nJy/arcsec^2; may carry a leading axis over the images (or bands) of the set it is rendered on.

    Examples
    --------
    >>> FlatSky(12.0)
    FlatSky(level=12.0)
    """

    level: Any

    amplitude: ClassVar[tuple[str, ...]] = ("level",)
    is_flat: ClassVar[bool] = True

    def __post_init__(self):
        take_numbers(self, level="nJy/arcsec^2")


@parameters_are("level", "gradient", static=())
@dataclass(frozen=True, eq=False)
class PlaneSky(Sky):
    """Surface brightness that changes evenly over the image, about the image's own centre.

    Parameters
    ----------
    level : float
        At the image's centre, nJy/arcsec^2; may carry a leading axis over the images (or bands) of the set it is
        rendered on.
    gradient : array (2,)
        Towards East and towards North, nJy/arcsec^2 per arcmin; may carry such an axis before its own.

    Examples
    --------
    >>> PlaneSky(12.0, gradient=(0.5, -0.2)).gradient.shape
    (2,)
    """

    level: Any
    gradient: Any

    amplitude: ClassVar[tuple[str, ...]] = ("level", "gradient")
    events: ClassVar[Mapping[str, int]] = {"gradient": 1}

    def __post_init__(self):
        take_numbers(self, level="nJy/arcsec^2", gradient="nJy/arcsec^2/arcmin")

    def surface(self, size, jacobian) -> jax.Array:
        """The gradient along x and y, half an image long."""
        a, b, c, d = jacobian[0, 0], jacobian[0, 1], jacobian[1, 0], jacobian[1, 1]
        east, north = self.gradient / (ARCSEC_PER_ARCMIN * (a * d - b * c))
        along, across = (east * d - north * c) * size[0] / 2, (north * a - east * b) * size[1] / 2
        zero = jnp.zeros_like(along)
        return jnp.stack([zero, along, across, zero]).reshape(2, 2)


@parameters_are("coefficients", static=())
@dataclass(frozen=True, eq=False)
class PolynomialSky(Sky):
    """Surface brightness that is a polynomial over the image's pixels.

    Parameters
    ----------
    coefficients : array (order + 1, order + 1)
        nJy/arcsec^2: [i, j] multiplies v^i u^j, where u and v run from -1 to 1 over x and y, from edge to edge of the
        image. (2, 2) is bilinear. May carry a leading axis over the images (or bands) of the set it is rendered on.

    Raises
    ------
    ValueError
        For coefficients that are no square, when rendered.

    Examples
    --------
    >>> print(PolynomialSky([[12.0, 0.3], [-0.1, 0.0]]).level)
    12.0
    """

    coefficients: Any

    amplitude: ClassVar[tuple[str, ...]] = ("coefficients",)
    events: ClassVar[Mapping[str, int]] = {"coefficients": 2}

    def __post_init__(self):
        take_numbers(self, coefficients="nJy/arcsec^2")

    @property
    def level(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Surface brightness at the image's centre, nJy/arcsec^2."""
        return self.coefficients[..., 0, 0]

    def surface(self, size, jacobian) -> jax.Array:
        """The coefficients but for the constant."""
        rows, columns = self.coefficients.shape
        if rows != columns:
            raise ValueError(
                f"PolynomialSky: coefficients must be (order + 1, order + 1), got ({rows}, {columns})"
            )
        return self.coefficients.at[0, 0].set(0.0)
