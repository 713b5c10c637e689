"""The log density of pixels under noise, its slopes, and its Fisher information in model pixels and noise parameters.

All noise but Poisson's own is a width sigma(model, parameters) and a form p(u; parameters) of u = (data - model) / sigma.
The information per pixel follows from that of the form in its place, in ln sigma and in its parameters, which is
integrated over u once, whatever the number of pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.noise import Noise, PoissonNoise

OUTLIER = 4.0
_NODES = np.linspace(0.0, 30.0, 301)  # arsinh u: tails as heavy as those of one degree of freedom end there


def log_density(noise: tuple[Noise, ...], data, model, invvar) -> jax.Array:
    """Of each pixel, nJy^-1; 0 where it carries no weight.

    Parameters
    ----------
    noise : tuple of Noise
        As `noise_among` has them; parameters broadcast against the pixels.
    data, model, invvar : array (..., ny, nx)
    """
    weighted = invvar > 0
    if _is_poisson(noise):
        value = _log_poisson(noise[0], jnp.where(weighted, data, 1.0), jnp.where(weighted, model, 1.0))
        return jnp.where(weighted, value, 0.0)
    variance = variance_of(noise, model, invvar)
    possible = variance > 0
    log_sigma = 0.5 * jnp.log(jnp.where(possible, variance, 1.0))
    u = jnp.where(weighted, data - model, 0.0) * jnp.exp(-log_sigma)
    value = jnp.where(possible, form_of(noise).log_density(u) - log_sigma, -jnp.inf)
    return jnp.where(weighted, value, 0.0)


def variance_of(noise: tuple[Noise, ...], model, invvar) -> jax.Array:
    """sigma^2 of each pixel; 1 or so where it carries no weight."""
    weighted = invvar > 0
    variance = jnp.where(weighted, 1 / jnp.where(weighted, invvar, 1.0), 1.0)
    for one in noise:
        variance = one.widen(variance, model)
    return jnp.where(weighted, variance, 1.0)


def form_of(noise: tuple[Noise, ...]) -> Noise:
    """What form deviations have: Gaussian unless one of the noise says otherwise."""
    return next((one for one in noise if one.is_form), Noise())


def draw_pixels(noise: tuple[Noise, ...], key: Any, model, invvar, shape: tuple[int, ...]) -> jax.Array:
    """Simulated data of a shape; noiseless where pixels carry no weight."""
    if _is_poisson(noise):
        gain = noise[0].gain  # type: ignore[attr-defined]
        rate = jnp.broadcast_to(jnp.maximum(model * gain, 0.0), shape)
        drawn = jax.random.poisson(key, rate).astype(rate.dtype) / gain
    else:
        sigma = jnp.sqrt(jnp.maximum(variance_of(noise, model, invvar), 0.0))
        drawn = model + sigma * form_of(noise).draw(key, shape)
    return jnp.where(invvar > 0, drawn, model)


class Terms(NamedTuple):
    """The log density of one image and how it depends on its Q noise parameters and on its model pixels.

    Attributes
    ----------
    value : array ()
    score : array (ny, nx)
        Slope in each model pixel.
    slope : array (Q,)
        In the parameters of the noise, in the order of their leaves.
    weight, cross, square : array (ny, nx), (Q, ny, nx), (Q, Q)
        Fisher information in the model pixels, between these and the parameters, and in the parameters.
    """

    value: jax.Array
    score: jax.Array
    slope: jax.Array
    weight: jax.Array
    cross: jax.Array
    square: jax.Array


def density_terms(noise: tuple[Noise, ...], data, model, invvar) -> Terms:
    """Log density of one image, its slopes and information; parameters of the noise are scalars."""
    leaves, treedef = jax.tree.flatten(noise)
    parameters = jnp.stack([jnp.asarray(leaf, model.dtype) for leaf in leaves])

    def noise_of(parameters):
        return jax.tree.unflatten(treedef, list(parameters))

    def total(model, parameters):
        return jnp.sum(log_density(noise_of(parameters), data, model, invvar))

    value, (score, slope) = jax.value_and_grad(total, argnums=(0, 1))(model, parameters)
    if _is_poisson(noise):
        return Terms(value, score, slope, *_poisson_information(noise[0].gain, model, invvar))  # type: ignore[attr-defined]

    def log_sigma(model, parameters):
        variance = variance_of(noise_of(parameters), model, invvar)
        return 0.5 * jnp.log(jnp.where(variance > 0, variance, 1.0))

    by_model = jax.jvp(lambda m: log_sigma(m, parameters), (model,), (jnp.ones_like(model),))[1]
    by_parameters = jnp.moveaxis(jax.jacfwd(log_sigma, argnums=1)(model, parameters), -1, 0)
    form, used = form_of(noise), (invvar > 0).astype(model.dtype)
    place, wide = form_information(form, model.dtype)
    # how ln sigma and the form's parameters depend on those of all noise; a form's come last
    own = np.eye(len(leaves))[len(leaves) - len(jax.tree.leaves(form)) :]
    depends = jnp.concatenate(
        [
            by_parameters[None],
            jnp.broadcast_to(jnp.asarray(own, model.dtype)[:, :, None, None], (*own.shape, *model.shape)),
        ]
    )
    along = jnp.einsum("a,aqyx->qyx", wide[0], depends, precision="highest")
    square = jnp.einsum("yx,aqyx,ab,bryx->qr", used, depends, wide, depends, precision="highest")
    sigma = jnp.exp(log_sigma(model, parameters))
    weight = _place_weight(form, (data - model) / sigma, place) / sigma**2 + wide[0, 0] * by_model**2
    return Terms(value, score, slope, used * weight, used[None] * by_model[None] * along, square)


def _place_weight(form: Noise, u, information) -> jax.Array:
    """Information in the place, in units of the width; of outliers the little weight they have where they are.

    A fit that begins far off takes every bright pixel for an outlier: with the information of typical pixels its steps
    would be far too short.
    """
    if not form.is_form:
        return jnp.ones_like(u)
    slope = jax.jvp(form.log_density, (u,), (jnp.ones_like(u),))[1]
    far = jnp.abs(u) > OUTLIER
    return jnp.where(far, jnp.minimum(-slope / jnp.where(far, u, 1.0), information), information)


def form_information(form: Noise, dtype: Any = None) -> tuple[jax.Array, jax.Array]:
    """Fisher information of a form in its place (), and in ln sigma and its own E parameters (1 + E, 1 + E).

    Between the place and the rest there is none, as forms are symmetric.

    Examples
    --------
    >>> place, wide = form_information(Noise())
    >>> print(f"{place:.6f} {wide[0, 0]:.6f}")
    1.000000 2.000000
    """
    leaves, treedef = jax.tree.flatten(form)
    dtype = jnp.result_type(float) if dtype is None else dtype
    parameters = jnp.stack([jnp.asarray(leaf, dtype) for leaf in leaves]) if leaves else jnp.zeros(0, dtype)

    def log_p(u, parameters):
        return jax.tree.unflatten(treedef, list(parameters)).log_density(u)

    u = jnp.asarray(np.sinh(_NODES), dtype)
    value, (by_u, by_own) = jax.vmap(jax.value_and_grad(log_p, argnums=(0, 1)), in_axes=(0, None))(
        u, parameters
    )
    step = _NODES[1] * np.cosh(_NODES) * np.where(_NODES == 0, 1.0, 2.0)
    root = jnp.sqrt(jnp.asarray(step, dtype)) * jnp.exp(0.5 * value)
    slopes = jnp.concatenate([-by_u[:, None], -(1 + u * by_u)[:, None], by_own], axis=1) * root[:, None]
    found = jnp.matmul(slopes.T, slopes, precision="highest")
    return found[0, 0], found[1:, 1:]


def _is_poisson(noise: tuple[Noise, ...]) -> bool:
    return bool(noise) and isinstance(noise[0], PoissonNoise) and noise[0].is_exact


def _log_poisson(noise: Any, data, model) -> jax.Array:
    """Poisson's log density, as one of data in nJy: so that also a gain can be sampled."""
    counts, rate = data * noise.gain, model * noise.gain
    possible = (rate > 0) & (counts >= 0)
    counts, rate = jnp.where(possible, counts, 1.0), jnp.where(possible, rate, 1.0)
    value = counts * jnp.log(rate) - rate - jax.scipy.special.gammaln(counts + 1) + jnp.log(noise.gain)
    return jnp.where(possible, value, -jnp.inf)


def _poisson_information(gain, model, invvar) -> tuple[jax.Array, jax.Array, jax.Array]:
    """In the model pixels, between them and the gain, and in the gain, which says how wide the noise is."""
    used = (invvar > 0) & (model > 0)
    weight = jnp.where(used, gain / jnp.where(used, model, 1.0), 0.0)
    square = 0.5 * jnp.sum(invvar > 0, dtype=model.dtype) / gain**2
    return weight, jnp.zeros((1, *model.shape), model.dtype), jnp.reshape(square, (1, 1))
