"""Gradient and generalised Gauss-Newton curvature of the log posterior, in one forward-mode sweep.

For every observed site with mean m(z), score s and Fisher weight w per pixel: gradient J^T s and curvature J^T diag(w) J
with J = dm/dz, summed site by site; the prior adds its own gradient and Hessian. (Schraudolph 2002; for Gaussian noise
this is Gauss-Newton.)
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bayesjoint.infer.space import Layout, Program, constrained_values, log_posterior, log_prior, observed_sites


class Quadratic(NamedTuple):
    """The log posterior near z: value, gradient (P,), curvature of the likelihood and of the prior (P, P)."""

    value: jax.Array
    gradient: jax.Array
    likelihood_curvature: jax.Array
    prior_curvature: jax.Array


@partial(jax.jit, static_argnames=("program", "layout"))
def quadratic(program: Program, layout: Layout, z, args: tuple) -> Quadratic:
    """Value, gradient and curvature of the log posterior at z (P,)."""

    def means(z):
        known, other = observed_sites(program, layout, z, args)
        return {name: site.mean for name, site in known.items()}, (known, other)

    def column(direction):
        _, tangent, _ = jax.jvp(means, (z,), (direction,), has_aux=True)
        return tangent

    _, (known, other) = means(z)
    jacobian = jax.vmap(column)(jnp.eye(layout.size, dtype=z.dtype))
    gradient = jax.grad(log_prior, argnums=2)(program, layout, z, args)
    if other is not None:
        gradient += jax.grad(lambda z: observed_sites(program, layout, z, args)[1])(z)
    curvature = jnp.zeros((layout.size, layout.size), z.dtype)
    for name, site in known.items():
        columns = jacobian[name].reshape(layout.size, -1)
        gradient += columns @ site.score.ravel()
        curvature += (columns * site.weight.ravel()) @ columns.T
    prior_curvature = -jax.hessian(log_prior, argnums=2)(program, layout, z, args)
    return Quadratic(log_posterior(program, layout, z, args), gradient, curvature, prior_curvature)


@partial(jax.jit, static_argnames=("program", "layout"))
def value(program: Program, layout: Layout, z, args: tuple) -> jax.Array:
    """The log posterior at z."""
    return log_posterior(program, layout, z, args)


@partial(jax.jit, static_argnames=("program", "layout"))
def values_and_errors(program: Program, layout: Layout, z, root_covariance, args: tuple) -> tuple[dict, dict]:
    """Constrained values at z and their standard errors, by the columns of a root of the covariance (P, P)."""

    def constrained(z):
        return constrained_values(program, layout, z, args)

    tangents = jax.vmap(lambda direction: jax.jvp(constrained, (z,), (direction,))[1])(root_covariance.T)
    errors = jax.tree.map(lambda t: jnp.sqrt(jnp.sum(t**2, axis=0)), tangents)
    return constrained(z), errors
