"""Brightness integrated out: the posterior of structure alone, under a compressed likelihood.

A program's brightnesses and skies usually enter its light linearly and have Normal priors. Given all other latents
their posterior then is a Gaussian, so it is integrated in closed form: the sampler sees a posterior of a few structural
latents, free of the curved valley along which brightness follows size and index, and as small for nine bands as for one.
Afterwards the brightnesses of each draw come from their Gaussian (Golub & Pereyra 1973 for the fit; Liu 1994, JASA 89, 958
for the sampler).

Which latents are linear is found from derivatives, not from names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.compress import Compressed, Form, noise_precision, scaled_by_noise
from bayesjoint.infer.features import light_features
from bayesjoint.infer.space import Layout, Program, density_and_light
from bayesjoint.render.images import Light

_PROBES = 3


@dataclass(frozen=True)
class Split:
    """Which elements of z are linear amplitudes, and which are not."""

    layout: Layout
    linear: tuple[int, ...]
    rest: tuple[int, ...]

    def join(self, rest, linear) -> jax.Array:
        """z (P,) from its parts."""
        order = np.argsort(np.array([*self.rest, *self.linear]))
        return jnp.concatenate([rest, linear])[order]


class Amplitudes(NamedTuple):
    """The Gaussian of the amplitudes given the rest: peak (A,), precision (A, A), and the log of its integral."""

    mean: jax.Array
    precision: jax.Array
    log_integral: jax.Array


def collapsed_log_posterior(
    program: Program, split: Split, rest, args: tuple, compressed: Compressed
) -> jax.Array:
    """Log posterior density of the latents that are not amplitudes (scalar), the amplitudes integrated out."""
    return amplitudes(program, split, rest, args, compressed).log_integral


def amplitudes(program: Program, split: Split, rest, args: tuple, compressed: Compressed) -> Amplitudes:
    """The Gaussian that the amplitudes follow given the rest."""

    def prior(linear):
        density, lights = density_and_light(program, split.layout, split.join(rest, linear), args)
        return density, [light.parameters() for light in lights]

    def slopes(linear):
        gradient, by_linear = jax.jacfwd(prior)(linear)
        return gradient, (gradient, by_linear)

    zero = jnp.zeros(len(split.linear), rest.dtype)
    value, lights = density_and_light(program, split.layout, split.join(rest, zero), args)
    value += compressed.constant
    hessian, (slope, by_linear) = jax.jacfwd(slopes, has_aux=True)(zero)
    precision = -hessian
    for light, form, jacobian in zip(lights, compressed.forms, by_linear, strict=True):
        constant, along, square, columns = _image_terms(light, form)
        jacobian = jacobian[:, columns]
        value += jnp.sum(constant) + light.log_range()
        slope += jnp.einsum("ik,ika->a", along, jacobian, precision="highest")
        precision += jnp.einsum("ika,ikl,ilb->ab", jacobian, square, jacobian, precision="highest")
    return _gaussian(value, slope, precision)


def _image_terms(light: Light, form: Form) -> tuple[jax.Array, jax.Array, jax.Array, np.ndarray]:
    """Of each image the log likelihood without light, its gradient (images, K) and minus its Hessian in the amplitudes.

    The last is which of the light's parameters these are.
    """
    columns = np.flatnonzero(light.are_amplitudes())
    parameters = light.parameters()
    directions = np.eye(parameters.shape[1])[columns]

    def features(parameters):
        return light_features(light, form.waves, parameters)

    def along(direction):
        tangent = jnp.broadcast_to(jnp.asarray(direction, parameters.dtype), parameters.shape)
        return jax.jvp(features, (parameters,), (tangent,))

    here, steps = jax.vmap(along, out_axes=(None, 1))(directions)
    c = jnp.einsum("if,ifr->ir", here - form.origin, form.to_coefficients, precision="highest")
    shapes = jnp.einsum("ikf,ifr->ikr", steps, form.to_coefficients, precision="highest")
    constant = scaled_by_noise(light, form, jnp.sum(c * (form.slope - 0.5 * c), axis=1))
    precision = jnp.broadcast_to(noise_precision(light), constant.shape)
    gradient = jnp.einsum("ikr,ir->ik", shapes, form.slope - c, precision="highest")
    square = jnp.einsum("ikr,ilr->ikl", shapes, shapes, precision="highest")
    return constant, precision[:, None] * gradient, precision[:, None, None] * square, columns


def _gaussian(value, slope, precision) -> Amplitudes:
    """exp(value + slope . a - a . precision . a / 2), integrated over a."""
    unit, root = scaled_root(precision)
    half = jax.scipy.linalg.solve_triangular(root, unit * slope, lower=True)
    mean = unit * jax.scipy.linalg.solve_triangular(root, half, lower=True, trans=1)
    return Amplitudes(mean, precision, value + 0.5 * jnp.sum(half**2) + _log_volume(unit, root))


def scaled_root(precision) -> tuple[jax.Array, jax.Array]:
    """Units of the amplitudes (A,), and the lower root (A, A) of their precision in these."""
    unit = 1 / jnp.sqrt(jnp.diag(precision))
    return unit, jnp.linalg.cholesky(unit[:, None] * precision * unit)


def _log_volume(unit, root) -> jax.Array:
    """ln of the integral of a Gaussian of peak 1."""
    return jnp.sum(jnp.log(unit) - jnp.log(jnp.diag(root)) + 0.5 * jnp.log(2 * jnp.pi))


@partial(quick_jit, static_argnames=("program", "split"))
def complete(
    program: Program, split: Split, rests, noise, args: tuple, compressed: Compressed
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws of the rest (N, R) made whole, by standard normal `noise` (N, A) for the amplitudes.

    Returns
    -------
    z (N, P), the log posterior there (N,), and that of the rest alone (N,).
    """

    def one(inputs):
        rest, noise = inputs
        gaussian = amplitudes(program, split, rest, args, compressed)
        unit, root = scaled_root(gaussian.precision)
        scatter = unit * jax.scipy.linalg.solve_triangular(root, noise, lower=True, trans=1)
        drawn = gaussian.log_integral - _log_volume(unit, root) - 0.5 * jnp.sum(noise**2)
        return split.join(rest, gaussian.mean + scatter), drawn, gaussian.log_integral

    return jax.lax.map(one, (rests, noise))


