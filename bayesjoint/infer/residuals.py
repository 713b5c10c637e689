"""How far each pixel is off, as significant as so many sigma of Gaussian noise: what chi-squared means under any noise."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from scipy import optimize, special

from bayesjoint.data.image import Image
from bayesjoint.data.whitening import whitened
from bayesjoint.light.noise import Noise, PoissonNoise
from bayesjoint.light.noise_density import form_of, variance_of

_SMALLEST = 1e-300
_ONE_SIGMA = float(special.ndtr(-1.0))


def residuals(noise: tuple[Noise, ...], data, model, invvar) -> tuple[np.ndarray, float]:
    """Normalised residuals of an image under its noise, and how many times its typical error (68 %) is the one given.

    Of noise with heavy tails a residual is as improbable as one of that size in Gaussian noise: chi-squared over the
    pixels then is 1 where the model and its noise describe them.

    Parameters
    ----------
    noise : tuple of Noise
        Its parameters are scalars.
    data, model, invvar : array (ny, nx)

    Returns
    -------
    array (ny, nx)
        0 where a pixel carries no weight.
    float
        1 under `PoissonNoise`, which goes by no error given.

    Examples
    --------
    >>> from bayesjoint.light.noise import NoiseScale, StudentTNoise
    >>> pixels = np.array([[3.0, 30.0]])
    >>> for noise in ((NoiseScale(1.5),), (StudentTNoise(4.0),)):
    ...     print(residuals(noise, pixels, 0 * pixels, 1 + 0 * pixels)[0].round(2))
    [[ 2. 20.]]
    [[2.05 4.48]]
    """
    used = invvar > 0
    variance = np.maximum(np.asarray(variance_of(noise, model, invvar)), _SMALLEST)
    u = np.where(used, (data - model) / np.sqrt(variance), 0.0)
    form = form_of(noise)
    if form.is_form:
        beyond = np.maximum(form.tail(np.abs(u)), _SMALLEST)
        u = np.sign(u) * -special.ndtri(beyond)
    if not used.any() or any(isinstance(one, PoissonNoise) for one in noise):
        return u, 1.0
    typical = optimize.brentq(lambda size: float(form.tail(np.asarray(size))) - _ONE_SIGMA, 0.0, 1e9)
    return u, float(typical * np.sqrt(np.median((variance * invvar)[used])))


def independent_pixels(image: Image, model: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data, model and inverse variance (ny, nx) of an image; where its noise correlates, those of whitened pixels."""
    if image.whitening is None:
        return image.data, model, image.invvar
    departure = np.asarray(whitened(image.whitening, image.invvar, image.data - model))
    return departure, np.zeros_like(departure), (image.invvar > 0).astype(float)


def one_of(noise: tuple[Noise, ...], row: Any) -> tuple[Noise, ...]:
    """The noise of one image of a site, by its row there; a row that is no number is the first."""
    first = row if isinstance(row, int) else 0
    return jax.tree.map(lambda p: float(np.asarray(p)[first]), noise)
