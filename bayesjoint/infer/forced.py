"""Fluxes of images given the structure that other images tell: drawn exactly, and told nothing back.

Given structure, the fluxes and skies of a program with Normal priors and Gaussian noise are a Gaussian in closed form. So
each draw of structure from the posterior of some images gets one draw of the others' fluxes. As nothing flows back to
structure this is a posterior with cut feedback (Plummer 2015, Statistics and Computing 25, 37), as forced photometry wants
it: the others may be misregistered or of another structure without harm to what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.collapse import scaled_root, split_linear
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.space import Layout, Program, find_latents

_PROBES = 6
_EXACT = 1e-5


@dataclass(frozen=True)
class Given:
    """A program whose last argument are values of some of its latents: the others are what is left to know."""

    program: Program

    def __call__(self, *args: Any) -> None:
        values = args[-1]
        handlers.block(handlers.substitute(self.program, data=values), hide=list(values))(*args[:-1])


class Amplitudes(NamedTuple):
    """Draws of the latents left (N, *shape) by name, and their log densities (N,) relative to those of their peaks."""

    values: dict[str, np.ndarray]
    log_density: np.ndarray


def draw_amplitudes(program: Program, args: tuple, given: Mapping[str, np.ndarray], seed: int) -> Amplitudes:
    """One draw of a program's other latents for each of those given.

    Parameters
    ----------
    args : tuple
        The images, and further arguments of the program.
    given : dict of array (N, *shape)
        Values of latents.

    Raises
    ------
    ValueError
        For latents left whose posterior, given the others, is no Gaussian.
    """
    left, values = Given(program), {name: jnp.asarray(value) for name, value in given.items()}
    first = jax.tree.map(lambda v: v[0], values)
    layout = find_latents(left, (*args, first))
    count, rng = len(next(iter(given.values()))), np.random.default_rng([seed % 2**32, 5])
    _check_linear(left, layout, (*args, first), rng)
    noise = rng.normal(size=(count, layout.size))
    z = _draws(left, layout, values, jnp.asarray(noise), args)
    _check_gaussian(left, layout, z[0], (*args, first))
    parts = {name: np.asarray(part) for name, part in layout.unpack(z).items()}
    return Amplitudes(parts, -0.5 * np.sum(noise**2, axis=1))


@partial(quick_jit, static_argnames=("program", "layout"))
def _draws(program: Given, layout: Layout, values: dict, noise, args: tuple) -> jax.Array:
    """Draws (N, P) of the Gaussian that the latents left follow given each of the values."""

    def one(inputs):
        value, noise = inputs
        # of a Gaussian the expansion about any point is exact
        known = quadratic(
            program, layout, jnp.zeros(layout.size, noise.dtype), (*args, value), is_linear=True
        )
        unit, root = scaled_root(known.likelihood_curvature + known.prior_curvature)
        half = jax.scipy.linalg.solve_triangular(root, unit * known.gradient, lower=True)
        return unit * jax.scipy.linalg.solve_triangular(root, half + noise, lower=True, trans=1)

    return jax.lax.map(one, (values, noise))


def _check_linear(program: Given, layout: Layout, args: tuple, rng: np.random.Generator) -> None:
    """Raise ValueError for latents left in which the light is not linear or the prior not Normal."""
    known = quadratic(program, layout, jnp.zeros(layout.size), args, is_linear=True)
    scale = 1 / np.sqrt(np.maximum(np.diag(known.prior_curvature), 1e-300))
    probes = scale * rng.normal(size=(_PROBES, layout.size))
    linear = split_linear(program, layout, probes, args).linear
    others = [label for i, label in enumerate(layout.labels) if i not in linear]
    if others:
        raise ValueError(
            f"given structure, {', '.join(others[:4])} of the other images has no Gaussian posterior: forced photometry is "
            "of fluxes and skies with Normal priors. What else changes from band to band must be fixed or have a trend over "
            "all wavelengths; or fit all images together, bj.sample(program, all_images)"
        )


def _check_gaussian(program: Given, layout: Layout, z, args: tuple) -> None:
    """Raise ValueError where the log posterior at a draw is not what a Gaussian has there."""
    known, there = (quadratic(program, layout, at, args, is_linear=True) for at in (jnp.zeros_like(z), z))
    precision = known.likelihood_curvature + known.prior_curvature
    expected = float(known.gradient @ z - 0.5 * z @ precision @ z)
    if not abs(float(there.value - known.value) - expected) < _EXACT * (1 + abs(expected)):
        raise ValueError(
            "the noise of the other images is not Gaussian, so their fluxes given structure are not, either: observe them "
            "without noise of other kinds, or fit all images together, bj.sample(program, all_images)"
        )
