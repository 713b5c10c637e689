"""What bends the isophotes of any profile, or ends its light: each wraps a profile, and they wrap one another.

A modified form is the old form at other places, or times a factor. Its transform is found in polar coordinates
(``polar.py``); all else is the wrapped profile's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.checks import check_plain, check_range
from bayesjoint.light.panels import half_light, nodes, standard
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
    """

    inner: Any

    own_count: ClassVar[int]
    own_fold: ClassVar[int]
    own_mirrored: ClassVar[bool] = False

    @property
    def fold(self) -> int:  # type: ignore[override]
        """How often the form repeats in a turn; 0 where it is the same at all angles."""
        within = 0 if self.inner.is_radial else getattr(self.inner, "fold", 2)
        return math.gcd(within, self.own_fold)

    @property
    def is_mirrored(self) -> bool:  # type: ignore[override]
        """Whether the form is the same on both sides of the first axis."""
        return self.own_mirrored and getattr(self.inner, "is_mirrored", True)

    @property
    def is_radial(self) -> bool:  # type: ignore[override]
        """Whether the form is the same at all angles."""
        return self.fold == 0

    def modify(self, x, own) -> tuple[jax.Array, Any]:
        """Where the form within is taken, (2, ...), and the factor that it gets."""
        raise NotImplementedError

    def plane_form(self, x, shape) -> jax.Array:
        """Brightness at x (2, ...), in units of the semi-axes, for unit `brightness_scale`."""
        place, factor = self.modify(x, shape[: self.own_count])
        return factor * self.inner.plane_form(place, shape[self.own_count :])


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

        def one(profile):
            (a, b), (c, d) = profile.axes
            size = jnp.abs(a * d - b * c)
            return profile.brightness_scale * size * profile.kind.area(profile.shape_values)

        return for_each(one, self)

    @property
    def half_light_radius(self) -> jax.Array:
        """Semi-major axis of the ellipse, of the profile within, that holds half the light; on one image, arcsec."""
        angle = np.pi * (np.arange(128) + 0.5) / 64
        circles = np.stack([np.cos(angle), np.sin(angle)])[:, :, None] * nodes(standard()).x
        form = self.kind.plane_form(jnp.asarray(circles), self.shape_values)
        return jnp.linalg.norm(self.axes[0]) * half_light(standard(), jnp.mean(form, axis=0))
