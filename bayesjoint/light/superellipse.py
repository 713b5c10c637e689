"""Boxy and discy isophotes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.modifiers import ModifiedKind, Modifier
from bayesjoint.light.pytree import parameters_are

_BLUNT = 1e-6  # keeps the second derivative finite on the axes; of an exponent of 2 nothing of it is left


class _Kind(ModifiedKind):
    own_count = 1
    own_fold = 4
    sampling = 8
    own_mirrored = True
    along_rays = True

    def modify(self, x, own) -> tuple[jax.Array, float]:
        """Generalised radius on the first axis: one direction is as good as another of a radial form."""
        (exponent,) = own
        square = jnp.maximum(jnp.sum(x**2, axis=0), 1e-60)
        # each axis in units of the radius, so that no power of it over- or underflows
        u, v = (((part**2 / square + _BLUNT) / (1 + 2 * _BLUNT)) ** (exponent / 2) for part in x)
        stretch = jnp.exp(jnp.log(u + v) / exponent)
        return x * stretch[None], 1.0


@parameters_are("profile", "exponent", static=())
@dataclass(frozen=True, eq=False)
class Superellipse(Modifier):
    """A profile with boxy or discy isophotes: |x/a|^c + |y/b|^c = 1 (Athanassoula et al. 1990, MNRAS 245, 130).

    Parameters
    ----------
    profile : Sersic or any other profile
    exponent : float
        c, 1.5 to 6: 2 is an ellipse, more is boxy, less is discy. GALFIT's C0 is c - 2.

    Examples
    --------
    >>> from bayesjoint.light.sersic import Sersic
    >>> disc = Sersic((0.0, 0.0), q=0.6, pa=30.0, n=1.0, Re=2.0, Ie=10.0)
    >>> print(f"{Superellipse(disc, 3.0).flux / disc.flux:.3f}")
    1.125
    """

    profile: Any
    exponent: Any

    shape: ClassVar[tuple[str, ...]] = ("exponent",)
    limits: ClassVar[dict[str, tuple[float, float]]] = {"exponent": (1.5, 6.0)}

    @property
    def kind(self) -> ModifiedKind:
        """The form of the profile within, and how it is bent."""
        return _Kind(self.profile.kind)
