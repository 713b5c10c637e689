"""The likelihood compressed: for each image a small quadratic form in place of its pixels.

Around the fit the model images of a program fill a tiny space. Some two hundred of them are rendered, and the principal
components of their departures from the fit, weighted by the noise, are an orthonormal basis in which chi-squared is a
quadratic form in as many coefficients. The coefficients are linear in the light, so they follow from its Fourier transform
at a hundred wave vectors, which is known in closed form: no image is rendered while sampling. This is the reduced-order
quadrature of gravitational-wave inference (Antil et al. 2013, arXiv:1210.0577; Smith et al. 2016, arXiv:1604.08253), with
the map from transform to coefficients found by least squares.

How well it holds is measured, by exact log posteriors at draws that had no part in making it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.curvature import quadratic, site_weights
from bayesjoint.infer.observed import in_sigma, observe_mean, site_log_density
from bayesjoint.infer.space import (
    Layout,
    Program,
    density_and_light,
    prior_and_light,
    run_program,
)
from bayesjoint.light.noise import NoiseScale
from bayesjoint.light.registration import Registration
from bayesjoint.light.sky import Sky
from bayesjoint.light.windowed import Windowed
from bayesjoint.render.images import Light
from bayesjoint.render.place import frames_of, is_source, psf_latents

RANK = 64
_RADII, _ANGLES = 10, 10
_RIDGE = 1e-8
_CHUNK = 16


class Form(NamedTuple):
    """The log likelihood of the images of one `observe`: of each image (slope . c - c . c / 2) / f^2, c its coefficients.

    f is 1, or the factor of a `NoiseScale`, which also brings (1 - 1 / f^2) chi2 / 2 - count ln f.

    Attributes
    ----------
    waves : array (images, 2, M)
        Wave vectors (East, North; radians per arcsec) at which the light's transform is taken.
    origin : array (images, F)
        The light's features at the fit.
    to_coefficients : array (images, F, rank)
        From the features' departure to coefficients.
    slope : array (images, rank)
        The residual of the fit along the basis.
    chi2, count : array (images,)
        Chi-squared of the fit by the images' own inverse variances, and the number of weighted pixels.
    """

    waves: Any
    origin: Any
    to_coefficients: Any
    slope: Any
    chi2: Any
    count: Any


class Compressed(NamedTuple):
    """A form for each `observe` of a program, and what to add so that the log posterior at the fit is the exact one."""

    forms: tuple[Form, ...]
    constant: Any


def compressed_log_posterior(
    program: Program, layout: Layout, z, args: tuple, compressed: Compressed
) -> jax.Array:
    """Log posterior density in z (scalar) as `space.log_posterior` has it, without rendering."""
    density, lights = density_and_light(program, layout, z, args)
    total = density + compressed.constant
    for light, form in zip(lights, compressed.forms, strict=True):
        departure = light_features(light, form.waves) - form.origin
        c = jnp.einsum("if,ifr->ir", departure, form.to_coefficients, precision="highest")
        each = jnp.sum(c * (form.slope - 0.5 * c), axis=1)
        total += jnp.sum(scaled_by_noise(light, form, each)) + light.log_range()
    return total


def noise_precision(light: Light) -> Any:
    """1 / f^2 of each image (images,), f the factor of a `NoiseScale`; 1 without one."""
    return next((one.factor**-2 for one in light.noise() if isinstance(one, NoiseScale)), 1.0)


def scaled_by_noise(light: Light, form: Form, log_likelihood) -> jax.Array:
    """Log likelihoods (images,) less that of the fit, under the noise that the images say, as the light's noise has them."""
    if not light.noise():
        return log_likelihood
    precision = noise_precision(light)
    return precision * (log_likelihood - 0.5 * form.chi2) + 0.5 * (
        form.chi2 + form.count * jnp.log(precision)
    )


