"""Light that ends at a radius, or begins at one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bayesjoint.light.checks import check_range
from bayesjoint.light.geometry import radius_of
from bayesjoint.light.modifiers import ModifiedKind, Modifier
from bayesjoint.light.pytree import parameters_are

_SHARPEST = 0.1 * (1 - 1e-7)  # of the softness over the end; but for rounding


@dataclass(frozen=True)
class _Kind(ModifiedKind):
    is_inner: bool

    own_count = 2
    own_fold = 0
    own_mirrored = True

    def modify(self, x, own) -> tuple[jax.Array, jax.Array]:
        """The factor of light that is left."""
        end, softness = own
        past = 2 * (radius_of(jnp.sum(x**2, axis=0)) - end) / softness
        return x, jax.nn.sigmoid(past if self.is_inner else -past)


@parameters_are("profile", "end", "softness", static=("inner",))
@dataclass(frozen=True, eq=False)
class Truncated(Modifier):
    """A profile times (1 - tanh((r - end) / softness)) / 2, or with plus for an inner truncation (a ring).

    Parameters
    ----------
    profile : Sersic or any other profile
    end : float
        Semi-major radius where half the light is left, arcsec.
    softness : float
        How far to either side, along the major axis, the light takes to end, arcsec; from a tenth of `end` on.
    inner : bool
        Whether the light inside `end` is taken away, not that outside; a constant of the program.

    Examples
    --------
    >>> from bayesjoint.light.sersic import Sersic
    >>> disc = Sersic((0.0, 0.0), q=0.6, pa=30.0, n=1.0, Re=2.0, Ie=10.0)
    >>> outside, inside = Truncated(disc, 3.0, 0.5, inner=True), Truncated(disc, 3.0, 0.5)
    >>> print(f"{inside.flux / disc.flux:.4f} {(inside.flux + outside.flux) / disc.flux:.6f}")
    0.7076 1.000000
    """

    profile: Any
    end: Any
    softness: Any
    inner: bool = False

    shape: ClassVar[tuple[str, ...]] = ("end", "softness")
    positive: ClassVar[tuple[str, ...]] = ("end", "softness")

    def __post_init__(self):
        super().__post_init__()
        check_range("Truncated", "end", self.end, 0, np.inf, open_below=True)
        check_range("Truncated", "softness", self.softness, 0, np.inf, open_below=True)
        if not any(isinstance(value, Tracer) for value in (self.end, self.softness)):
            sharpness = np.asarray(self.softness) / np.asarray(self.end)
            check_range("Truncated", "softness / end", sharpness, _SHARPEST, np.inf)

    @property
    def in_range(self) -> jax.Array:
        """Whether its own parameters, their ratio, and those of the profile within lie in their ranges."""
        end, softness = (jnp.asarray(value) for value in (self.end, self.softness))
        sound = jnp.all((end > 0) & (end < jnp.inf)) & jnp.all((softness > 0) & (softness < jnp.inf))
        return sound & jnp.all(softness >= _SHARPEST * end) & self.profile.in_range

    @property
    def shape_parts(self) -> tuple:
        """The parameters on which the form depends: those of its unit of radius too."""
        return super().shape_parts + self.axis_parts

    @property
    def own_values(self) -> jax.Array:
        """Where and how softly, in units of the semi-major axis."""
        return super().own_values / jnp.linalg.norm(self.axes[0])

    @property
    def kind(self) -> ModifiedKind:
        """The form of the profile within, and where it ends."""
        return _Kind(self.profile.kind, bool(self.inner))
