"""The point source: a star, a nucleus, a supernova."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.checks import take_numbers
from bayesjoint.light.pytree import parameters_are


@parameters_are("centre", "flux")
@dataclass(frozen=True, eq=False)
class PointSource:
    """Unresolved source.

    Either parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre : array (2,)
        As that of `Sersic`: arcsec East and North of the images' tangent point.
    flux : float
        Total flux, nJy; may be negative.
    name : str, optional
        Names the source's derived sites, e.g. `star_flux`.

    Examples
    --------
    >>> star = PointSource((0.1, -0.2), flux=250.0, name="star")
    >>> star.flux
    250.0
    """

    centre: Any
    flux: Any
    name: str | None = None

    amplitude: ClassVar[str] = "flux"
    events: ClassVar[Mapping[str, int]] = {"centre": 1}

    def __post_init__(self):
        take_numbers(self, centre="arcsec", flux="nJy")

    @property
    def drawn_flux(self) -> Any:
        """What the transform is to be multiplied by, nJy."""
        return self.flux

    def transform(self, kx, ky) -> jax.Array:
        """Fourier transform of the unit-flux source about its centre: 1 at all angular frequencies."""
        return jnp.ones(jnp.broadcast_shapes(jnp.shape(kx), jnp.shape(ky)), jnp.result_type(kx, ky))