def incompressible(lights: Iterable[Light]) -> str:
    """Which noise leaves no quadratic form of the light, by name; "" where there is none."""
    names = {
        type(one).__name__ for light in lights for one in light.noise() if not isinstance(one, NoiseScale)
    }
    return " and ".join(sorted(names))


def light_features(light: Light, waves, parameters=None) -> jax.Array:
    """Numbers in which each image's pixels are linear: the transform of its light at `waves`, and the skies.

    Parameters
    ----------
    light : Light
    waves : array (images, 2, M)
    parameters : array (images, K), optional
        In place of the light's own.

    Returns
    -------
    array (images, F)
    """

    parameters = light.parameters() if parameters is None else parameters
    frames, found = frames_of(light.stacks), []
    for stack, rows in zip(light.stacks, light.rows(), strict=True):

        def of_image(parameters, waves, frame, weights=stack.psf_weights):
            return _image_features(light.components(parameters), waves, frame, weights)

        found.append(
            jax.vmap(of_image)(*jax.tree.map(lambda a, rows=rows: a[rows], (parameters, waves, frames)))
        )
    longest = max(each.shape[1] for each in found)
    return jnp.concatenate([jnp.pad(each, ((0, 0), (0, longest - each.shape[1]))) for each in found])


def _image_features(components: tuple, waves, frame, psf_weights) -> jax.Array:
    """The features (F,) of one image; where its PSF is a sum of terms, those of each term."""
    corrections = [c for c in components if isinstance(c, Registration)]
    terms, others = jnp.zeros((2, 1, waves.shape[1]), waves.dtype), []

    def of_source(source):
        centre, turned, flux = source.centre, waves, source.drawn_flux
        for correction in corrections:
            centre, flux = correction.move(centre, frame.centre), flux * correction.flux_scale
            turned = jnp.matmul(correction.turn().T, turned, precision="highest")
        drawn = flux * source.transform(*turned)
        phase = waves[0] * centre[0] + waves[1] * centre[1]
        cosine, sine, even, odd = jnp.cos(phase), jnp.sin(phase), jnp.real(drawn), jnp.imag(drawn)
        pair = jnp.stack([even * cosine + odd * sine, odd * cosine - even * sine])[:, None]
        if psf_weights is None:
            return pair
        position, _ = frame.pixel_map.linearise(centre)
        return pair * psf_weights(position, psf_latents(components))[None, :, None]

    for component in components:
        if not is_source(component):
            if isinstance(component, Sky):
                others += [jnp.ravel(leaf) for leaf in jax.tree.leaves(component)]
            continue
        if isinstance(component, Windowed):
            terms = terms + jnp.sum(jax.vmap(of_source)(component.sources), axis=0)
        else:
            terms = terms + of_source(component)
    return jnp.concatenate([terms.ravel(), *others])


class Fitted(NamedTuple):
    """The fit that departures are measured from: its place (P,), log posterior, and model pixels of each rendered site.

    `sites` are the rendered sites of each `observe`; `obstacle` names the noise that cannot be compressed, if any.
    """

    centre: np.ndarray
    log_posterior: float
    sites: tuple[tuple[str, ...], ...]
    means: dict[str, jax.Array]
    obstacle: str = ""


def at_fit(program: Program, layout: Layout, centre: np.ndarray, args: tuple) -> Fitted:
    """What `compress` needs to know of the fit at z = centre (P,); without sites where nothing is rendered."""
    sites, obstacles = [], set()

    def run(z):
        lights = prior_and_light(program, layout, z, args)[1]
        sites.extend(names for names, _ in lights)
        obstacles.add(incompressible(light for _, light in lights))

    jax.eval_shape(run, centre)
    exact = quadratic(program, layout, jnp.asarray(centre), args)
    means = {name: exact.means[name] for names in sites for name in names}
    return Fitted(centre, float(exact.value), tuple(sites), means, obstacles.pop())


