"""What bends the isophotes of any profile, or ends its light: each wraps a profile, and they wrap one another.

A modified form is the old form at other places, or times a factor. Its transform is found in polar coordinates
(``polar.py``); all else is the wrapped profile's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.light import polar, rays
from bayesjoint.light.checks import check_plain, check_range
from bayesjoint.light.log_hankel import Grid, radii_of, waves_of
from bayesjoint.light.panels import Panels, nodes
from bayesjoint.light.polar import PolarKind
from bayesjoint.light.profile import Profile, ravelled
from bayesjoint.light.pytree import for_each


@dataclass(frozen=True)
class ModifiedKind(PolarKind):
    """A kind over that of the profile within, `inner`.

    Attributes
    ----------
    own_count : int
        How many shape parameters the modifier has: they come first, then those of the profile within.
    own_fold, own_mirrored : int, bool
        `fold` and `is_mirrored` of what is done to a radial form.
    along_rays : bool
        Whether places move along their rays alone, at all radii by the same factor.
    """

    inner: Any

    own_count: ClassVar[int]
    own_fold: ClassVar[int]
    own_mirrored: ClassVar[bool] = False
    along_rays: ClassVar[bool] = False

    @property
    def fold(self) -> int:  # type: ignore[override]
        """How often the form repeats in a turn; 0 where it is the same at all angles."""
        return math.gcd(0 if self.inner.is_radial else self.inner.fold, self.own_fold)

    @property
    def is_mirrored(self) -> bool:  # type: ignore[override]
        """Whether the form is the same on both sides of the first axis."""
        return self.own_mirrored and (self.inner.is_radial or self.inner.is_mirrored)

    @property
    def is_radial(self) -> bool:  # type: ignore[override]
        """Whether the form is the same at all angles."""
        return self.fold == 0

    @property
    def angles(self) -> int:
        """Angles within one part of a turn: its own, or as many in a turn as the form within asks for."""
        return max(super().angles, self._angles_within("angles"))

    @property
    def sampled_angles(self) -> int:
        """The same of those that are sampled."""
        return max(super().sampled_angles, self._angles_within("sampled_angles"))

    def _angles_within(self, name: str) -> int:
        if self.inner.is_radial:
            return 1
        return math.ceil(getattr(self.inner, name, 1) * self.inner.fold / self.fold)

    @property
    def has_end(self) -> bool:
        """Whether the innermost form ends at its own radius 1."""
        return getattr(self.inner, "has_end", False)

    @property
    def same_on_rays(self) -> bool:
        """Whether the form is the same on all rays, but for the unit of radius."""
        return self.along_rays and (self.inner.is_radial or getattr(self.inner, "same_on_rays", False))

    def modify(self, x, own) -> tuple[jax.Array, Any]:
        """Where the form within is taken, (2, ...), and the factor that it gets."""
        raise NotImplementedError

    def plane_form(self, x, shape) -> jax.Array:
        """Brightness at x (2, ...), in units of the semi-axes, for unit `brightness_scale`."""
        own = shape[: self.own_count]
        place, factor = self.modify(x, own)
        # forms that hold their centre know no NaN in a radius: with one in the shape there is no brightness
        return (factor + 0.0 * jnp.sum(own)) * self.inner.plane_form(place, shape[self.own_count :])

    def place(self, x, shape) -> jax.Array:
        """Where the innermost form is taken."""
        place, _ = self.modify(x, shape[: self.own_count])
        within = getattr(self.inner, "place", None)
        return place if within is None else within(place, shape[self.own_count :])

    def rays(self, shape) -> tuple[Panels, jax.Array, jax.Array]:
        """Panels, values of the form at their nodes on each ray (rays, nodes), and the unit of radius there (rays,)."""
        along = jnp.asarray(self.directions)
        ends = jnp.exp(rays.log_ends(lambda x: self.place(x, shape), along, self.same_on_rays))
        panels = rays.ending() if self.has_end else rays.endless()
        first = 1 if self.same_on_rays else self.sampled_angles
        radii = ends[:first, None] * jnp.asarray(nodes(panels).x)[None]
        values = self.plane_form(along[:, :first, None] * radii[None], shape)
        return panels, jnp.broadcast_to(values, (self.sampled_angles, values.shape[1])), ends

    def light(self, shape) -> jax.Array:
        """Integral of the form over the plane, over 2 pi."""
        if self.has_end:
            return jnp.mean(rays.light_on(*self.rays(shape)))
        if self.same_on_rays:
            one, ends = self.one_ray(shape)
            return jnp.mean(ends**2) * polar.light_of(one)[0]
        return super().light(shape)

    def harmonics(self, shape) -> tuple[jax.Array, jax.Array, jax.Array, Grid]:
        """Of all orders, in ln r, with light and what is left at the centre, and their grid."""
        if not self.has_end:
            return self.turned_harmonics(shape) if self.same_on_rays else super().harmonics(shape)
        panels, values, ends = self.rays(shape)
        waves = rays.waves_on(values[:1] if self.same_on_rays else values, ends)
        series = jax.lax.complex(self.series(waves.real), self.series(waves.imag))
        light, centre = jnp.mean(rays.light_on(panels, values, ends)), rays.light_at_centre(values, ends)
        return series, light, centre, rays.GRID

    def turned_harmonics(self, shape) -> tuple[jax.Array, jax.Array, jax.Array, Grid]:
        """The same from one ray: on all others the form is that, at other radii."""
        one, ends = self.one_ray(shape)
        waves = rays.shifted(waves_of(one[None, None], polar.GRID)[0], polar.GRID.omega, ends)
        series = jax.lax.complex(self.series(waves.real), self.series(waves.imag))
        light, centre = polar.light_of(one)
        area = jnp.mean(ends**2)
        return series, area * light, area * centre, polar.GRID

    def one_ray(self, shape) -> tuple[jax.Array, jax.Array]:
        """The form on the first ray, tapered, and the unit of radius on all."""
        along = self.directions
        ends = jnp.exp(rays.log_ends(lambda x: self.place(x, shape), jnp.asarray(along), straight=True))
        circles = jnp.asarray(along[:, :1] * radii_of(polar.GRID)[None])
        return self.plane_form(circles * ends[0], shape) * polar.taper(), ends

    def growth(self, shape) -> tuple[Callable, Callable, jax.Array]:
        """Functions of a radius: the light within, over 2 pi, and the mean brightness there; and all the light."""
        panels, values, ends = self.rays(shape)
        along, first = jnp.asarray(self.directions), panels.edges[0]
        at_first, outside = (self.plane_form(along * (r * ends)[None], shape) for r in (first, 4 * first))
        centre = jnp.mean(ends**2 * rays.light_of_power(at_first, outside, first)[0])

        def light(radius):
            return centre + rays.light_within(panels, values, ends, radius)

        def density(radius):
            return jnp.mean(self.plane_form(along * radius, shape))

        return light, density, centre + jnp.mean(rays.light_on(panels, values, ends))


class Modifier(Profile):
    """Base of modifiers: `profile` is the profile within; place, axes and brightness are its own."""

    amplitude: ClassVar[str] = ""
    radius: ClassVar[str] = ""
    profile: Any

    def __post_init__(self):
        owner = type(self).__name__
        if not isinstance(self.profile, Profile):
            raise TypeError(
                f"{owner} wants a profile such as Sersic to modify, got {type(self.profile).__name__}"
            )
        _check_form(owner, self.profile)
        for name in self.shape:
            check_plain(owner, name, getattr(self, name), "")
        for name, (low, high) in self.limits.items():
            check_range(owner, name, getattr(self, name), low, high)

    @property
    def name(self) -> str:
        """That of the profile within, or its class in small letters."""
        return self.profile.name or type(self.profile).__name__.lower()

    @property
    def centre(self) -> Any:  # type: ignore[override]
        """That of the profile within."""
        return self.profile.centre

    @property
    def axes(self) -> jax.Array:
        """Those of the profile within."""
        return self.profile.axes

    @property
    def unit(self) -> Any:
        """That of the profile within."""
        return self.profile.unit

    @property
    def brightness_scale(self) -> Any:
        """That of the profile within."""
        return self.profile.brightness_scale

    @property
    def in_range(self) -> jax.Array:
        """Whether its own parameters, and those of the profile within, lie in their ranges."""
        return super().in_range & self.profile.in_range if self.limits else self.profile.in_range

    @property
    def axis_parts(self) -> tuple:
        """The parameters on which the lengths of the axes depend."""
        return self.profile.axis_parts

    @property
    def shape_parts(self) -> tuple:
        """The parameters on which the form depends: its own, then those of the profile within."""
        return super().shape_parts + self.profile.shape_parts

    @property
    def own_values(self) -> jax.Array:
        """What the modification depends on, (parameters,)."""
        return ravelled(super().shape_parts)

    @property
    def shape_values(self) -> jax.Array:
        """What the form of a profile on one image depends on, (parameters,)."""
        return jnp.concatenate([self.own_values, self.profile.shape_values])

    @property
    def flux(self) -> jax.Array:  # type: ignore[override]
        """Total flux, nJy."""
        return _flux(self)

    @property
    def half_light_radius(self) -> jax.Array:
        """Semi-major axis of the ellipse, of the profile within, that holds half the light, arcsec."""
        return _half_light_radius(self)

    def flux_within(self, radius) -> jax.Array:
        """Curve of growth: flux inside the ellipse, of the profile within, of semi-major axis `radius`, nJy.

        Parameters
        ----------
        radius : array
            Arcsec; broadcast against parameters that have a leading axis.
        """
        return _flux_within(self, jnp.asarray(radius, jnp.result_type(float)))


@quick_jit
def _flux(profile: Modifier) -> jax.Array:
    def one(profile):
        return profile.brightness_scale * _area(profile) * profile.kind.area(profile.shape_values)

    return for_each(one, profile)


@quick_jit
def _half_light_radius(profile: Modifier) -> jax.Array:
    def one(profile):
        light, density, whole = profile.kind.growth(profile.shape_values)
        return jnp.linalg.norm(profile.axes[0]) * rays.half_light(light, density, whole)

    return for_each(one, profile)


@quick_jit
def _flux_within(profile: Modifier, radius) -> jax.Array:
    def one(profile, radius):
        light, _, _ = profile.kind.growth(profile.shape_values)
        within = jax.vmap(light)(jnp.ravel(radius) / jnp.linalg.norm(profile.axes[0]))
        return 2 * np.pi * profile.brightness_scale * _area(profile) * within.reshape(radius.shape)

    leading = for_each(lambda profile: jnp.zeros(()), profile).shape
    if not leading:
        return one(profile, radius)
    radius = jnp.broadcast_to(radius, np.broadcast_shapes(radius.shape, leading))
    return jnp.moveaxis(for_each(one, profile, jnp.moveaxis(radius, -1, 0)), 0, -1)


def _area(profile: Modifier) -> jax.Array:
    """That of the parallelogram of the axes, arcsec^2."""
    (a, b), (c, d) = profile.axes
    return jnp.abs(a * d - b * c)


def _check_form(owner: str, profile: Profile) -> None:
    """Raise TypeError for a profile whose form is not radial and does not tell its symmetry."""
    kind = profile.kind
    if kind.is_radial or (hasattr(kind, "fold") and hasattr(kind, "is_mirrored")):
        return
    raise TypeError(
        f"{owner} cannot modify {type(profile).__name__}: its form is not the same at all angles, and it does not say how "
        "often it repeats in a turn. Modify a profile such as Sersic, or give the form's kind `fold` and `is_mirrored`"
    )
