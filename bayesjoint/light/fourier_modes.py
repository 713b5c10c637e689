"""Isophotes bent by Fourier modes: lopsided, boxy, three-cornered."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.checks import check_range
from bayesjoint.light.modifiers import ModifiedKind, Modifier
from bayesjoint.light.pytree import parameters_are


@dataclass(frozen=True)
class _Kind(ModifiedKind):
    modes: tuple[int, ...]

    along_rays = True

    @property
    def own_count(self) -> int:  # type: ignore[override]
        return 2 * len(self.modes)

    @property
    def own_fold(self) -> int:  # type: ignore[override]
        return math.gcd(*self.modes)

    def modify(self, x, own) -> tuple[jax.Array, float]:
        """Places moved along the radius."""
        amplitude, phase = own[: len(self.modes)], jnp.deg2rad(own[len(self.modes) :])
        inverse = jax.lax.rsqrt(jnp.maximum(jnp.sum(x**2, axis=0), 1e-60))
        one = x[0] * inverse, x[1] * inverse
        cosine, sine, bend = jnp.ones_like(inverse), jnp.zeros_like(inverse), jnp.zeros_like(inverse)
        for order in range(1, max(self.modes) + 1):
            cosine, sine = cosine * one[0] - sine * one[1], sine * one[0] + cosine * one[1]
            if order in self.modes:
                i = self.modes.index(order)
                angle = order * phase[i]
                bend = bend + amplitude[i] * (cosine * jnp.cos(angle) + sine * jnp.sin(angle))
        return x * jnp.exp(-bend)[None], 1.0


@parameters_are("profile", "amplitudes", "phases", static=("modes",))
@dataclass(frozen=True, eq=False)
class FourierModes(Modifier):
    """A profile whose isophotes have the radius r exp(sum_m a_m cos(m (theta - phi_m))) .

    Cf. Peng et al. 2010, AJ 139, 2097, whose modes stand in front of the radius itself.

    Parameters
    ----------
    profile : Sersic or any other profile
    amplitudes : array (modes,)
        a_m: how far, of its radius, an isophote bulges.
    phases : array (modes,)
        phi_m, degrees from the major axis towards the minor one (from North to East where pa = 0), in the plane where the
        profile is round: where the isophotes bulge most.
    modes : tuple of int
        The m, constants of the program: 1 is lopsided, 3 three-cornered, 4 boxy or discy.

    Examples
    --------
    >>> from bayesjoint.light.sersic import Sersic
    >>> disc = Sersic((0.0, 0.0), q=0.6, pa=30.0, n=1.0, Re=2.0, Ie=10.0)
    >>> bent = FourierModes(disc, amplitudes=[0.2, 0.05], phases=[30.0, 0.0], modes=(1, 3))
    >>> print(f"{bent.flux / disc.flux:.4f}")
    1.0430
    """

    profile: Any
    amplitudes: Any
    phases: Any
    modes: tuple[int, ...]

    shape: ClassVar[tuple[str, ...]] = ("amplitudes", "phases")
    events: ClassVar[Mapping[str, int]] = {"amplitudes": 1, "phases": 1}

    def __post_init__(self):
        super().__post_init__()
        modes = _as_modes(self.modes)
        for name in self.shape:
            value = jnp.asarray(getattr(self, name))
            if value.shape[-1:] != (len(modes),):
                raise ValueError(
                    f"FourierModes: {name} must have one value for each of the {len(modes)} modes, got shape {value.shape}"
                )
            check_range("FourierModes", name, value, -np.inf, np.inf)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "modes", modes)

    @property
    def in_range(self) -> jax.Array:
        """Whether its own parameters are numbers, and those of the profile within lie in their ranges."""
        return jnp.all(jnp.isfinite(self.own_values)) & self.profile.in_range

    @property
    def kind(self) -> ModifiedKind:
        """The form of the profile within, and how it is bent."""
        return _Kind(self.profile.kind, self.modes)


def _as_modes(given: Any) -> tuple[int, ...]:
    """Modes as a tuple of plain integers; raises ValueError for what is none."""
    modes = tuple(given) if isinstance(given, Iterable) else (given,)
    whole = all(isinstance(m, int | np.integer) and not isinstance(m, bool) and 1 <= m <= 12 for m in modes)
    if not isinstance(given, Iterable) or not modes or not whole:
        raise ValueError(
            f"FourierModes: modes must be whole numbers from 1 to 12, in a tuple such as (1, 3), got {given!r}"
        )
    if len(set(modes)) < len(modes):
        raise ValueError(
            f"FourierModes: modes must differ from one another, got {given!r}: give each one once"
        )
    return tuple(int(m) for m in modes)
