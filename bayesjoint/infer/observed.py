"""Observed sites of a program: their log density, and what Gauss-Newton needs to know of each family.

For sites with a mean (Gaussian, Student-t, Poisson): the mean, its score and Fisher information; for a scale its
logarithm and information. NumPyro's `scale` and `mask` count, one factor for each event of a batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayesjoint.model.pixel_distributions import CorrelatedPixels, GaussianPixels

_WRAPPERS = dist.Independent | dist.MaskedDistribution | dist.ExpandedDistribution


class Observed(NamedTuple):
    """One observed site at z: its mean, d log p/d mean and Fisher information, all of the data's shape."""

    mean: jax.Array
    score: jax.Array
    weight: jax.Array


def site_log_density(site: dict) -> jax.Array:
    log_density = site["fn"].log_prob(site["value"])
    return jnp.sum(log_density if site["scale"] is None else site["scale"] * log_density)


def is_rendered(site: dict) -> bool:
    """Whether `observe` made this site."""
    fn = site["fn"] if site["type"] == "sample" else None
    while isinstance(fn, _WRAPPERS):
        fn = fn.base_dist
    return isinstance(fn, GaussianPixels)


def observe_mean(site: dict, mean=None) -> Observed | None:
    """An observed site as mean, score and Fisher weight; None for families without them.

    `mean` replaces the distribution's own. What `observe` rendered is taken as if its noise were as the inverse variances
    say; `light.noise_density` knows better.
    """
    fn, value, mask = _unwrapped(site)
    terms = _score_and_weight(fn, value, mean)
    if terms is None:
        return None
    mean, score, weight = (jnp.broadcast_to(term, jnp.shape(value)) for term in terms)
    return Observed(mean, mask * score, mask * weight)


def in_sigma(site: dict, departure) -> jax.Array:
    """Departures from the model pixels of what `observe` made, as numbers that scatter independently by 1."""
    fn, _, mask = _unwrapped(site)
    assert isinstance(fn, GaussianPixels)
    return jnp.sqrt(mask) * fn.whiten(departure)


def rendered_pixels(site: dict) -> GaussianPixels | None:
    """The distribution of what `observe` made, without what handlers put around it; None of other sites."""
    fn = _unwrapped(site)[0]
    return fn if isinstance(fn, GaussianPixels) else None


def deviations(site: dict, value) -> jax.Array:
    """How far a value of an observed site is off its mean, in sigma; 0 where a pixel carries no weight.

    The site is one that `observe_mean` knows.
    """
    rendered = rendered_pixels(site)
    if rendered is not None:
        return rendered.deviations(value)
    observed = observe_mean({**site, "value": value})
    return jnp.sqrt(observed.weight) * (value - observed.mean)  # type: ignore[union-attr]


def pixel_log_density(site: dict) -> jax.Array | None:
    """Log density of each pixel of an observed site, as often as it counts; None where pixels have none of their own."""
    fn, value, mask = _unwrapped(site)
    if isinstance(fn, CorrelatedPixels):
        return None
    if isinstance(fn, GaussianPixels):
        return mask * fn.pixel_log_prob(value)
    return None if fn.event_dim else mask * fn.log_prob(value)


def counts(site: dict) -> jax.Array:
    """What NumPyro's handlers `scale` and `mask` make each datum of a site count."""
    return _unwrapped(site)[2]


def _unwrapped(site: dict) -> tuple[dist.Distribution, Any, Any]:
    """The innermost distribution of an observed site, its value, and what each datum counts."""
    fn, mask = site["fn"], 1.0 if site["scale"] is None else _over_events(site["scale"], site["fn"])
    while isinstance(fn, _WRAPPERS):
        if isinstance(fn, dist.MaskedDistribution):
            mask = mask * _over_events(fn._mask, fn)
        fn = fn.base_dist
    return fn, site["value"], mask


def _over_events(factor, fn: dist.Distribution) -> jax.Array:
    """A factor of each event of a batch, ready to multiply the elements of these."""
    factor = jnp.asarray(factor, float)
    return factor.reshape(factor.shape + (1,) * fn.event_dim) if factor.ndim else factor


def _score_and_weight(fn: dist.Distribution, value, mean) -> tuple | None:
    """Mean, d log p/d mean and Fisher information per datum."""
    if isinstance(fn, dist.Poisson):
        rate = fn.rate if mean is None else mean
        return rate, value / rate - 1, 1 / rate
    if not isinstance(fn, GaussianPixels | dist.Normal | dist.StudentT):
        return None
    mean = fn.loc if mean is None else mean
    residual = value - mean
    if isinstance(fn, GaussianPixels):
        return mean, fn.invvar * residual, fn.invvar
    weight = 1 / jnp.asarray(fn.scale) ** 2
    if isinstance(fn, dist.StudentT):
        df = jnp.asarray(fn.df)
        score = (df + 1) * residual / (df / weight + residual**2)
        return mean, score, (df + 1) / (df + 3) * weight
    return mean, weight * residual, weight


def log_scale(site: dict) -> tuple[jax.Array, jax.Array] | None:
    """Logarithm of an observed site's scale and its Fisher information, per datum; None for families without one."""
    fn, value, mask = _unwrapped(site)
    if not isinstance(fn, dist.Normal | dist.StudentT):
        return None
    df = jnp.asarray(fn.df) if isinstance(fn, dist.StudentT) else jnp.inf
    logarithm, weight = jnp.log(jnp.asarray(fn.scale)), mask * 2 / (1 + 3 / df)
    return jnp.broadcast_to(logarithm, jnp.shape(value)), jnp.broadcast_to(weight, jnp.shape(value))