def compress(program: Program, layout: Layout, fitted: Fitted, draws: np.ndarray, args: tuple) -> Compressed:
    """Compress the likelihood of what a program observes by `observe`.

    Parameters
    ----------
    fitted : Fitted
    draws : array (N, P)
        Points that span the region where the form is to hold.
    """
    points = np.concatenate([fitted.centre[None], draws])
    starts = jax.device_get(_features(program, layout, points, fitted.means, args))
    departures, densities = _departures(program, layout, draws, fitted.means, args)
    kept = np.flatnonzero(np.isfinite(densities))
    forms = []
    for names, start in zip(fitted.sites, starts, strict=True):
        rows = [departures[name][row] for name in names for row in range(len(departures[name]))]
        residuals = [residual for stack in start.residuals for residual in stack]
        origin, values = start.features[0], start.features[1:][kept]
        parts = [
            _reduce(
                rows[i] if len(kept) == len(draws) else rows[i][kept], residuals[i], values[:, i] - origin[i]
            )
            for i in range(len(rows))
        ]
        to_coefficients, slope = (np.stack(part) for part in zip(*parts, strict=True))
        chi2 = np.array([np.sum(residual**2) for residual in residuals])
        forms.append(Form(start.waves, origin, to_coefficients, slope, chi2, start.count))
    before = Compressed(tuple(forms), np.zeros(()))
    there = compressed_log_posterior(program, layout, jnp.asarray(fitted.centre), args, before)
    return before._replace(constant=np.asarray(fitted.log_posterior - there))


def exact_log_posteriors(
    program: Program, layout: Layout, fitted: Fitted, draws: np.ndarray, args: tuple
) -> np.ndarray:
    """Exact log posterior (N,) of any number of draws (N, P)."""
    return _exact_of_all(program, layout, draws, fitted.means, args, keep=lambda chunk, found: None)


