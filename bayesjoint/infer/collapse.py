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
from bayesjoint.infer.features import light_features
from bayesjoint.infer.form import Compressed, Form, density_and_pieces, noise_precision, scaled_by_noise
from bayesjoint.infer.space import Layout, Program, density_and_light
from bayesjoint.infer.windowed import parameter_numbers
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
        density, lights = density_and_pieces(program, split.layout, split.join(rest, linear), args)
        return density, [light.parameters() for light in lights]

    def slopes(linear):
        gradient, parameters = jax.grad(prior, has_aux=True)(linear)
        return (gradient, parameters), gradient

    zero = jnp.zeros(len(split.linear), rest.dtype)
    value, lights = density_and_pieces(program, split.layout, split.join(rest, zero), args)
    value += compressed.constant
    (hessian, by_linear), slope = jax.jacfwd(slopes, has_aux=True)(zero)
    precision = -hessian
    for light, form, jacobian in zip(lights, compressed.forms, by_linear, strict=True):
        constant, along, square, columns = _image_terms(light, form)
        jacobian = jacobian[:, columns]  # of places that are -1 the last row, by which nothing is multiplied
        value += jnp.sum(constant) + light.log_range()
        slope += jnp.einsum("ik,ika->a", along, jacobian, precision="highest")
        precision += jnp.einsum("ika,ikl,ilb->ab", jacobian, square, jacobian, precision="highest")
    return _gaussian(value, slope, precision)


def _image_terms(light: Light, form: Form) -> tuple[jax.Array, jax.Array, jax.Array, np.ndarray]:
    """Of each image the log likelihood without light, its gradient (images, K) and minus its Hessian in the amplitudes.

    The last is which of the light's parameters these are.
    """
    columns, directions, moves = _amplitude_places(light, bool(form.waves.windows))
    parameters = light.parameters()

    def features(parameters):
        return light_features(light, form.waves, parameters)

    def along(direction):
        tangent = jnp.broadcast_to(jnp.asarray(direction, parameters.dtype), parameters.shape)
        return jax.jvp(features, (parameters,), (tangent,))

    here, steps = jax.vmap(along, out_axes=(None, 0))(directions)
    c = form.coefficients(jax.tree.map(jnp.subtract, here, form.origin))
    every = form.coefficients(steps)  # (directions, images, parts, rank)
    shapes = every[moves, :, np.arange(moves.shape[1])]  # (slots, parts, images, rank)
    shapes = shapes * jnp.asarray(columns >= 0)[..., None, None]
    gradient = jnp.einsum("kpir,ipr->ikp", shapes, form.slope - form.coupled(c), precision="highest")
    square = _square(form, shapes)
    constant = scaled_by_noise(light, form, form.log_likelihood(c))
    precision = jnp.broadcast_to(noise_precision(light), constant.shape)
    flat = gradient.reshape(len(constant), -1), square.reshape(len(constant), columns.size, columns.size)
    return constant, precision[:, None] * flat[0], precision[:, None, None] * flat[1], columns.ravel()


def _square(form: Form, shapes) -> jax.Array:
    """Products (images, K, parts, K, parts) of the light of amplitudes' units, shapes (K, parts, images, rank)."""
    slots, parts, images, _ = shapes.shape
    own = jnp.einsum("kpir,lpir->ikpl", shapes, shapes, precision="highest")
    everyone = np.arange(parts)
    square = jnp.zeros((images, slots, parts, slots, parts), shapes.dtype)
    # indices that are apart bring the parts to the front
    square = square.at[:, :, everyone, :, everyone].set(jnp.moveaxis(own, 2, 0))
    if not len(form.pairs):
        return square
    first, second = form.pairs.T
    met = jnp.einsum(
        "kjir,ijrs,ljis->jikl", shapes[:, first], form.products, shapes[:, second], precision="highest"
    )
    square = square.at[:, :, first, :, second].set(met)
    return square.at[:, :, second, :, first].set(jnp.swapaxes(met, 2, 3))


def _amplitude_places(light: Light, apart: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The amplitudes among a light's parameters (slots, parts), -1 where a part has fewer, and how to move them.

    Where sources in windows are parts `apart`, no other part's light moves with their amplitudes: those of one kind are
    moved at once.

    Returns
    -------
    places, directions (directions, parameters), and which of these (slots, parts) moves what is at a place.
    """
    together, windows = parameter_numbers(light)
    is_amplitude = light.are_amplitudes()
    if not apart:
        together, windows = np.arange(is_amplitude.size), []
    whole = together[is_amplitude[together]]
    groups = [whole[:, None]]  # amplitudes (slots, sources)
    groups += [own[:, is_amplitude[own[0]]].T for own in windows]
    slots = max(len(group) for group in groups)
    columns, moves, first = [], [], 0
    for group in groups:
        room = ((0, slots - len(group)), (0, 0))
        columns.append(np.pad(group, room, constant_values=-1))
        moves.append(np.pad(np.broadcast_to(first + np.arange(len(group))[:, None], group.shape), room))
        first += len(group)
    directions = [np.isin(np.arange(is_amplitude.size), moved) for group in groups for moved in group]
    return np.concatenate(columns, axis=1), np.array(directions, float), np.concatenate(moves, axis=1)


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