def split_linear(program: Program, layout: Layout, draws: np.ndarray, args: tuple) -> Split:
    """Find the amplitudes: elements of z in which the light is linear and the log prior quadratic, whatever the rest.

    Parameters
    ----------
    draws : array (N, P)
        Points where this is probed, a few of them.
    """
    first, second = draws[:_PROBES], draws[_PROBES : 2 * _PROBES]
    candidate = np.ones(layout.size, bool)
    for here, there in zip(first, second, strict=True):
        before = _slopes(program, layout, here, args)
        candidate &= ~np.any(before.structure, axis=0) & np.any(before.amplitude, axis=0)
        # the same latents, but for the candidates: among these nothing that is linear may notice
        after = _slopes(program, layout, np.where(candidate, there, here), args)
        candidate &= np.all(_is_same(before.amplitude, after.amplitude), axis=0)
        candidate &= np.all(_is_same(before.hessian, after.hessian)[candidate], axis=0)
    if not all(_is_quadratic(program, layout, here, candidate, args) for here in first):
        candidate[:] = False
    index = np.arange(layout.size)
    return Split(layout, tuple(index[candidate].tolist()), tuple(index[~candidate].tolist()))


def _is_quadratic(
    program: Program, layout: Layout, z: np.ndarray, candidate: np.ndarray, args: tuple
) -> bool:
    """Whether the log prior at z is that of its expansion about amplitudes of zero: bounds and kinks tell here."""
    step = np.where(candidate, z, 0.0)
    about, wanted = _slopes(program, layout, z - step, args), _slopes(program, layout, z, args).value
    expected = about.value + about.gradient @ step + 0.5 * step @ about.hessian @ step
    return bool(abs(expected - wanted) <= 1e-6 * (1 + abs(wanted)))


def _is_same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a - b) <= 1e-9 * (np.abs(a) + np.abs(b))


class _Slopes(NamedTuple):
    """Derivatives (n, P) of a light's structure and of its amplitudes, and the expansion of the other terms."""

    structure: Any
    amplitude: Any
    value: Any
    gradient: Any
    hessian: Any


def _slopes(program: Program, layout: Layout, z, args: tuple) -> _Slopes:
    return jax.device_get(_slopes_jitted(program, layout, z, args))


@partial(quick_jit, static_argnames=("program", "layout"))
def _slopes_jitted(program: Program, layout: Layout, z, args: tuple) -> _Slopes:
    def light_of(z):
        lights = density_and_light(program, layout, z, args)[1]
        parts = [(light.parameters(), light.are_amplitudes()) for light in lights]
        return [
            jnp.concatenate([t[:, which == kind].ravel() for t, which in parts]) for kind in (False, True)
        ]

    def prior(z):
        return density_and_light(program, layout, z, args)[0]

    def slope(z):
        value, gradient = jax.value_and_grad(prior)(z)
        return gradient, (value, gradient)

    hessian, (value, gradient) = jax.jacfwd(slope, has_aux=True)(z)
    structure, amplitude = jax.jacfwd(light_of)(z)
    return _Slopes(structure, amplitude, value, gradient, hessian)
