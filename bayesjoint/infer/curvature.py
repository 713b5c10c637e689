"""Gradient and generalised Gauss-Newton curvature of the log posterior.

For an observed site with mean m, score s and Fisher weight w per pixel, the gradient is J^T s and the curvature
J^T diag(w) J, with J = dm/dz (Schraudolph 2002; for Gaussian noise this is Gauss-Newton). What `observe` renders is
a function of the few parameters t of its components in each image, so J = (dm/dt)(dt/dz): the small products over pixels
are made image by image in t, whatever the number of latents. Sites of a program's own making are differentiated in
z directly. The prior adds its own gradient and Hessian.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from bayesjoint.compilation import quick_jit
from bayesjoint.data.whitening import whiten
from bayesjoint.infer.observed import log_scale, observe_mean, site_log_density
from bayesjoint.infer.space import (
    Layout,
    Program,
    constrained_values,
    prior_and_light,
    run_program,
)
from bayesjoint.light.noise import Noise
from bayesjoint.light.noise_density import density_terms
from bayesjoint.model.pixel_distributions import GaussianPixels
from bayesjoint.model.rows import by_name
from bayesjoint.render.images import Light, either
from bayesjoint.render.place import frames_of, place
from bayesjoint.render.spectral import draw


class Quadratic(NamedTuple):
    """The log posterior near z: value, gradient (P,), curvature of the likelihood and of the prior (P, P).

    `means` are the model pixels of the observed sites, `noises` the noise of what `observe` made, its parameters (images,).
    `bending` (P, P), sparse, is what the likelihood's true curvature has beyond that, as far as it is known: of sources in
    windows, by how their pixels move.
    """

    value: jax.Array
    gradient: jax.Array
    likelihood_curvature: jax.Array
    prior_curvature: jax.Array
    means: dict[str, jax.Array]
    noises: dict[str, tuple[Noise, ...]]
    bending: Any = None


@partial(quick_jit, static_argnames=("program", "layout", "is_linear"))
def quadratic(program: Program, layout: Layout, z, args: tuple, is_linear: bool = False) -> Quadratic:
    """Value, gradient and curvature of the log posterior at z (P,), and the model pixels: all a fit needs, as one
    program to compile.

    Where the light `is_linear` in all latents, only how it changes with its amplitudes is rendered.
    """

    log_prior, lights, trace = prior_and_light(program, layout, z, args)

    def prior_and_parameters(z):
        log_prior, lights, _ = prior_and_light(program, layout, z, args)
        return log_prior, [light.parameters() for _, light in lights]

    def slopes(z):
        gradient, by_z = jax.jacfwd(prior_and_parameters)(z)
        return gradient, (gradient, by_z)

    prior_hessian, (gradient, by_z) = jax.jacfwd(slopes, has_aux=True)(z)
    total, means, noises = log_prior, {}, {}
    curvature = jnp.zeros((layout.size, layout.size), z.dtype)
    for (sites, light), jacobian in zip(lights, by_z, strict=True):
        moving = np.flatnonzero(_are_amplitudes(light) if is_linear else ~light.are_places())
        value, slope, square, pixels = _light_terms(light, [trace[site] for site in sites], moving)
        jacobian = jacobian[:, moving]
        means |= dict(zip(sites, pixels, strict=True))
        for site, rows in zip(sites, light.rows(), strict=True):
            noises[site] = jax.tree.map(lambda p, rows=rows: p[rows], light.noise())
        total += value
        gradient += jnp.einsum("ik,ikp->p", slope, jacobian)
        curvature += jnp.einsum("ikp,ikl,ilq->pq", jacobian, square, jacobian, optimize=True)
    own = _own_sites(program, layout, z, args, set(means), trace)
    if own is not None:
        total, gradient, curvature = (
            a + b for a, b in zip((total, gradient, curvature), own[:3], strict=True)
        )
        means |= own[3]
    return Quadratic(total, gradient, curvature, -prior_hessian, means, noises)


def _are_amplitudes(light: Light) -> np.ndarray:
    """Which of a light's parameters are amplitudes, or the noise's, which are the last."""
    found = light.are_amplitudes()
    found[found.size - len(jax.tree.leaves(light.noise())) :] = True
    return found


def _light_terms(
    light: Light, sites: list[dict], moving: np.ndarray
) -> tuple[jax.Array, jax.Array, jax.Array, list[jax.Array]]:
    """Log density (), each image's gradient (images, K) and curvature (images, K, K) in t, pixels of each stack.

    Of t those of the light's parameters are taken that are `moving`.
    """

    def place_one(frame, parameters):
        """Where the sources are on one image, and how that moves with each of its parameters."""
        basis = jnp.asarray(np.eye(parameters.size)[moving], parameters.dtype)
        moved = partial(jax.jvp, lambda t: place(frame, light.components(t)), (parameters,), has_aux=True)
        return jax.vmap(lambda direction: moved((direction,)), out_axes=(None, 0, None))(basis)

    placed = jax.vmap(place_one)(frames_of(light.stacks), light.parameters())
    (own, shared), noise = light.tables(), light.noise()

    def one(inputs):
        image, data, weight, scene, moves, grids, own, noise = inputs

        def pixels(scene):
            return draw(image, scene, grids, light.kinds, either(own, shared))

        def column(move):
            moved = jax.jvp(pixels, (scene,), (move,))[1]
            return moved if image.whitening is None else whiten(image.whitening, image.invvar, moved)

        model = pixels(scene)
        # one column after the other: all at once they would not fit the cache
        columns = jax.lax.map(column, moves)
        columns = columns.reshape(columns.shape[0], -1)
        return *_image_terms(noise, image, data, model, weight, columns), model

    total, slopes, squares, means = light.log_range(), [], [], []
    for site, stack, rows in zip(sites, light.stacks, light.rows(), strict=True):
        inputs = jax.tree.map(lambda a, rows=rows: a[rows], (*placed, own, noise))
        known = stack.without_data(), site["value"], site_weights(site, stack.invvar.shape[0])
        value, slope, square, pixels = jax.lax.map(one, (*known, *inputs))
        total += jnp.sum(value)
        slopes.append(slope)
        squares.append(square)
        means.append(pixels)
    return total, jnp.concatenate(slopes), jnp.concatenate(squares), means


def _image_terms(noise: tuple, image, data, model, weight, columns) -> tuple:
    """Log density (), gradient (K,) and curvature (K, K) of one image in t.

    `columns` (K, pixels) are dm/dt, whitened where the image's noise correlates.
    """
    invvar, normaliser = image.invvar, image.log_normaliser
    if image.whitening is not None:
        # as good as pixels that scatter independently by 1
        data = whiten(image.whitening, invvar, data - model)
        model, invvar = jnp.zeros_like(data), (invvar > 0).astype(data.dtype)
    if noise:
        value, *slopes = _noisy_terms(noise, invvar, data, model, weight, columns)
        return (
            value if image.whitening is None else value + weight * image.whitening.log_determinant
        ), *slopes
    weighted = columns * (weight * invvar).ravel()
    residual = (data - model).ravel()
    known = GaussianPixels(model, invvar, normaliser)
    return weight * known.log_prob(data), weighted @ residual, weighted @ columns.T


def _noisy_terms(noise: tuple, invvar, data, model, weight, columns) -> tuple:
    """As `_image_terms`, the noise's parameters last in t."""
    terms = density_terms(noise, data, model, invvar)
    last = columns.shape[0] - terms.slope.size
    gradient = (columns @ terms.score.ravel()).at[last:].add(terms.slope)
    cross = columns @ terms.cross.reshape(terms.slope.size, -1).T
    curvature = (columns * terms.weight.ravel()) @ columns.T
    curvature = curvature.at[:, last:].add(cross).at[last:].add(cross.T)
    return weight * terms.value, weight * gradient, weight * curvature.at[last:, last:].add(terms.square)