def _reduce(
    departures: np.ndarray, residual: np.ndarray, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """From features (N, F) to coefficients (F, rank), and the residual (pixels,) along the basis, of one image.

    `departures` (N, pixels) are those of the weighted model pixels. Only their products among each other are needed.
    """
    squares, along = np.zeros((len(departures),) * 2), np.zeros(len(departures))
    for pixels in np.split(np.arange(departures.shape[1]), range(1 << 15, departures.shape[1], 1 << 15)):
        block = departures[:, pixels[0] : pixels[-1] + 1]
        squares += block @ block.T
        along += block @ residual[pixels[0] : pixels[-1] + 1]
    rank = min(RANK, len(departures))
    values, vectors = np.linalg.eigh(squares)
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    size = np.sqrt(np.maximum(values, 0.0))
    met = size > 1e-6 * max(size[0], 1e-300)
    slope = np.where(met, vectors.T @ along / np.where(met, size, 1.0), 0.0)
    unit = np.sqrt(np.mean(features**2, axis=0))
    unit = np.where(unit > 0, unit, 1.0)
    left, singular, right = np.linalg.svd(features / unit, full_matrices=False)
    damped = singular / (singular**2 + (_RIDGE * singular[0]) ** 2)
    to_coefficients = (right.T * damped) @ (left.T @ (vectors * np.where(met, size, 0.0))) / unit[:, None]
    padding = RANK - rank
    return np.pad(to_coefficients, ((0, 0), (0, padding))), np.pad(slope, (0, padding))


class _Start(NamedTuple):
    """Of one light: its waves, its features at points (N, images, F), each stack's weighted residuals at the first, and the
    number of weighted pixels of each image.
    """

    waves: Any
    features: Any
    residuals: list
    count: Any


@partial(quick_jit, static_argnames=("program", "layout"))
def _features(program: Program, layout: Layout, points, means: dict, args: tuple) -> list[_Start]:
    """Of each light what there is to know of all points."""
    _, lights, trace = prior_and_light(program, layout, points[0], args)
    waves, residuals, counts = [], [], []
    for sites, light in lights:
        waves.append(jnp.concatenate([_stack_waves(stack) for stack in light.stacks]))
        departures = [in_sigma(trace[site], trace[site]["value"] - means[site]) for site in sites]
        counts.append(
            jnp.concatenate(
                [
                    site_weights(trace[site], len(stack.invvar)) * jnp.sum(stack.invvar > 0, axis=(1, 2))
                    for site, stack in zip(sites, light.stacks, strict=True)
                ]
            )
        )
        residuals.append([_flat(departure) for departure in departures])

    def at(z):
        lights = density_and_light(program, layout, z, args)[1]
        return [light_features(light, w) for light, w in zip(lights, waves, strict=True)]

    features = jax.lax.map(at, points)
    return [_Start(*parts) for parts in zip(waves, features, residuals, counts, strict=True)]


@partial(quick_jit, static_argnames=("program", "layout"))
def _exact(program: Program, layout: Layout, zs, means: dict, args: tuple) -> tuple[jax.Array, dict]:
    """Exact log posterior (N,), and weighted departures of each site's model pixels from `means` (N, images, pixels)."""

    def one(z):
        trace, log_determinant = run_program(program, layout, z, args)
        density = log_determinant + sum(site_log_density(s) for s in trace.values() if s["type"] == "sample")
        departures = {}
        for name, mean in means.items():
            departure = in_sigma(trace[name], observe_mean(trace[name]).mean - mean)  # type: ignore[union-attr]
            departures[name] = _flat(departure).astype(jnp.float32)
        return density, departures

    return jax.lax.map(one, zs)


def _departures(
    program: Program, layout: Layout, draws: np.ndarray, means: dict, args: tuple
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Departures (images, N, pixels) of each site and log posteriors (N,) of any number of draws."""
    departures = {
        name: np.empty((mean.shape[0], len(draws), mean.shape[1] * mean.shape[2]), np.float32)
        for name, mean in means.items()
    }

    def keep(chunk: slice, found: dict) -> None:
        for name, values in found.items():
            departures[name][:, chunk] = np.swapaxes(values, 0, 1)[:, : chunk.stop - chunk.start]

    return departures, _exact_of_all(program, layout, draws, means, args, keep)


def _exact_of_all(
    program: Program,
    layout: Layout,
    draws: np.ndarray,
    means: dict,
    args: tuple,
    keep: Callable[[slice, dict], None],
) -> np.ndarray:
    """Exact log posterior (N,) of any number of draws, in chunks, a thread for each core; `keep` takes the departures."""
    count = len(draws)
    chunks = [slice(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK)]
    densities = np.empty(count)

    def run(chunk: slice) -> None:
        zs = draws[np.minimum(np.arange(chunk.start, chunk.start + _CHUNK), count - 1)]
        density, found = _exact(program, layout, zs, means, args)
        densities[chunk] = density[: chunk.stop - chunk.start]
        keep(chunk, found)

    run(chunks[0])  # compiles, before threads share the program
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(run, chunks[1:]))
    return densities


def _stack_waves(stack: Any) -> jax.Array:
    """Wave vectors (images, 2, M) from what spans an image to what its PSF lets through, and zero."""
    scale = jnp.sqrt(stack.pixel_area)
    sigma = scale * jnp.sqrt(0.5 * (stack.psf_covariance[:, 0, 0] + stack.psf_covariance[:, 1, 1]))
    lowest, highest = 2 / (min(stack.shape) * scale), 3 / sigma
    step = np.linspace(0, 1, _RADII)
    radius = lowest[:, None] * (highest / lowest)[:, None] ** step
    turns = (np.arange(_ANGLES) + 0.5 * (np.arange(_RADII)[:, None] % 2)) / _ANGLES
    directions = np.stack([np.cos(np.pi * turns), np.sin(np.pi * turns)])
    waves = (radius[:, None, :, None] * directions[None]).reshape(len(radius), 2, -1)
    return jnp.concatenate([jnp.zeros((len(radius), 2, 1)), waves], axis=2)


def _flat(pixels) -> jax.Array:
    return pixels.reshape(-1, pixels.shape[-2] * pixels.shape[-1])
