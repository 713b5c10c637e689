"""Isophotes that turn and change their axis ratio with radius: warps, bars in discs, spirals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.checks import check_range
from bayesjoint.light.modifiers import ModifiedKind, Modifier
from bayesjoint.light.pytree import parameters_are


@dataclass(frozen=True)
class _Kind(ModifiedKind):
    radii: tuple[float, ...]

    own_fold = 2
    detail = 2

    @property
    def own_count(self) -> int:  # type: ignore[override]
        return 2 + 2 * len(self.radii)

    def modify(self, x, own) -> tuple[jax.Array, float]:
        """Places turned on the sky, and stretched across the turned axis."""
        unit, q, (twist, stretch) = own[0], own[1], own[2:].reshape(2, -1)
        ln_r = 0.5 * jnp.log(jnp.maximum(jnp.sum(x**2, axis=0), 1e-60)) + jnp.log(unit)
        both = _flat_ended_spline(self.radii, jnp.stack([jnp.deg2rad(twist), jnp.log(stretch)]), ln_r)
        cosine, sine = jnp.cos(both[0]), jnp.sin(both[0])
        along = x[0] * cosine + q * x[1] * sine
        across = (x[1] * cosine - x[0] * sine / q) * jnp.exp(-both[1])
        return jnp.stack([along, across]), 1.0


def _flat_ended_spline(radii: tuple[float, ...], values, ln_r) -> jax.Array:
    """Cubic splines in ln r through values (..., K) at the radii, constant inside the first and outside the last."""
    knots = np.log(radii)
    slopes = jnp.matmul(values, _spline_slopes(radii).T, precision="highest")
    ln_r = jnp.clip(ln_r, knots[0], knots[-1])  # where the slope is zero: knots within must not be clipped
    piece = sum((ln_r >= knot).astype(jnp.int32) for knot in knots[1:-1]) + jnp.zeros_like(ln_r, jnp.int32)
    width = jnp.asarray(np.diff(knots))[piece]
    t = (ln_r - jnp.asarray(knots)[piece]) / width
    left, right, start, end = (
        a[..., piece + i] for a, i in ((values, 0), (values, 1), (slopes, 0), (slopes, 1))
    )
    t, width = t[None], width[None]
    s = 1 - t
    return s**2 * (1 + 2 * t) * left + t**2 * (1 + 2 * s) * right + width * t * s * (s * start - t * end)


@cache
def _spline_slopes(radii: tuple[float, ...]) -> np.ndarray:
    """From values at the knots to the spline's slopes there, zero at both ends: (K, K)."""
    h, count = np.diff(np.log(radii)), len(radii)
    system, right = np.eye(count), np.zeros((count, count))
    for i in range(1, count - 1):
        a, b = h[i - 1], h[i]
        system[i, i - 1 : i + 2] = b, 2 * (a + b), a
        right[i, i - 1 : i + 2] = -3 * b / a, 3 * (b / a - a / b), 3 * a / b
    return np.linalg.solve(system, right)


@parameters_are("profile", "twist", "stretch", static=("radii",))
@dataclass(frozen=True, eq=False)
class Warp(Modifier):
    """A profile whose position angle and axis ratio run along with radius, as splines in ln r.

    Parameters
    ----------
    profile : Sersic or any other profile
    twist : array (K,)
        Position angle at each of the radii less that of the profile, degrees. A spiral is a long twist of a small q.
    stretch : array (K,)
        Axis ratio at each of the radii over that of the profile.
    radii : tuple of float
        Semi-major radii, arcsec, two or more, increasing; constants of the program. Inside the first and outside the last
        nothing changes any more.

    Examples
    --------
    >>> from bayesjoint.light.sersic import Sersic
    >>> disc = Sersic((0.0, 0.0), q=0.6, pa=30.0, n=1.0, Re=2.0, Ie=10.0)
    >>> turned = Warp(disc, twist=[25.0, 25.0], stretch=[1.0, 1.0], radii=(1.0, 4.0))
    >>> same = Sersic((0.0, 0.0), q=0.6, pa=55.0, n=1.0, Re=2.0, Ie=10.0)
    >>> print(f"{turned.brightness(1.0, 2.0):.4f} {same.brightness(1.0, 2.0):.4f}")
    5.8023 5.8023
    """

    profile: Any
    twist: Any
    stretch: Any
    radii: tuple[float, ...]

    shape: ClassVar[tuple[str, ...]] = ("twist", "stretch")
    events: ClassVar[Mapping[str, int]] = {"twist": 1, "stretch": 1}
    limits: ClassVar[dict[str, tuple[float, float]]] = {"stretch": (0.2, 5.0)}

    def __post_init__(self):
        for name in self.shape:
            object.__setattr__(self, name, jnp.asarray(getattr(self, name)))
        super().__post_init__()
        check_range("Warp", "twist", self.twist, -np.inf, np.inf)
        radii = tuple(float(radius) for radius in self.radii) if np.ndim(self.radii) == 1 else ()
        if len(radii) < 2 or not (np.all(np.isfinite(radii)) and radii[0] > 0 and np.all(np.diff(radii) > 0)):
            raise ValueError(
                f"Warp: radii must be two or more positive, increasing numbers, in a tuple such as (0.5, 2.0), "
                f"got {self.radii}"
            )
        for name in self.shape:
            if (shape := getattr(self, name).shape)[-1:] != (len(radii),):
                raise ValueError(
                    f"Warp: {name} must have one value for each of the {len(radii)} radii, got shape {shape}"
                )
        object.__setattr__(self, "radii", radii)

    @property
    def in_range(self) -> jax.Array:
        """Whether its own parameters are numbers in their ranges, and those of the profile within in theirs."""
        return jnp.all(jnp.isfinite(self.twist)) & super().in_range

    @property
    def shape_parts(self) -> tuple:
        """The parameters on which the form depends: those of its axes too."""
        return super().shape_parts + self.axis_parts

    @property
    def own_values(self) -> jax.Array:
        """Lengths of the axes, then twist and stretch."""
        major, minor = (jnp.linalg.norm(axis) for axis in self.axes)
        return jnp.concatenate([jnp.stack([major, minor / major]), super().own_values])

    @property
    def kind(self) -> ModifiedKind:
        """The form of the profile within, and how it is turned."""
        return _Kind(self.profile.kind, self.radii)