def site_weights(site: dict, images: int) -> jax.Array:
    """What NumPyro's handlers `scale` and `mask` make each image of a stack count."""
    fn, weight = site["fn"], 1.0 if site["scale"] is None else site["scale"]
    while isinstance(fn, dist.MaskedDistribution):
        weight, fn = weight * jnp.asarray(fn._mask, float), fn.base_dist
    return jnp.broadcast_to(jnp.asarray(weight, float), (images,))


def _own_sites(program: Program, layout: Layout, z, args: tuple, rendered: set[str], trace: dict) -> Any:
    """Value, gradient, curvature and means of the observed sites that `observe` did not make; None without any."""
    names = [n for n, s in trace.items() if s["type"] == "sample" and s["is_observed"] and n not in rendered]
    if not names:
        return None

    def sites(z):
        trace, _ = run_program(program, layout, z, args)
        return {name: trace[name] for name in names}

    def means(z):
        return {name: o.mean for name, o in _map_sites(observe_mean, sites(z)).items()}

    def log_scales(z):
        return {name: f[0] for name, f in _map_sites(log_scale, sites(z)).items()}

    def others(z):
        return sum((site_log_density(s) for s in sites(z).values() if observe_mean(s) is None), jnp.zeros(()))

    def log_density(z):
        return sum(site_log_density(site) for site in sites(z).values())

    value, gradient = jax.value_and_grad(log_density)(z)
    here, curvature = sites(z), jnp.zeros((layout.size, layout.size), z.dtype)
    weights = [{name: o.weight for name, o in _map_sites(observe_mean, here).items()}]
    weights.append({name: f[1] for name, f in _map_sites(log_scale, here).items()})
    for function, weight in zip((means, log_scales), weights, strict=True):
        columns = jax.vmap(lambda d, f=function: jax.jvp(f, (z,), (d,))[1])(
            jnp.eye(layout.size, dtype=z.dtype)
        )
        for name, column in columns.items():
            flat = column.reshape(layout.size, -1)
            curvature += (flat * weight[name].ravel()) @ flat.T
    if any(observe_mean(site) is None for site in here.values()):
        curvature += _positive_part(-jax.hessian(others)(z))
    return value, gradient, curvature, means(z)


