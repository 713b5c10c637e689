"""How far the log likelihood ratio of two models scatters by the noise of the pixels."""

from __future__ import annotations

import jax
import numpy as np

from bayesjoint.light.noise import Noise, PoissonNoise
from bayesjoint.light.noise_density import draw_pixels, form_of, log_density
from bayesjoint.report.loo import Loo

SIMULATIONS = 64


def noise_scatter(one: Loo, other: Loo) -> float:
    """Standard deviation of ln p(one) - ln p(other) over all pixels, where data scatter as `one` has them.

    In closed form where the noise of both is Gaussian, else by simulated pixels.
    """
    return float(np.sqrt(sum(_variance(one, other, number) for number in range(len(one.names)))))


def _variance(one: Loo, other: Loo, number: int) -> float:
    """Of the pixels of one image."""
    noises = [loo.noises[number] if loo.noises else () for loo in (one, other)]
    is_gaussian = all(map(_is_gaussian, noises))
    each = _gaussian(one, other, number) if is_gaussian else _simulated(one, other, number, noises)
    return float(np.sum(each[one.labels[number] >= 0]))


def _is_gaussian(noise: tuple[Noise, ...]) -> bool:
    exact = any(isinstance(n, PoissonNoise) and n.is_exact for n in noise)
    return not (exact or form_of(noise).is_form)


def _gaussian(one: Loo, other: Loo, number: int) -> np.ndarray:
    """Of each pixel: with u standard normal the log ratio is a u^2 + b u and a constant, its variance 2 a^2 + b^2."""
    apart = one.models[number] - other.models[number]
    sigma, wide = one.sigmas[number], other.sigmas[number]
    return 0.5 * ((sigma / wide) ** 2 - 1) ** 2 + (sigma * apart / wide**2) ** 2


def _simulated(one: Loo, other: Loo, number: int, noises: list[tuple[Noise, ...]]) -> np.ndarray:
    """Of each pixel; data that one of the models holds for impossible are left out."""
    models, invvars = zip(
        *((loo.models[number], loo.images[number].invvar) for loo in (one, other)), strict=True
    )
    count, mean, squares = np.zeros(models[0].shape), np.zeros(models[0].shape), np.zeros(models[0].shape)
    for key in jax.random.split(jax.random.PRNGKey(0), SIMULATIONS):
        data = draw_pixels(noises[0], key, models[0], invvars[0], models[0].shape)
        a, b = (
            np.asarray(log_density(n, data, m, w)) for n, m, w in zip(noises, models, invvars, strict=True)
        )
        possible = np.isfinite(a) & np.isfinite(b)
        step = np.where(possible, np.where(possible, a, 0.0) - np.where(possible, b, 0.0) - mean, 0.0)
        count += possible
        mean += step / np.maximum(count, 1)
        squares += step**2 * (1 - 1 / np.maximum(count, 1))
    return squares / np.maximum(count - 1, 1)
