"""The multi-Gaussian expansion: any light that falls outwards, as a sum of concentric Gaussians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bayesjoint.light.elliptical import Elliptical
from bayesjoint.light.pytree import parameters_are

_MEDIAN = np.sqrt(2 * np.log(2.0))  # radius with half of one Gaussian's light, over its dispersion
_BISECTIONS = 40


@parameters_are("centre", "q", "pa", "sigma", "fraction", "flux")
@dataclass(frozen=True, eq=False)
class MultiGaussian(Elliptical):
    """Sum of elliptical Gaussians of one centre, axis ratio and position angle.

    I(r) = flux sum_k f_k exp(-r^2 / (2 sigma_k^2)) / (2 pi q sigma_k^2), with f = fraction / sum(fraction).

    Any parameter may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa
        As those of `Sersic`.
    sigma : array (K,)
        Dispersions along the major axis, arcsec.
    fraction : array (K,)
        Relative fluxes of the Gaussians, 0 or more; divided by their sum.
    flux : float
        Total flux, nJy; may be negative.
    name : str, optional
        Names the source's derived sites.

    Raises
    ------
    ValueError
        For vectors of different lengths, or numbers out of range; inside a compiled program `observe` gives minus infinity.

    References
    ----------
    Emsellem, Monnet & Bacon 1994, A&A 285, 723; Cappellari 2002, MNRAS 333, 400.

    Examples
    --------
    >>> galaxy = MultiGaussian((0.0, 0.0), q=0.7, pa=30.0, sigma=[0.5, 2.0], fraction=[1.0, 3.0], flux=100.0)
    >>> print(f"{galaxy.half_light_radius:.3f} {galaxy.flux_within(2.0):.2f}")
    1.803 54.50
    """

    centre: Any
    q: Any
    pa: Any
    sigma: Any
    fraction: Any
    flux: Any
    name: str | None = None

    amplitude: ClassVar[str] = "flux"
    radius: ClassVar[str] = ""
    shape: ClassVar[tuple[str, ...]] = ("sigma", "fraction")
    positive: ClassVar[tuple[str, ...]] = ("sigma",)
    limits: ClassVar[dict[str, tuple[float, float]]] = {"fraction": (0.0, np.inf)}
    events: ClassVar[Mapping[str, int]] = {"centre": 1, "sigma": 1, "fraction": 1}

    def __post_init__(self):
        super().__post_init__()
        sigma, fraction = jnp.shape(self.sigma), jnp.shape(self.fraction)
        if not sigma or sigma[-1:] != fraction[-1:]:
            raise ValueError(
                f"MultiGaussian: sigma and fraction must be vectors of one length, got shapes {sigma} and {fraction}"
            )
        if not isinstance(self.fraction, Tracer) and not np.all(
            np.any(np.asarray(self.fraction) > 0, axis=-1)
        ):
            raise ValueError(f"MultiGaussian: fraction must be positive somewhere, got {self.fraction}")

    @property
    def in_range(self) -> jax.Array:
        """Whether all parameters lie in their ranges, and there is light at all."""
        return super().in_range & jnp.all(jnp.sum(self.fraction, axis=-1) > 0)

    @property
    def unit(self) -> float:
        """Unit of radius: 1 arcsec."""
        return 1.0

    @property
    def brightness_scale(self) -> Any:
        """The flux that a round source would have with this brightness, nJy."""
        return self.flux / self.q

    @classmethod
    def radial_transform(cls, k2, shape, table=None) -> jax.Array:
        """Sum of f_k exp(-k^2 sigma_k^2 / 2)."""
        variance, fraction = _gaussians(shape)
        return _mixture(fraction, 0.5 * variance, k2)

    @classmethod
    def radial_form(cls, r2, shape) -> jax.Array:
        """Sum of f_k exp(-r^2 / (2 sigma_k^2)) / (2 pi sigma_k^2) at squared radii, arcsec^2."""
        variance, fraction = _gaussians(shape)
        return _mixture(fraction / (2 * jnp.pi * variance), 0.5 / variance, r2)

    @classmethod
    def fraction_within(cls, x, shape) -> jax.Array:
        """1 - sum of f_k exp(-x^2 / (2 sigma_k^2))."""
        variance, fraction = _gaussians(shape)
        return -jnp.sum(fraction * jnp.expm1(-0.5 * x**2 / variance))

    @classmethod
    def half_light(cls, shape) -> jax.Array:
        """Half-light radius, arcsec: bisection, then two steps of Newton's method, which carry the derivatives."""
        variance, fraction = _gaussians(shape)
        half = jax.lax.stop_gradient(shape)
        ends = (
            jnp.log(_MEDIAN * jnp.min(half[: variance.size])),
            jnp.log(_MEDIAN * jnp.max(half[: variance.size])),
        )

        def bisect(_, ends):
            low, high = ends
            middle = 0.5 * (low + high)
            beyond = cls.fraction_within(jnp.exp(middle), half) > 0.5
            return jnp.where(beyond, low, middle), jnp.where(beyond, middle, high)

        log_x = sum(jax.lax.fori_loop(0, _BISECTIONS, bisect, ends)) / 2
        for _ in range(2):
            x2 = jnp.exp(2 * log_x)
            slope = jnp.sum(fraction * x2 / variance * jnp.exp(-0.5 * x2 / variance))
            log_x = log_x - (cls.fraction_within(jnp.exp(log_x), shape) - 0.5) / slope
        return jnp.exp(log_x)


def _gaussians(shape) -> tuple[jax.Array, jax.Array]:
    """Variances and fractions, each (K,), from both as one vector."""
    sigma, fraction = jnp.split(shape, 2)
    total = jnp.sum(fraction)
    return sigma**2, fraction / jnp.where(total > 0, total, 1.0)


def _mixture(weight, rate, at) -> jax.Array:
    """Sum over k of weight_k exp(-rate_k at), one term after the other: no array has more entries than `at`."""

    @jax.checkpoint
    def add(total, term):
        weight, rate = term
        return total + weight * jnp.exp(-rate * at), None

    terms = weight.astype(at.dtype), rate.astype(at.dtype)
    return jax.lax.scan(add, jnp.zeros_like(at), terms)[0]