def _map_sites(function, sites: dict) -> dict:
    """What a function makes of each site, where that is not None."""
    return {name: made for name, site in sites.items() if (made := function(site)) is not None}


def _positive_part(matrix) -> jax.Array:
    """A symmetric matrix without its negative eigenvalues."""
    values, vectors = jnp.linalg.eigh(matrix)
    return jnp.matmul(vectors * jnp.maximum(values, 0.0), vectors.T, precision="highest")


def values_and_errors(program: Program, layout: Layout, z, root_covariance, args: tuple) -> tuple[dict, dict]:
    """Constrained values at z and their standard errors, by the columns of a root of the covariance (P, P)."""
    values, errors = _values_and_errors(program, layout, jnp.asarray(z), jnp.asarray(root_covariance), args)
    return by_name(jax.device_get(values)), by_name(jax.device_get(errors))


@partial(quick_jit, static_argnames=("program", "layout"))
def _values_and_errors(
    program: Program, layout: Layout, z, root_covariance, args: tuple
) -> tuple[dict, dict]:
    errors = jax.tree.map(
        lambda t: jnp.sqrt(jnp.sum(t**2, axis=0)), _moved_values(program, layout, z, root_covariance.T, args)
    )
    return constrained_values(program, layout, z, args), errors


def moved_values(program: Program, layout: Layout, z, directions, args: tuple) -> dict:
    """How far constrained values move, (N, *shape), as z moves along directions (N, P); to first order."""
    moved = _moved_values(program, layout, jnp.asarray(z), jnp.asarray(directions), args)
    return by_name(jax.device_get(moved))


@partial(quick_jit, static_argnames=("program", "layout"))
def _moved_values(program: Program, layout: Layout, z, directions, args: tuple) -> dict:

    def constrained(z):
        return constrained_values(program, layout, z, args)

    return jax.vmap(lambda direction: jax.jvp(constrained, (z,), (direction,))[1])(directions)
