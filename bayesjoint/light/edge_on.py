"""The disc seen from its edge: isothermal in height, exponential in radius."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light import panels
from bayesjoint.light.bessel import scaled_bessel, scaled_bessels
from bayesjoint.light.geometry import semi_axes
from bayesjoint.light.profile import Profile
from bayesjoint.light.pytree import parameters_are

INNERMOST2 = 4.0**-20  # of r^2, in units of rs: below it u K1(u) is 1 to 1e-11
_SERIES = (1.0, -1 / 6, 7 / 360, -31 / 15120, 127 / 604800, -73 / 3421440)  # of z / sinh(z) in z^2


@parameters_are("centre", "pa", "rs", "hs", "I0")
@dataclass(frozen=True, eq=False)
class EdgeOnDisc(Profile):
    """Edge-on disc: I(r, h) = I0 (r/rs) K1(r/rs) sech^2(h/hs), r along the major axis and h across.

    It is the projection of the luminosity density L0 exp(-R/rs) sech^2(z/hs), with I0 = 2 rs L0. Its ellipses,
    of half-light radius and curve of growth, have the axes' ratio hs / rs; its transform is closed.

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, pa
        As those of `Sersic`.
    rs : float
        Scale length of the disc, arcsec.
    hs : float
        Scale height, arcsec.
    I0 : float
        Surface brightness at the centre, nJy/arcsec^2; may be negative.
    name : str, optional
        Names the source's derived sites.

    Raises
    ------
    ValueError
        For lengths that are not positive; inside a compiled program `observe` gives minus infinity.

    References
    ----------
    van der Kruit & Searle 1981, A&A 95, 105.

    Examples
    --------
    >>> disc = EdgeOnDisc(centre=(0.0, 0.0), pa=30.0, rs=4.0, hs=0.5, I0=10.0)
    >>> print(f"{disc.flux:.2f} {disc.magnitude:.3f}")
    125.66 26.152
    """

    centre: Any
    pa: Any
    rs: Any
    hs: Any
    I0: Any
    name: str | None = None

    amplitude: ClassVar[str] = "I0"
    radius: ClassVar[str] = "rs"
    positive: ClassVar[tuple[str, ...]] = ("hs",)
    # what a modifier must know of a form that is not radial
    fold: ClassVar[int] = 2
    is_mirrored: ClassVar[bool] = True
    angles: ClassVar[int] = 128
    sampled_angles: ClassVar[int] = 512

    @property
    def axes(self) -> jax.Array:
        """Scale length and height as vectors (2, 2), arcsec."""
        return semi_axes(self.hs / self.rs, self.pa, self.rs)

    @property
    def flux(self) -> Any:
        """Total flux, nJy: 2 pi rs hs I0."""
        return 2 * jnp.pi * self.rs * self.hs * self.I0

    @property
    def half_light_radius(self) -> Any:
        """Semi-major axis, along the disc, of the ellipse of axis ratio hs / rs that holds half the light, arcsec."""
        return self.rs * panels.half_light(panels.standard(), _rings())

    def flux_within(self, radius) -> jax.Array:
        """Curve of growth: flux inside the ellipse of axis ratio hs / rs and semi-major axis `radius`, nJy.

        Parameters
        ----------
        radius : array
            Arcsec; broadcast against parameters that have a leading axis.
        """
        x = jnp.asarray(radius / self.rs, jnp.result_type(float))
        values = _rings()
        within = jax.vmap(lambda x: panels.fraction_within(panels.standard(), values, x))(jnp.ravel(x))
        return self.flux * within.reshape(x.shape)

    @classmethod
    def plane_form(cls, x, shape) -> jax.Array:
        """r K1(r) sech^2(h) at x = (r, h) in units of rs and hs."""
        return scaled_bessel(1.0, jnp.maximum(x[0] ** 2, INNERMOST2)) * _across(x[1])

    @classmethod
    def plane_derivatives(cls, x, shape) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """The form at x and its second derivatives xx, xy, yy.

        [r K1(r)]' = -r K0(r), [r K1(r)]'' = r K1(r) - K0(r), [sech^2]' = -2 sech^2 tanh, [sech^2]'' = sech^2 (4 - 6 sech^2).
        """
        along, k0 = scaled_bessels(1.0, jnp.maximum(x[0] ** 2, INNERMOST2), 2)
        outside = x[0] ** 2 > INNERMOST2
        slope, bend = jnp.where(outside, -x[0] * k0, 0.0), jnp.where(outside, along - k0, 0.0)
        across = _across(x[1])
        fall = -2 * across * jnp.tanh(x[1])
        return along * across, bend * across, slope * fall, along * across * (4 - 6 * across)

    @classmethod
    def plane_transform(cls, k1, k2, shape, table=None) -> tuple[jax.Array, None]:
        """(1 + k1^2)^(-3/2) z / sinh(z) with z = pi k2 / 2; real."""
        root = jax.lax.rsqrt(1 + k1**2)
        return root * root * root * _over_sinh(0.5 * jnp.pi * k2), None


def _rings() -> jax.Array:
    """Mean of the form on the ellipses of the nodes of panels, by Gauss-Legendre crowded towards the cusp across."""
    t, w = np.polynomial.legendre.leggauss(96)
    s = (t + 1) / 2
    angle = 0.5 * np.pi * (1 - s**2)
    x = np.stack([np.cos(angle), np.sin(angle)])[:, :, None] * panels.nodes(panels.standard()).x
    form = EdgeOnDisc.plane_form(jnp.asarray(x), jnp.zeros(0))
    return jnp.matmul(jnp.asarray(w * s), form, precision="highest")


def _across(h) -> jax.Array:
    """sech^2(h): even, written so that neither it nor its slopes overflow."""
    fall = jnp.exp(-2 * jnp.abs(h))
    return 4 * fall / (1 + fall) ** 2


def _over_sinh(z) -> jax.Array:
    """z / sinh(z)."""
    z2 = z**2
    near = z2 < 0.04
    series = jnp.polyval(jnp.asarray(_SERIES[::-1], z.dtype), jnp.where(near, z2, 0.0))
    far = jnp.where(near, 1.0, jnp.abs(z))
    return jnp.where(near, series, 2 * far * jnp.exp(-far) / -jnp.expm1(-2 * far))
