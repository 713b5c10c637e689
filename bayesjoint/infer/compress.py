"""The likelihood compressed: for each image a small quadratic form in place of its pixels.

Around the fit the model images of a program fill a tiny space. Some two hundred of them are rendered, and the principal
components of their departures from the fit, weighted by the noise, are an orthonormal basis in which chi-squared is a
quadratic form in as many coefficients. The coefficients are linear in the light, so they follow from its Fourier transform
at some forty wave vectors, which is known in closed form: no image is rendered while sampling. This is the reduced-order
quadrature of gravitational-wave inference (Antil et al. 2013, arXiv:1210.0577; Smith et al. 2016, arXiv:1604.08253), with
the map from transform to coefficients found by least squares.

How well it holds is measured, by exact log posteriors at draws that had no part in making it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.basis import (
    at_waves,
    linear_map,
    log_likelihood_errors,
    principal_components,
    telling_waves,
)
from bayesjoint.infer.curvature import quadratic, site_weights
from bayesjoint.infer.features import light_features, stack_waves, term_count
from bayesjoint.infer.observed import in_sigma, observe_mean
from bayesjoint.infer.renders import for_draws
from bayesjoint.infer.space import (
    Layout,
    Program,
    density_and_light,
    prior_and_light,
)
from bayesjoint.light.noise import NoiseScale
from bayesjoint.render.images import Light

LEAST_KEPT = 16  # models from which a basis can be made
FEW_WAVES = 40, 64  # of the hundred, tried first
TOLERATED = 2e-3  # standard deviation of the log likelihood that fewer waves may add, at points wider than the posterior


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
    starts, density = jax.device_get(_features(program, layout, points, fitted.means, args))
    departures, densities = _departures(program, layout, draws, fitted.means, args)
    kept = np.flatnonzero(np.isfinite(densities))
    if len(kept) < LEAST_KEPT:
        raise ValueError(
            f"only {len(kept)} of {len(draws)} models about the fit have a finite log posterior, too few to compress the "
            "likelihood: look at the fit's verdict, and at priors that reach beyond a profile's range"
        )
    forms = []
    for names, start in zip(fitted.sites, starts, strict=True):
        rows = [departures[name][row] for name in names for row in range(len(departures[name]))]
        residuals = [residual for stack in start.residuals for residual in stack]
        bases = []
        for row, residual in zip(rows, residuals, strict=True):
            bases.append(principal_components(row if len(kept) == len(draws) else row[kept], residual))
        chi2 = np.array([np.sum(residual**2) for residual in residuals])
        forms.append(_form(start, kept, bases, chi2))
    # at the fit nothing departs: what is left of the log likelihoods are the factors on the noise
    scaled = sum(
        np.sum(0.5 * (form.chi2 * (1 - start.precision) + form.count * np.log(start.precision)))
        for form, start in zip(forms, starts, strict=True)
    )
    return Compressed(tuple(forms), np.asarray(fitted.log_posterior - density - scaled))


def exact_log_posteriors(
    program: Program, layout: Layout, fitted: Fitted, draws: np.ndarray, args: tuple
) -> np.ndarray:
    """Exact log posterior (N,) of any number of draws (N, P)."""
    reduce = _weighted_departures  # not wanted, but compiled already
    return for_draws(program, layout, draws, args, reduce, fitted.means, keep=lambda rows, found: None)


def _form(start: _Start, kept: np.ndarray, bases: list[tuple], chi2: np.ndarray) -> Form:
    """The form of one light: at as few wave vectors as tell its departures well enough, at the points that were kept.

    The coefficients follow from what the light is at these; the fewer they are, the quicker is a step of the sampler.
    """
    form, error = _form_at(start.waves.shape[2], start, kept, bases, chi2)
    for number in FEW_WAVES:
        fewer, more_error = _form_at(number, start, kept, bases, chi2)
        if more_error < max(TOLERATED, error):
            return fewer
    return form


def _form_at(
    number: int, start: _Start, kept: np.ndarray, bases: list[tuple], chi2: np.ndarray
) -> tuple[Form, float]:
    """The form at the `number` of waves that tell most, and the standard deviation of the log likelihood's error."""
    terms, count = int(start.terms), start.waves.shape[2]
    origin, values = start.features[0], start.features[1:][kept]
    parts, error = [], np.zeros(len(kept))
    for i, (coefficients, slope) in enumerate(bases):
        departures = values[:, i] - origin[i]
        chosen = telling_waves(departures, terms, count, number)
        told = at_waves(departures, terms, count, chosen)
        to_coefficients = linear_map(told, coefficients)
        error += log_likelihood_errors(told, to_coefficients, coefficients, slope)
        first = at_waves(origin[i][None], terms, count, chosen)[0]
        parts.append((start.waves[i][:, chosen], first, to_coefficients, slope))
    waves, first, to_coefficients, slope = (np.stack(part) for part in zip(*parts, strict=True))
    return Form(waves, first, to_coefficients, slope, chi2, start.count), float(np.std(error))


class _Start(NamedTuple):
    """Of one light: its waves, its features at points (N, images, F), each stack's weighted residuals at the first, the
    number of weighted pixels of each image, of how many terms their PSFs are sums, and 1 / f^2 of their noise at the first.
    """

    waves: Any
    features: Any
    residuals: list
    count: Any
    terms: Any
    precision: Any


@partial(quick_jit, static_argnames=("program", "layout"))
def _features(
    program: Program, layout: Layout, points, means: dict, args: tuple
) -> tuple[list[_Start], jax.Array]:
    """Of each light what there is to know of all points, and the log density of all else at the first of them."""
    _, lights, trace = prior_and_light(program, layout, points[0], args)
    waves, residuals, counts = [], [], []
    for sites, light in lights:
        waves.append(jnp.concatenate([stack_waves(stack) for stack in light.stacks]))
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
    terms = [jnp.asarray(term_count(light)) for _, light in lights]
    precisions = [
        jnp.broadcast_to(jnp.asarray(noise_precision(light), float), count.shape)
        for (_, light), count in zip(lights, counts, strict=True)
    ]
    parts = zip(waves, features, residuals, counts, terms, precisions, strict=True)
    return [_Start(*each) for each in parts], density_and_light(program, layout, points[0], args)[0]


def _departures(
    program: Program, layout: Layout, draws: np.ndarray, means: dict, args: tuple
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Departures (images, N, pixels) of each site and log posteriors (N,) of any number of draws."""
    departures = {
        name: np.empty((mean.shape[0], len(draws), mean.shape[1] * mean.shape[2]), np.float32)
        for name, mean in means.items()
    }

    def keep(rows: slice, found: dict) -> None:
        for name, values in found.items():
            departures[name][:, rows] = np.swapaxes(values, 0, 1)

    return departures, for_draws(program, layout, draws, args, _weighted_departures, means, keep)


def _weighted_departures(trace: dict, means: dict) -> dict[str, jax.Array]:
    """Departures of each site's model pixels from `means`, in units of the noise (images, pixels)."""
    departures = {}
    for name, mean in means.items():
        departure = in_sigma(trace[name], observe_mean(trace[name]).mean - mean)  # type: ignore[union-attr]
        departures[name] = _flat(departure).astype(jnp.float32)
    return departures


def _flat(pixels) -> jax.Array:
    return pixels.reshape(-1, pixels.shape[-2] * pixels.shape[-1])
