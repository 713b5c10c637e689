"""Draws of a posterior taken back to the vectors they came from, and the prior density of these."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions.transforms import biject_to

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.observed import site_log_density
from bayesjoint.infer.space import Layout, Program, run_program
from bayesjoint.model.observe import RecordLight


def unconstrain(
    program: Program, layout: Layout, values: Mapping[str, np.ndarray], args: tuple
) -> np.ndarray:
    """Unconstrained draws (N, P) of a program from the values (N, *shape) of its latents.

    Raises
    ------
    ValueError
        For values that lack a latent of the program, or have another shape.
    """
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    wrong = [name for name in shapes if name not in values or values[name].shape[1:] != shapes[name]]
    if wrong:
        raise ValueError(
            f"the draws are not those of the program given: they have no {wrong[0]!r} of shape {shapes[wrong[0]]}; give "
            "the program that they were made by"
        )
    latents = {name: jnp.asarray(values[name]) for name in layout.names}
    return np.asarray(_unconstrain(program, layout, latents, args))


@partial(quick_jit, static_argnames=("program", "layout"))
def _unconstrain(program: Program, layout: Layout, values: dict, args: tuple) -> jax.Array:
    def one(values):
        unconstrained = {}

        def choose(site):
            if site["type"] != "sample" or site["name"] not in values:
                return None
            value = values[site["name"]]
            unconstrained[site["name"]] = biject_to(site["fn"].support).inv(value)
            return value

        seeded = handlers.seed(handlers.substitute(RecordLight(program), substitute_fn=choose), 0)
        handlers.trace(seeded).get_trace(*args)
        return layout.pack(unconstrained)

    return jax.vmap(one)(values)


def prior_densities(
    program: Program, layout: Layout, draws: np.ndarray, args: tuple
) -> tuple[np.ndarray, np.ndarray]:
    """Log prior density (N,) of the latents' values at draws (N, P), and the log Jacobian (N,), which that of z has more."""
    densities, determinants = _prior_densities(program, layout, jnp.asarray(draws), args)
    return np.asarray(densities), np.asarray(determinants)


@partial(quick_jit, static_argnames=("program", "layout"))
def _prior_densities(program: Program, layout: Layout, draws, args: tuple) -> tuple:
    def one(z):
        trace, log_determinant = run_program(RecordLight(program), layout, z, args)
        latents = (s for s in trace.values() if s["type"] == "sample" and not s["is_observed"])
        return sum(site_log_density(site) for site in latents), log_determinant

    return jax.vmap(one)(draws)
